//! One operation, by many concurrent requests.

use std::sync::Arc;

use tokio::sync::Barrier;
use tower_step_up::{
    AuthorizeError, Caller, ChallengeError, Proof, ProofError, PushReply, PushReplyError, Requirement, StepUp,
};

pub(crate) const RIGHT: &str = "123456";

/// The operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    StartOtp,
    VerifyWrong,
    VerifyRight,
    StartPush,
    Approve,
    Decline,
    Grant,
    Revoke,
    RevokeAll,
    Lock,
    Unlock,
    CheckOnce,
    Transfer,
    Status,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::StartOtp,
        Self::VerifyWrong,
        Self::VerifyRight,
        Self::StartPush,
        Self::Approve,
        Self::Decline,
        Self::Grant,
        Self::Revoke,
        Self::RevokeAll,
        Self::Lock,
        Self::Unlock,
        Self::CheckOnce,
        Self::Transfer,
        Self::Status,
    ];

    /// Prepares the session: a pending code, a pending push and a grant; for a transfer only the grant.
    pub(crate) async fn prepare(self, step_up: &StepUp, caller: &Caller) -> String {
        step_up.record_proof(caller, Proof::new("PASSKEY")).await.unwrap();
        if !matches!(self, Self::StartOtp) {
            step_up.start_otp(caller, "SMS", None).await.unwrap();
        }
        match self {
            Self::StartPush => String::new(),
            _ => step_up.start_push(caller, "BIO", None).await.unwrap().id,
        }
    }

    /// Runs the operation once; returns whether the store was reported as down.
    async fn act(self, step_up: &StepUp, caller: &Caller, push: &str) -> bool {
        let challenged = |answer: Result<(), ChallengeError>| answer == Err(ChallengeError::Unavailable);
        let answered = |answer: Result<(), PushReplyError>| answer == Err(PushReplyError::Unavailable);
        let subject = caller.subject();
        match self {
            Self::StartOtp => challenged(step_up.start_otp(caller, "SMS", None).await),
            Self::VerifyWrong => challenged(step_up.verify_otp(caller, "SMS", "000000").await.map(drop)),
            Self::VerifyRight => challenged(step_up.verify_otp(caller, "SMS", RIGHT).await.map(drop)),
            Self::StartPush => challenged(step_up.start_push(caller, "BIO", None).await.map(drop)),
            Self::Approve => answered(step_up.answer_push(subject, push, PushReply::Approve).await),
            Self::Decline => answered(step_up.answer_push(subject, push, PushReply::Decline).await),
            Self::Grant => {
                step_up.record_proof(caller, Proof::new("PASSKEY")).await.map(drop) == Err(ProofError::Unavailable)
            }
            Self::Revoke => challenged(step_up.revoke(caller).await),
            Self::RevokeAll => challenged(step_up.revoke_all(subject).await),
            Self::Lock => challenged(step_up.lock(subject).await),
            Self::Unlock => challenged(step_up.unlock(subject).await),
            Self::CheckOnce => {
                let once = Requirement::new().once();
                step_up.authorize(caller, &once).await.map(drop) == Err(AuthorizeError::Unavailable)
            }
            Self::Transfer => challenged(step_up.transfer(caller, &Caller::user(subject).session("next")).await),
            Self::Status => challenged(step_up.status(caller).await.map(drop)),
        }
    }

    /// Runs the operation concurrently in each session; returns how often the store was reported as down.
    pub(crate) async fn at_once(self, step_up: &StepUp, sessions: &[(Caller, String)]) -> usize {
        let barrier = Arc::new(Barrier::new(sessions.len()));
        let tasks: Vec<_> = sessions
            .iter()
            .cloned()
            .map(|(caller, push)| {
                let (step_up, barrier) = (step_up.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    self.act(&step_up, &caller, &push).await
                })
            })
            .collect();
        let mut down = 0;
        for task in tasks {
            down += usize::from(task.await.unwrap());
        }
        down
    }
}
