//! Who is asking: the [`Caller`], and how it is found in a request ([`Identify`]).

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{engine::Grant, rules::BareKey};

/// Who is asking: a user, and the session in which they ask.
///
/// Built by the application's own authentication, from what it has *verified*, and put into the request's
/// extensions (or returned by an [`Identify`]). A clone is one atomic increment.
///
/// Both ids are opaque and may hold any byte. The session id is never stored, logged or printed: the store's key is
/// a digest of both ids, each with its length in front, so that one user never uses another's grant, whatever
/// session they share. Outside the process it is [keyed](crate::StepUpBuilder::record_key).
///
/// # Example
///
/// ```
/// use tower_step_up::Caller;
///
/// let caller = Caller::new("user-42", "the session's id or token");
/// assert_eq!(caller.subject(), "user-42");
/// assert!(caller.grant().is_none()); // a guard sets it
/// ```
///
/// # Security
///
/// The session id must be one that the server has verified. An id that the client merely sent, such as
/// `tower_sessions::Session::id()` before the session is loaded, names a session of the client's choice.
#[derive(Clone)]
pub struct Caller {
    identity: Arc<Identity>,
    grant: Option<Grant>,
}

struct Identity {
    subject: Box<str>,
    session: BareKey,
}

impl Caller {
    /// A caller: the user's id in the application's own user table, and the id or token of their session.
    #[must_use]
    pub fn new(subject: impl Into<Box<str>>, session_id: impl AsRef<[u8]>) -> Self {
        let subject = subject.into();
        let session = BareKey::session(&subject, session_id.as_ref());
        Self { identity: Arc::new(Identity { subject, session }), grant: None }
    }

    /// The user's id, as the application gave it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.identity.subject
    }

    /// The grant that let this request through a guard; `None` where no guard stood in front.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::Caller;
    ///
    /// fn how(caller: &Caller) -> Option<&str> {
    ///     Some(caller.grant()?.channel())
    /// }
    /// # assert_eq!(how(&Caller::new("alice", "1")), None);
    /// ```
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// The engine makes the key of the session's record of it.
    pub(crate) fn session(&self) -> BareKey {
        self.identity.session
    }

    pub(crate) fn set_grant(&mut self, grant: Option<Grant>) {
        self.grant = grant;
    }
}

/// Prints neither id.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// Finds the [`Caller`] of a request.
///
/// Set once on the builder, so that guard and companion can never disagree. The default reads a `Caller`
/// from the request's extensions, where the application's authentication has put it. A closure serves.
///
/// # Example
///
/// ```
/// use http::request::Parts;
/// use tower_step_up::{Caller, StepUp};
///
/// #[derive(Clone)]
/// struct MySession { user: String, id: String }
///
/// let step_up = StepUp::builder()
///     .sandbox()
///     .otp("SMS", tower_step_up::discard)
///     .identify(|request: &Parts| {
///         let session = request.extensions.get::<MySession>()?;
///         Some(Caller::new(session.user.as_str(), &session.id))
///     })
///     .build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// # Security
///
/// `None` refuses with 401, and so does a panic. Return it for anything doubtful, such as two `Authorization` headers.
pub trait Identify: Send + Sync + 'static {
    /// The caller, or `None` where nobody is logged in.
    fn identify(&self, request: &Parts) -> Option<Caller>;
}

impl<F> Identify for F
where
    F: Fn(&Parts) -> Option<Caller> + Send + Sync + 'static,
{
    fn identify(&self, request: &Parts) -> Option<Caller> {
        self(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_neither_id() {
        let printed = format!("{:?}", Caller::new("canary-subject", "canary-session"));
        assert!(!printed.contains("canary"), "{printed}");
    }

    #[test]
    fn the_key_depends_on_both_ids_and_where_one_ends() {
        let key = |subject: &str, session: &str| Caller::new(subject, session).session();
        assert_eq!(key("a", "1"), key("a", "1"));
        let different = [key("a", "1"), key("b", "1"), key("a", "2"), key("a1", ""), key("", "a1")];
        for (i, one) in different.iter().enumerate() {
            assert!(different[i + 1..].iter().all(|other| other != one), "{i}");
        }
        assert_ne!(Caller::new("a", "").session(), BareKey::subject("a"));
    }
}
