//! What the URL of the page is for: the step-up that is asked for, and where the user goes after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rules::{Factor, Requirement, Timestamp, decode, encode};

/// The version of the encoding of [`Sealed`]. Any other version is refused.
const VERSION: u8 = 1;

/// What is sealed is padded to a multiple of this many bytes, so that the length of a URL tells little.
const BLOCK: usize = 64;

/// What a URL of the page is for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PageTarget {
    /// Identifies the URL: it leads back by itself once.
    pub(crate) id: u64,
    pub(crate) deadline: Timestamp,
    pub(crate) requirement: Requirement,
    /// The token that binds the step-up to one operation.
    pub(crate) binding: Option<Box<str>>,
    /// When a request has consumed a step-up for this operation.
    pub(crate) spent_at: Option<Timestamp>,
    pub(crate) way_back: WayBack,
}

/// Where the user goes after the step-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WayBack {
    /// To what was refused, by itself.
    Resume(Box<str>),
    /// To the page of a form that was refused, and has to be sent again.
    Resubmit(Box<str>),
    /// Nowhere: a program was refused.
    Stay,
}

/// A path and query on this origin, in visible ASCII: a browser takes none for another host. That is one `/`, not followed
/// by `/` or `\`, of which browsers make one (URL Standard, "path or authority" state).
pub(crate) fn local_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('/')?;
    let leaves = rest.starts_with(['/', '\\']) || !text.bytes().all(|byte| byte.is_ascii_graphic());
    (!leaves).then_some(text)
}

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    id: u64,
    deadline: Timestamp,
    spent_at: Option<Timestamp>,
    #[serde(borrow)]
    scope: Option<&'a str>,
    or_session: bool,
    max_age: Option<u64>,
    #[serde(borrow)]
    channels: Vec<(&'a str, Option<u64>)>,
    all: bool,
    once: bool,
    binding: Option<&'a str>,
    way_back: WayBack,
}

impl PageTarget {
    /// The bytes to seal: their length, the target, and padding.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self { id, deadline, requirement, binding, spent_at, way_back } = self;
        let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let channels = requirement.get_factors();
        let sealed = Sealed {
            id: *id,
            deadline: *deadline,
            spent_at: *spent_at,
            scope: requirement.get_scope(),
            or_session: requirement.takes_session(),
            max_age: requirement.get_max_age().map(millis),
            channels: channels.map(|factor| (factor.channel(), factor.get_max_age().map(millis))).collect(),
            all: requirement.takes_all(),
            once: requirement.is_once(),
            binding: binding.as_deref(),
            way_back: way_back.clone(),
        };
        let encoded = encode(Vec::new(), VERSION, &sealed);
        let len = u16::try_from(encoded.len()).unwrap_or(u16::MAX);
        let mut padded = [&len.to_be_bytes()[..], &encoded].concat();
        padded.resize(padded.len().next_multiple_of(BLOCK), 0);
        padded
    }

    /// Reads what [`write`](Self::write) has written.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (len, padded) = bytes.split_first_chunk()?;
        let sealed: Sealed<'_> = decode(padded.get(..usize::from(u16::from_be_bytes(*len)))?, VERSION)?;
        let age = Duration::from_millis;
        let mut requirement = Requirement::new();
        if let Some(scope) = sealed.scope {
            requirement = requirement.scope(scope);
        }
        if sealed.or_session {
            requirement = requirement.or_session();
        }
        if let Some(max_age) = sealed.max_age {
            requirement = requirement.max_age(age(max_age));
        }
        if sealed.once {
            requirement = requirement.once();
        }
        if !sealed.channels.is_empty() {
            let factors = sealed.channels.into_iter().map(|(channel, max_age)| match max_age {
                Some(max_age) => Factor::new(channel).max_age(age(max_age)),
                None => Factor::new(channel),
            });
            requirement = if sealed.all { requirement.all_of(factors) } else { requirement.channels(factors) };
        }
        Some(Self {
            id: sealed.id,
            deadline: sealed.deadline,
            requirement,
            binding: sealed.binding.map(Into::into),
            spent_at: sealed.spent_at,
            way_back: sealed.way_back,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_to_another_host() {
        let longest = format!("/{}", "x".repeat(10_000));
        for path in ["/", "/transfers?to=a&b=//c", "/a/../b", "/.//evil.example", "/a\\b", &longest] {
            assert_eq!(local_path(path), Some(path));
        }
        let refused = [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n",
            "/a\r\nb: c",
            "/ü",
            "/a b",
            "/\u{7f}",
            "/\0",
            "https://evil.example/",
            "javascript:alert(1)",
            " /a",
        ];
        for path in refused {
            assert_eq!(local_path(path), None, "{path:?}");
        }
    }

    #[test]
    fn targets_come_back_as_they_went() {
        let age = Duration::from_secs;
        let requirements = [
            Requirement::new(),
            Requirement::new().scope("pay").or_session().max_age(Duration::from_millis(60_001)).once(),
            Requirement::new().channels(["SMS"]),
            Requirement::new().all_of([Factor::new("SMS"), Factor::new("BIO").max_age(age(30))]),
        ];
        let ways = [WayBack::Resume("/a".into()), WayBack::Resubmit("/b".into()), WayBack::Stay];
        for requirement in requirements {
            for (binding, way_back) in [None, Some(Box::<str>::from("token"))].into_iter().zip(ways.clone()) {
                let spent_at = binding.is_some().then_some(Timestamp::from_millis(7));
                let (id, deadline) = (u64::MAX, Timestamp::from_millis(u64::MAX));
                let target = PageTarget { id, deadline, requirement: requirement.clone(), binding, spent_at, way_back };
                let written = target.write();
                assert_eq!(written.len() % BLOCK, 0);
                assert!(PageTarget::read(&written).as_ref() == Some(&target));
                for cut in 0..2 {
                    assert!(PageTarget::read(&written[..cut]).is_none());
                }
            }
        }
    }
}
