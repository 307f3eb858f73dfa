//! The rules: pure functions of a record, a command and a time. They use no HTTP, no store, no clock and no task.

mod budget;
mod code;
mod config_error;
mod encoding;
mod error;
mod id;
mod key;
mod keyring;
mod list;
mod name;
mod operation;
#[cfg(feature = "page")]
mod page_target;
mod policy;
mod push_id;
mod random;
mod requirement;
mod scope;
mod sealed_text;
mod session;
mod stream;
mod subject;
mod time;

pub(crate) use self::budget::{MessageKind, Sends, wait, wait_for};
pub(crate) use self::code::Code;
pub use self::code::OneTimeCode;
pub use self::config_error::ConfigError;
pub(crate) use self::encoding::{decode, encode};
pub(crate) use self::error::ErrorKind;
pub use self::error::{ChallengeError, Limited, Malformed, RateLimit};
pub(crate) use self::id::{ChallengeId, Ids};
pub use self::key::Key;
pub(crate) use self::key::{BareKey, RecordKey};
pub use self::keyring::Secret;
pub(crate) use self::keyring::{CodeDigest, Keyring};
pub(crate) use self::list::{List, read_at_most, read_list};
pub(crate) use self::name::Name;
#[cfg(test)]
pub(crate) use self::operation::bare_operation_of;
#[cfg(any(test, feature = "test-util"))]
pub(crate) use self::operation::operation_of;
pub(crate) use self::operation::{
    BareOperation, BoundOperation, OperationDigest, OperationFields, SealedOperation, Token,
};
#[cfg(feature = "page")]
pub(crate) use self::page_target::{PageTarget, WayBack, local_path};
pub(crate) use self::policy::Rate;
pub(crate) use self::policy::fixed::{
    BODY_DEADLINE, BODY_LIMIT, BOUND_BODY_LIMIT, DAY, FAILURES_KEPT, FIVE_MINUTES, GRANTS_PER_SESSION, HOUR,
    KNOWN_RECIPIENT_FACTOR, KNOWN_RECIPIENTS, LOCK_KEPT, MARKS_PER_SESSION, NUMBER_TRIES, RECIPIENT_FACTOR,
    RECIPIENT_KNOWN, RECORD_LIST_LIMIT, REMEMBRANCE, SESSIONS_PER_SUBJECT, STARTS_KEPT, TEN_MINUTES, UNSENT_STARTS,
};
pub use self::policy::{Policy, SendBudget};
pub(crate) use self::push_id::{PushDigest, push_id};
pub(crate) use self::random::{Random, RandomFailed, random_bytes, system_random};
pub(crate) use self::requirement::{CompiledRequirement, Satisfied, Summary, decide};
pub use self::requirement::{Factor, Requirement, Unmet, UnmetPart, UnmetReason};
pub(crate) use self::scope::check_scope;
pub(crate) use self::sealed_text::{Cipher, SealedText};
pub use self::session::PushStatus;
pub(crate) use self::session::{
    CameBack, Compared, Granted, NewChallenge, Pending, PushProof, Reply, ReplyOutcome, ReplyRejected, Session, Use,
};
pub use self::stream::Ended;
pub(crate) use self::stream::Stream;
pub(crate) use self::subject::{Attempt, Listed, ListedBy, Registration, Seen, Subject};
pub use self::time::Timestamp;
pub(crate) use self::time::{millis, secs_up, wait_secs};
