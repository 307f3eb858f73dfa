//! URLs of the page, sealed for one session; and what is left to do before what such a URL asks for is satisfied.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64ct::{Base64UrlUnpadded, Encoding};
use form_urlencoded::parse;

use super::{
    Engine,
    purpose::{CheckedPurpose, Moment},
    records::as_session,
    telemetry,
};
use crate::{
    engine::Caller,
    rules::{ChallengeError, PageTarget, Requirement, Timestamp, Unmet, WayBack, decide},
    store::Key,
};

/// How long a URL of the page can be opened.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Most characters of such a URL, without the origin. A proxy may have 4 KiB for all headers of a response, as nginx does.
const URL_LIMIT: usize = 3072;

/// How long after it has led back a URL does so again: the second click of a double click is answered last.
const SAME_CLICK: Duration = Duration::from_secs(5);

/// Most URLs of which this process remembers that they have led back.
const RETURNED: usize = 1024;

/// What is sealed into a URL, so that the one is never taken for the other.
const TARGET: u8 = b't';
const PUSH: u8 = b'p';

/// What a form of the page is sealed with.
const FORM: &[u8] = b"form of the page";

/// Whether the page is served, and which of its URLs have led back.
#[derive(Default)]
pub(crate) struct PageServed {
    is: AtomicBool,
    warned: telemetry::OnceAMinute,
    returned: Mutex<VecDeque<(u64, Timestamp)>>,
}

/// What the page has to ask for.
pub(crate) struct Remaining {
    /// `None` where the requirement is satisfied.
    pub(crate) unmet: Option<Unmet>,
    /// The text of the operation that is approved.
    pub(crate) operation: Option<Box<str>>,
    /// Whether the session's code is for this, if it has one.
    pub(crate) owns_code: bool,
    /// The same of its push.
    pub(crate) owns_push: bool,
}

impl Engine {
    /// The page is served from now on.
    pub(crate) fn serve_page(&self) {
        self.page.is.store(true, Ordering::Relaxed);
    }

    /// A URL of the page for one session. `None` where the page is not served, and for what is too long.
    pub(crate) fn page_url(
        &self,
        caller: &Caller,
        requirement: &Requirement,
        unmet: Option<&Unmet>,
        way_back: WayBack,
    ) -> Option<String> {
        let path = self.wire.public_path.as_deref()?;
        if !self.page.is.load(Ordering::Relaxed) {
            if self.page.warned.first(self.now()) {
                telemetry::no_page();
            }
            return None;
        }
        let mut target = PageTarget {
            id: self.ids.next_u64(),
            deadline: self.now().saturating_add(LIFETIME),
            requirement: requirement.clone(),
            binding: unmet.and_then(Unmet::binding).map(Into::into),
            spent_at: unmet.and_then(Unmet::spent_at),
            way_back,
        };
        let session = self.session_key(caller);
        let url = |target: &PageTarget| {
            let url = [path, "/page?t=", &self.seal_for(&session, TARGET, &target.write())?].concat();
            (url.len() <= URL_LIMIT).then_some(url)
        };
        url(&target).or_else(|| {
            target.way_back = match target.way_back {
                WayBack::Resume(_) => WayBack::Resume("/".into()),
                WayBack::Resubmit(_) => WayBack::Resubmit("/".into()),
                WayBack::Stay => return None,
            };
            url(&target)
        })
    }

    /// What a URL of the page is for; `None` for another session's, and where nothing that was started before its deadline
    /// can still be pending.
    pub(crate) fn open_page(&self, caller: &Caller, sealed: &str) -> Option<PageTarget> {
        let mut target = PageTarget::read(&self.open_for(caller, TARGET, sealed)?)?;
        let longest = self.policy.code_lifetime.max(self.policy.push_lifetime);
        if self.may_start(&target) {
            // The token that was sealed would be too old in less time than the URL.
            let renew = |token: &str| self.renew_binding(caller, token, target.deadline);
            target.binding = target.binding.as_deref().and_then(renew).map(Into::into).or(target.binding);
        }
        (self.now() < target.deadline.saturating_add(longest)).then_some(target)
    }

    /// Whether a request is for the page itself, under whatever prefix a guard sees it.
    pub(crate) fn is_page(&self, caller: &Caller, path: &str, query: &str) -> bool {
        let opens = |sealed: &str| self.open_page(caller, sealed).is_some();
        path.ends_with("/page") && parse(query.as_bytes()).any(|(name, sealed)| name == "t" && opens(&sealed))
    }

    /// Whether a URL of the page still starts anything, or only ends what it has started.
    pub(crate) fn may_start(&self, target: &PageTarget) -> bool {
        self.now() < target.deadline
    }

    /// Seals what a URL of the page says of a push to this session.
    pub(crate) fn seal_push(&self, caller: &Caller, text: &str) -> Option<String> {
        self.seal_for(&self.session_key(caller), PUSH, text.as_bytes())
    }

    pub(crate) fn open_push(&self, caller: &Caller, sealed: &str) -> Option<String> {
        String::from_utf8(self.open_for(caller, PUSH, sealed)?).ok()
    }

    fn seal_for(&self, session: &Key, kind: u8, bytes: &[u8]) -> Option<String> {
        let sealed = self.keyring.encrypt(session, &[&[kind], bytes].concat(), self.random).ok()?;
        Some(Base64UrlUnpadded::encode_string(&sealed))
    }

    fn open_for(&self, caller: &Caller, kind: u8, sealed: &str) -> Option<Vec<u8>> {
        let sealed = Base64UrlUnpadded::decode_vec(sealed).ok()?;
        let bytes = self.keyring.decrypt(&self.session_key(caller), &sealed)?;
        bytes.strip_prefix(&[kind]).map(<[u8]>::to_vec)
    }

    /// What every form of the page sends back, and another session does not know.
    pub(crate) fn form_token(&self, caller: &Caller) -> String {
        let mac = self.keyring.seal(&self.session_key(caller), FORM);
        Base64UrlUnpadded::encode_string(&[&self.keyring.current().to_be_bytes()[..], &mac].concat())
    }

    pub(crate) fn is_form_token(&self, caller: &Caller, token: &str) -> bool {
        let Ok(bytes) = Base64UrlUnpadded::decode_vec(token) else { return false };
        let Some((id, mac)) = bytes.split_first_chunk() else { return false };
        self.keyring.verify_seal(u32::from_be_bytes(*id), &self.session_key(caller), FORM, mac)
    }

    /// What is left to do. It only reads: nothing is consumed.
    pub(crate) async fn remaining(&self, caller: &Caller, target: &PageTarget) -> Result<Remaining, ChallengeError> {
        let purpose = self.parse_purpose(caller, Ok(None), Ok(target.binding.as_deref()), Moment::Later);
        // Its secret has been rotated meanwhile.
        let purpose = purpose.unwrap_or_else(|_| CheckedPurpose::default());
        let stored = self.load(&self.session_key(caller)).await?;
        let session = as_session(stored.as_ref()).map_err(|error| self.failed(&error))?;
        let (scope, operation) = (target.requirement.get_scope(), purpose.digest());
        let decided = decide(session, &target.requirement, operation.as_ref(), &self.policy, self.now());
        let slots = session.map(|session| session.slots_are_for(scope, operation.as_ref()));
        let [owns_code, owns_push] = slots.unwrap_or_default();
        Ok(Remaining { unmet: decided.err(), operation: purpose.into_text(), owns_code, owns_push })
    }

    /// Whether a URL may lead back by itself: once, as far as this process knows.
    pub(crate) fn may_return(&self, target: &PageTarget) -> bool {
        let now = self.now();
        let mut returned = self.page.returned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, at)) = returned.iter().find(|(id, _)| *id == target.id) {
            return now.saturating_since(*at) <= SAME_CLICK;
        }
        if returned.len() == RETURNED {
            returned.pop_front();
        }
        returned.push_back((target.id, now));
        true
    }
}
