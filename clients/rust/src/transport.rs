//! The service inside, as the challenge endpoints use it: whole messages, and no type of its own.

use std::{
    future::poll_fn,
    marker::PhantomData,
    pin::pin,
    sync::{Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower_service::Service;

use crate::{BoxError, RepeatableBody};

/// How much of a response is read.
pub(crate) const RESPONSE_LIMIT: usize = 64 << 10;

/// A response that was read to its end.
#[derive(Default)]
pub(crate) struct Whole {
    pub(crate) data: Bytes,
    #[cfg_attr(not(feature = "tonic"), allow(dead_code, reason = "only gRPC has trailers"))]
    pub(crate) trailers: Option<HeaderMap>,
}

pub(crate) trait Transport: Send + Sync {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Whole>, BoxError>>;
}

/// A service with request bodies of this type.
pub(crate) struct Over<S, B>(Mutex<S>, PhantomData<fn(B)>);

impl<S, B> Over<S, B> {
    pub(crate) fn new(service: S) -> Self {
        Self(Mutex::new(service), PhantomData)
    }
}

impl<S, B, ResBody> Transport for Over<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    B: RepeatableBody,
    ResBody: Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Whole>, BoxError>> {
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            let response = service.call(request.map(B::whole)).await.map_err(Into::into)?;
            #[cfg(feature = "reqwest")]
            if response.extensions().get::<crate::response::FromElsewhere>().is_some() {
                return Err("the challenge endpoint redirects to another origin".into());
            }
            let (parts, body) = response.into_parts();
            Ok(Response::from_parts(parts, collect(body).await?))
        })
    }
}

async fn collect(body: impl Body<Data = Bytes, Error: Into<BoxError>>) -> Result<Whole, BoxError> {
    let mut body = pin!(body);
    let (mut data, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map_err(Into::into)?.into_data() {
            Ok(more) if data.len() + more.len() > RESPONSE_LIMIT => return Err("the response is too long".into()),
            Ok(more) => data.extend_from_slice(&more),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Whole { data: data.freeze(), trailers })
}
