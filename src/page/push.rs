//! A push that was started by a form of the page.

use super::{messages::Kind, service::Visit};
use crate::rules::{ChallengeError, PushStatus};

/// A push that was started here, as a URL says it.
pub(super) struct Push {
    channel: String,
    id: String,
}

impl Push {
    /// Channel and id: neither contains a space.
    pub(super) fn seal(visit: Visit<'_>, channel: &str, id: &str) -> Option<String> {
        visit.step_up.0.seal_push(visit.caller, &[channel, " ", id].concat())
    }

    pub(super) fn open(visit: Visit<'_>, sealed: &str) -> Option<Self> {
        let text = visit.step_up.0.open_push(visit.caller, sealed)?;
        let (channel, id) = text.split_once(' ')?;
        Some(Self { channel: channel.into(), id: id.into() })
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
