//! A push that was started by a form of the page.

use super::{messages::Kind, service::Visit};
use crate::{
    engine::PushStarted,
    rules::{ChallengeError, PushStatus},
};

/// A push that was started here, as a URL says it.
pub(super) struct Push {
    channel: String,
    pub(super) id: String,
    pub(super) number: Option<String>,
}

impl Push {
    /// Channel, id and number: none of them contains a space.
    pub(super) fn seal(visit: Visit<'_>, channel: &str, started: &PushStarted) -> Option<String> {
        let parts = [Some(channel), Some(&started.id), started.number.as_deref()];
        let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        visit.step_up.0.seal_push(visit.caller, &text)
    }

    pub(super) fn open(visit: Visit<'_>, sealed: &str) -> Option<Self> {
        let text = visit.step_up.0.open_push(visit.caller, sealed)?;
        let mut parts = text.split(' ').map(str::to_owned);
        Some(Self { channel: parts.next()?, id: parts.next()?, number: parts.next() })
    }

    /// What became of it, where it is not pending.
    pub(super) async fn outcome(&self, visit: Visit<'_>) -> Result<Option<(Kind, String)>, ChallengeError> {
        let status = visit.step_up.push_status(visit.caller, &self.channel, &self.id).await?;
        let text = match status {
            Some(PushStatus::Declined) => "pushDeclined",
            Some(PushStatus::Expired) | None => "pushExpired",
            Some(PushStatus::Verified) => return Ok(Some((Kind::Note, visit.texts.say("next").to_owned()))),
            Some(PushStatus::Pending { .. }) => return Ok(None),
        };
        Ok(Some((Kind::Problem, visit.texts.say(text).to_owned())))
    }
}
