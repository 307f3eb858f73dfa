//! The authenticated caller of a request ([`Caller`]), and how a request is mapped to it ([`Identify`]).

use std::{
    fmt::{self, Write},
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use http::request::Parts;

use crate::{engine::Grant, rules::BareKey};

/// The authenticated caller of a request: a user and one of their sessions.
///
/// Built by the application's own authentication, from what it has *verified*, and put into the request's
/// extensions (or returned by an [`Identify`]). A clone is one atomic increment.
///
/// Both ids are opaque and may contain any byte. The session id is never stored, logged or printed: the store's key is
/// a digest of both ids, each prefixed with its length, so one user can never use another's grant, even with the same
/// session id. Outside the process it is [keyed](crate::StepUpBuilder::record_key).
///
/// # Example
///
/// ```
/// use tower_step_up::Caller;
///
/// let caller = Caller::user("user-42").session("the session's id or token");
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
    subject: Arc<str>,
    session: BareKey,
    grant: Option<Grant>,
}

/// A [`Caller`] under construction: [`Caller::user`] sets the user, and [`session`](Self::session) completes it.
///
/// Two steps, because two ids in one call could be swapped unnoticed.
#[derive(Clone)]
#[must_use = "name the session: .session(id)"]
pub struct CallerOf {
    subject: Arc<str>,
    /// Whether the user's id could not be printed.
    unprintable: bool,
}

impl CallerOf {
    /// The id or token of the session, by its `Display` text: a `&str`, `&String`, `Uuid`, integer, or any other type
    /// that prints the whole id.
    ///
    /// # Security
    ///
    /// A type that prints a placeholder, such as one that redacts itself, would map all sessions to one: pass its
    /// content to [`session_bytes`](Self::session_bytes).
    #[must_use]
    pub fn session(self, id: impl fmt::Display) -> Caller {
        let mut text = IdText::default();
        match write!(text, "{id}") {
            Ok(()) => self.session_bytes(text.as_str()),
            // A truncated text could equal another id, so use a random session, which has no grants.
            Err(fmt::Error) => self.session_bytes(random_id()),
        }
    }

    /// The id or token of the session, by its bytes. The text and the bytes of an id name the same session only if they
    /// are equal.
    #[must_use]
    pub fn session_bytes(self, id: impl AsRef<[u8]>) -> Caller {
        let Self { subject, unprintable } = self;
        let session = if unprintable {
            BareKey::session(&subject, random_id().as_bytes())
        } else {
            BareKey::session(&subject, id.as_ref())
        };
        Caller { subject, session, grant: None }
    }
}

/// The subject of every user whose id's `Display` fails: one for all, so that they share one set of budgets (T13). Each of
/// their requests has a session of its own, in which nothing is granted.
const UNPRINTABLE: &str = "\0unprintable";

/// A random session id.
fn random_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:x}{:x}", random(), random())
}

/// Does not print the user.
impl fmt::Debug for CallerOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerOf(..)")
    }
}

/// The text of an id: on the stack for ids of usual length, to avoid an allocation for each request.
struct IdText {
    stack: [u8; 128],
    len: usize,
    heap: Option<String>,
}

impl Default for IdText {
    fn default() -> Self {
        Self { stack: [0; 128], len: 0, heap: None }
    }
}

impl IdText {
    fn as_str(&self) -> &str {
        // Whole `str`s were written, so this is one.
        self.heap.as_deref().unwrap_or_else(|| str::from_utf8(&self.stack[..self.len]).unwrap_or_default())
    }
}

impl Write for IdText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(heap) = &mut self.heap {
            heap.push_str(text);
        } else if let Some(room) = self.stack.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text.as_bytes());
            self.len += text.len();
        } else {
            self.heap = Some([self.as_str(), text].concat());
        }
        Ok(())
    }
}

impl Caller {
    /// Starts a caller with the user's id in the application's user table, by its `Display` text. Then set the session.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::Caller;
    ///
    /// let (user_id, session_token) = (42_i64, String::from("4f0c9a"));
    /// let caller = Caller::user(user_id).session(&session_token);
    /// assert_eq!(caller.subject(), "42");
    /// ```
    pub fn user(id: impl fmt::Display) -> CallerOf {
        let mut text = IdText::default();
        let unprintable = write!(text, "{id}").is_err();
        let subject = if unprintable { UNPRINTABLE } else { text.as_str() }.into();
        CallerOf { subject, unprintable }
    }

    /// The user's id, as the application gave it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The grant with which this request passed a guard; `None` without a guard.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_step_up::Caller;
    ///
    /// fn how(caller: &Caller) -> Option<&str> {
    ///     Some(caller.grant()?.channel())
    /// }
    /// # assert_eq!(how(&Caller::user("alice").session("1")), None);
    /// ```
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// The engine derives the key of the session's record from it.
    pub(crate) fn session(&self) -> BareKey {
        self.session
    }

    pub(crate) fn set_grant(&mut self, grant: Option<Grant>) {
        self.grant = grant;
    }
}

/// Does not print the ids.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// Finds the [`Caller`] of a request.
///
/// Set once on the builder, so that guards and challenge endpoints always agree. The default reads a `Caller` from the
/// request's extensions, where the application's authentication has put it. Implemented for closures.
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
///         Some(Caller::user(&session.user).session(&session.id))
///     })
///     .build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// # Security
///
/// `None` is refused with 401, and so is a panic. Return `None` for anything ambiguous, such as two `Authorization`
/// headers.
pub trait Identify: Send + Sync + 'static {
    /// The caller, or `None` if the request is not authenticated.
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
        let printed = format!("{:?}", Caller::user("canary-subject").session("canary-session"));
        assert!(!printed.contains("canary"), "{printed}");
    }

    /// Equal bytes and text are the same session, for any type and length.
    #[test]
    fn an_id_is_its_text() {
        for id in [String::new(), "1".into(), "x".repeat(128), "x".repeat(129), "\u{fc}".repeat(64), "y".repeat(5000)] {
            let expected = Caller::user("a").session_bytes(&id).session();
            assert_eq!(Caller::user("a").session(&id).session(), expected, "{}", id.len());
            let (head, tail) = id.split_at(id.len() / 2 / 2 * 2);
            assert_eq!(Caller::user("a").session(format_args!("{head}{tail}")).session(), expected);
        }
        assert_eq!(Caller::user(7_i64).session(42_u128).session(), Caller::user("7").session("42").session());
    }

    /// An id whose `Display` fails gets a new random id each time, without a panic.
    #[test]
    fn an_id_that_cannot_be_printed_is_nobodys() {
        struct Fails;
        impl fmt::Display for Fails {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("4f0c")?;
                Err(fmt::Error)
            }
        }
        let session = || Caller::user("a").session(Fails).session();
        assert_ne!(session(), session());
        assert_ne!(session(), Caller::user("a").session("4f0c").session());
        let user = || Caller::user(Fails).session("1");
        assert_ne!(user().session(), user().session(), "nothing that one request is granted holds for another");
        assert_eq!(user().subject(), user().subject(), "all share one set of budgets");
    }

    #[test]
    fn the_key_depends_on_both_ids_and_where_one_ends() {
        let key = |subject: &str, session: &str| Caller::user(subject).session(session).session();
        assert_eq!(key("a", "1"), key("a", "1"));
        let different = [key("a", "1"), key("b", "1"), key("a", "2"), key("a1", ""), key("", "a1")];
        for (i, one) in different.iter().enumerate() {
            assert!(different[i + 1..].iter().all(|other| other != one), "{i}");
        }
        assert_ne!(Caller::user("a").session("").session(), BareKey::subject("a"));
    }
}
