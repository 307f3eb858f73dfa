//! What every edge writes: headers, the JSON problem, a gRPC status; and how a body is read.

mod answer;
mod body;
mod grpc_status;
mod protobuf;
mod refusal;

pub(crate) use self::answer::{ChannelNames, INVALID, Problem, RETRY_SOON, declare_json, json, stamp};
pub(crate) use self::body::{Read, Unread, read};
pub(crate) use self::grpc_status::{Metadata, RpcStatus, Trailers};
pub(crate) use self::refusal::Answered;
