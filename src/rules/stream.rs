//! How long a response may go on that a grant has let begin.

use std::time::Duration;

use crate::rules::{Factor, Granted, OperationDigest, Requirement, Session, Timestamp, Use};

/// Why a response may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The step-up has ended, and the session has not stepped up again.
    Expired,
    /// The step-up was dropped or revoked, or its session has another id now.
    Revoked,
    /// The store could not be asked for 15 seconds.
    StoreLost,
}

/// What a response needs to go on: a grant for each channel that its requirement needs.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    needs: Vec<Need>,
    /// The operation of the request, if it passed with a bound grant.
    operation: Option<OperationDigest>,
    /// How long after its verification a grant lets it go on; `None` as long as the grant lives.
    lifetime: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Need {
    channel: Box<str>,
    scope: Option<Box<str>>,
    or_session: bool,
    /// The grant that let the request pass, which may be bound or consumed. `None`: any grant of the channel.
    id: Option<u64>,
}

impl Stream {
    /// For a request that passed with the grant of this id, channel and scope.
    pub(crate) fn new(
        requirement: &Requirement,
        id: u64,
        channel: &str,
        scope: Option<&str>,
        operation: Option<OperationDigest>,
    ) -> Self {
        let needs = if requirement.takes_all() {
            let need = |factor: &Factor| Need {
                channel: factor.channel().into(),
                scope: requirement.scope.clone(),
                or_session: requirement.takes_session(),
                id: None,
            };
            requirement.get_factors().map(need).collect()
        } else {
            vec![Need { channel: channel.into(), scope: scope.map(Into::into), or_session: false, id: Some(id) }]
        };
        Self { needs, operation, lifetime: requirement.get_stream_for() }
    }

    /// Until when a grant of these times lets the response go on.
    pub(crate) fn end_of(&self, verified_at: Timestamp, expires_at: Timestamp) -> Timestamp {
        self.lifetime.map_or(expires_at, |lifetime| verified_at.saturating_add(lifetime))
    }

    /// Until when the response may go on; `None` if a grant that it needs is no longer there. A later step-up of the same
    /// channel and scope lets it go on for longer.
    pub(crate) fn until(&self, session: Option<&Session>) -> Option<Timestamp> {
        let grants = session.map_or(&[][..], Session::grants);
        let end = |grant: &Granted| self.end_of(grant.verified_at, grant.expires_at);
        let ends = self
            .needs
            .iter()
            .map(|need| grants.iter().filter(|grant| need.is_met_by(grant, self.operation)).map(end).max());
        // One that is not there ends the response, and otherwise the first to end does.
        ends.min().flatten()
    }
}

impl Need {
    fn is_met_by(&self, grant: &Granted, operation: Option<OperationDigest>) -> bool {
        if self.id == Some(grant.id) {
            return true;
        }
        let fits =
            grant.channel == self.channel && (grant.scope == self.scope || (self.or_session && grant.scope.is_none()));
        let of_request = self.id.is_none() && grant.operation == operation;
        fits && match grant.usage {
            // The request itself has consumed it.
            Use::Consumed(_) | Use::ConsumedAgain(_) => of_request,
            Use::Fresh | Use::Restored => grant.operation.is_none() || of_request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Policy, operation_of};

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + secs * 1000)
    }

    fn grant(id: u64, channel: &str, secs: u64) -> Granted {
        Granted {
            id,
            channel: channel.into(),
            scope: None,
            operation: None,
            verified_at: at(secs),
            expires_at: at(secs + 600),
            generation: 1,
            usage: Use::Fresh,
        }
    }

    #[test]
    fn a_response_goes_on_as_long_as_its_grant_or_a_later_one_of_its_kind() {
        let (own, again) = (grant(1, "SMS", 0), grant(2, "SMS", 100));
        let scoped = Granted { scope: Some("pay".into()), ..again.clone() };
        let bound = Granted { operation: Some(operation_of("a")), ..again.clone() };
        let used = |usage| Granted { usage, ..own.clone() };
        let table = [
            (vec![own.clone()], Some(600)),
            (vec![], None),
            (vec![own.clone(), again.clone()], Some(700)),
            (vec![again.clone()], Some(700)),
            (vec![scoped], None),
            (vec![grant(2, "BIO", 100)], None),
            (vec![bound.clone()], None),
            (vec![used(Use::Consumed(at(1)))], Some(600)),
            (vec![used(Use::ConsumedAgain(at(1)))], Some(600)),
            (vec![used(Use::Restored)], Some(600)),
            (vec![Granted { usage: Use::Consumed(at(101)), ..again }], None),
        ];
        let stream = Stream::new(&Requirement::new(), 1, "SMS", None, None);
        for (row, (grants, expected)) in table.into_iter().enumerate() {
            assert_eq!(stream.until(Some(&Session::with_grants(grants))), expected.map(at), "row {row}");
        }
        assert_eq!(stream.until(None), None);
        let own_bound = Granted { id: 1, ..bound };
        assert_eq!(stream.until(Some(&Session::with_grants(vec![own_bound]))), Some(at(700)), "its own may be bound");
    }

    #[test]
    fn the_life_of_a_response_is_a_rule_of_its_own() {
        for lifetime in [30, 3_600] {
            let asked = Requirement::new().stream_for(Duration::from_secs(lifetime));
            let stream = Stream::new(&asked, 1, "SMS", None, None);
            assert_eq!(stream.until(Some(&Session::with_grants(vec![grant(1, "SMS", 5)]))), Some(at(5 + lifetime)));
        }
    }

    #[test]
    fn of_several_channels_the_first_to_end_ends_it() {
        let both = Requirement::new().all_of(["SMS", "BIO"]);
        let stream = Stream::new(&both, 1, "SMS", None, None);
        let until = |grants| stream.until(Some(&Session::with_grants(grants)));
        assert_eq!(until(vec![grant(1, "SMS", 0), grant(2, "BIO", 50)]), Some(at(600)));
        assert_eq!(until(vec![grant(3, "SMS", 90), grant(2, "BIO", 50)]), Some(at(650)));
        assert_eq!(until(vec![grant(1, "SMS", 0)]), None);
        let consumed = Session::with_grants(vec![grant(1, "SMS", 0), grant(2, "BIO", 50)]).consume(|_| true, at(60));
        assert_eq!(stream.until(Some(&consumed)), Some(at(600)));
        let revoked = consumed.without_elevation(&Policy::new(), at(61));
        assert_eq!(stream.until(Some(&revoked)), None);
        // What a payment has consumed prolongs nothing.
        let paid = |id, channel| Granted { operation: Some(operation_of("a")), ..grant(id, channel, 90) };
        let fresh = Session::with_grants(vec![paid(3, "SMS"), paid(4, "BIO")]);
        let paid = fresh.clone().consume(|_| true, at(95));
        assert_eq!(stream.until(Some(&paid)), None);
        assert_eq!(
            Stream::new(&both, 3, "SMS", None, Some(operation_of("a"))).until(Some(&paid)),
            Some(at(690)),
            "but its own response"
        );
        let of_b = Stream::new(&both, 1, "SMS", None, Some(operation_of("b")));
        for another in [&fresh, &paid] {
            assert_eq!(of_b.until(Some(another)), None, "and not that of another operation");
        }
    }

    #[test]
    fn a_mark_of_a_revoked_grant_lets_nothing_go_on() {
        let own = Granted { operation: Some(operation_of("a")), ..grant(1, "SMS", 0) };
        let consumed = Session::with_grants(vec![own]).consume(|_| true, at(1));
        let stream = Stream::new(&Requirement::new(), 1, "SMS", None, None);
        assert_eq!(stream.until(Some(&consumed)), Some(at(600)));
        let revoked = consumed.without_elevation(&Policy::new(), at(2));
        assert_eq!(stream.until(Some(&revoked)), None);
    }
}
