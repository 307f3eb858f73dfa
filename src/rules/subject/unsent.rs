//! Starts whose message was not sent, limited by a separate budget.

use super::{Attempt, Subject, challenges::ListedChallenge};
use crate::rules::{
    CameBack, ChallengeId, Key, Limited, Policy, RateLimit, TEN_MINUTES, Timestamp, UNSENT_STARTS, wait_for,
};

/// Starts that sent nothing.
impl Subject {
    /// Withdraws a start whose sender reported that nothing was sent, and counts it in a separate budget that is never
    /// restored: calls to a failing provider are not unlimited (T13). A code that was restored in its place is pending
    /// again.
    pub(crate) fn not_sent(
        &mut self,
        challenge_id: ChallengeId,
        session: &Key,
        came_back: Option<CameBack>,
        now: Timestamp,
    ) {
        self.withdraw(challenge_id);
        let mut rare = self.rare_mut();
        rare.unsent.retain(|unsent| unsent.id != challenge_id.0 && now < unsent.at.saturating_add(TEN_MINUTES));
        rare.unsent.push(Attempt { id: challenge_id.0, at: now });
        drop(rare);
        self.reopen(session, came_back);
    }

    /// Lists a code that is pending again.
    pub(crate) fn reopen(&mut self, session: &Key, came_back: Option<CameBack>) {
        if let Some(CameBack { challenge_id, deadline, recipient }) = came_back {
            self.close(challenge_id);
            let (session, push) = (*session, None);
            self.rare_mut().challenges.push(ListedChallenge {
                challenge_id,
                session,
                deadline,
                push,
                recipient,
                open: true,
                answered: false,
            });
        }
    }

    /// Refuses if too many starts of the last ten minutes sent nothing. After the first of them, starts whose sender
    /// has not answered yet count as well, so that parallel requests do not exceed the limit.
    pub(super) fn check_unsent(&self, policy: &Policy, now: Timestamp) -> Result<(), RateLimit> {
        let unsent = || self.rare().unsent.iter().map(|unsent| unsent.at.saturating_add(TEN_MINUTES));
        if !unsent().any(|end| now < end) {
            return Ok(());
        }
        let limit = UNSENT_STARTS;
        let wait = wait_for(limit, unsent().chain(self.sends.in_flight(policy.sender_deadline)), now);
        let limit = RateLimit::alone(Limited::Messages, limit, Some(TEN_MINUTES), wait);
        if wait.is_zero() { Ok(()) } else { Err(limit) }
    }
}
