//! gRPC: how a guard refuses its clients.

mod protobuf;
mod status;

pub(crate) use self::status::{Metadata, RpcStatus, Trailers};
