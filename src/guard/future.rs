//! [`ResponseFuture`]: the inner service's future, a finished refusal, or a store operation followed by either.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    admission::{GuardConfig, forbid_storing},
    refusal::{Refusal, ResponseForRefusal},
};
use crate::{
    engine::{AuthorizeError, Caller, Grant},
    store::{StoreError, Stored},
    timeout::{BoxFuture, Deadline},
};

pin_project! {
    /// The future of a [`GuardedService`](crate::guard::GuardedService).
    pub struct ResponseFuture<Svc, ReqBody, R>
    where
        Svc: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<Svc, ReqBody, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<Svc, ReqBody, R>
    where
        Svc: Service<Request<ReqBody>>,
    {
        Inner {
            #[pin]
            future: Svc::Future,
            // Whether a grant let the request pass, so the response must not be cached.
            no_store: bool,
        },
        Refused {
            response: Option<Svc::Response>,
        },
        Loading {
            load: BoxFuture<'static, Result<Option<Stored>, StoreError>>,
            deadline: Deadline,
            // Boxed, so that with an in-process store the future stays as small as the inner one.
            waiting: Option<Box<Waiting<Svc, ReqBody, R>>>,
        },
        Spending {
            future: BoxFuture<'static, Result<Grant, AuthorizeError>>,
            waiting: Option<Box<Waiting<Svc, ReqBody, R>>>,
        },
        // Asking the application for the caller's channels, before a refusal. The service is not kept ready for it.
        Telling {
            future: BoxFuture<'static, Result<Grant, AuthorizeError>>,
            refused: Option<Box<RefusedRequest<ReqBody, R>>>,
        },
    }
}

/// A request that waits for a store operation, and the service that is ready for it.
struct Waiting<Svc, ReqBody, R> {
    ready: Svc,
    request: Request<ReqBody>,
    shared: Arc<GuardConfig<R>>,
}

impl<Svc, ReqBody, ResBody, R> Waiting<Svc, ReqBody, R>
where
    Svc: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: ResponseForRefusal<ResBody>,
{
    fn go_on(self, decided: Result<Grant, AuthorizeError>) -> State<Svc, ReqBody, R> {
        let Self { mut ready, mut request, shared } = self;
        if shared.asks_for_channels(&decided) {
            drop(ready);
            return State::telling(decided, request, shared);
        }
        let no_store = shared.forbids_storing(request.method(), request.headers());
        match shared.admit(request.extensions_mut(), decided) {
            Ok(()) => State::Inner { future: ready.call(request), no_store },
            Err(refusal) => State::Refused { response: Some(shared.refuse_request(refusal, request)) },
        }
    }
}

/// A request that will be refused.
struct RefusedRequest<ReqBody, R> {
    request: Request<ReqBody>,
    shared: Arc<GuardConfig<R>>,
}

impl<ReqBody, R> RefusedRequest<ReqBody, R> {
    fn refuse<ResBody>(self, decided: Result<Grant, AuthorizeError>) -> Response<ResBody>
    where
        R: ResponseForRefusal<ResBody>,
    {
        let Self { mut request, shared } = self;
        // Asking for the channels lets nobody pass.
        let refusal = shared.admit(request.extensions_mut(), decided).err().unwrap_or(Refusal::Unavailable);
        shared.refuse_request(refusal, request)
    }
}

impl<Svc: Service<Request<ReqBody>>, ReqBody, R> State<Svc, ReqBody, R> {
    fn telling(decided: Result<Grant, AuthorizeError>, request: Request<ReqBody>, shared: Arc<GuardConfig<R>>) -> Self {
        let (step_up, terms) = (shared.step_up.clone(), Arc::clone(&shared.terms));
        let caller = request.extensions().get::<Caller>().cloned();
        let future = Box::pin(async move {
            match caller {
                Some(caller) => step_up.0.told_of_channels(&caller, &terms.requirement, decided).await,
                None => decided,
            }
        });
        Self::Telling { future, refused: Some(Box::new(RefusedRequest { request, shared })) }
    }
}

impl<Svc, ReqBody, R> ResponseFuture<Svc, ReqBody, R>
where
    Svc: Service<Request<ReqBody>>,
{
    pub(super) fn inner(future: Svc::Future) -> Self {
        Self { state: State::Inner { future, no_store: false } }
    }

    /// As [`inner`](Self::inner), for a request that passed with a grant.
    pub(super) fn passed(future: Svc::Future, no_store: bool) -> Self {
        Self { state: State::Inner { future, no_store } }
    }

    pub(super) fn refused(response: Svc::Response) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(super) fn loading(
        load: BoxFuture<'static, Result<Option<Stored>, StoreError>>,
        ready: Svc,
        request: Request<ReqBody>,
        shared: Arc<GuardConfig<R>>,
    ) -> Self {
        let deadline = Deadline::new(shared.engine().policy.store_deadline);
        let waiting = Some(Box::new(Waiting { ready, request, shared }));
        Self { state: State::Loading { load, deadline, waiting } }
    }

    /// A refusal, after the application was asked for the caller's channels.
    pub(super) fn telling(
        decided: Result<Grant, AuthorizeError>,
        request: Request<ReqBody>,
        shared: Arc<GuardConfig<R>>,
    ) -> Self {
        Self { state: State::telling(decided, request, shared) }
    }

    pub(super) fn spending(
        future: BoxFuture<'static, Result<Grant, AuthorizeError>>,
        ready: Svc,
        request: Request<ReqBody>,
        shared: Arc<GuardConfig<R>>,
    ) -> Self {
        let waiting = Some(Box::new(Waiting { ready, request, shared }));
        Self { state: State::Spending { future, waiting } }
    }
}

impl<Svc, ReqBody, ResBody, R> Future for ResponseFuture<Svc, ReqBody, R>
where
    Svc: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: ResponseForRefusal<ResBody>,
{
    type Output = Result<Response<ResBody>, Svc::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Inner { future, no_store } => {
                    let mut answer = ready!(future.poll(cx));
                    if let (Ok(answer), true) = (&mut answer, *no_store) {
                        forbid_storing(answer.headers_mut());
                    }
                    return Poll::Ready(answer);
                }
                StateProj::Refused { response } => match response.take() {
                    Some(response) => return Poll::Ready(Ok(response)),
                    None => return Poll::Pending, // polled after completion
                },
                StateProj::Loading { load, deadline, waiting } => {
                    let loaded =
                        ready!(deadline.poll(load.as_mut(), cx)).unwrap_or_else(|| Err(StoreError::deadline()));
                    // `None` only if polled after completion.
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let shared = &waiting.shared;
                    let decided = shared.engine().decide(loaded, shared.requirement(), None);
                    waiting.go_on(decided)
                }
                StateProj::Spending { future, waiting } => {
                    let decided = ready!(future.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    waiting.go_on(decided)
                }
                StateProj::Telling { future, refused } => {
                    let decided = ready!(future.as_mut().poll(cx));
                    let Some(refused) = refused.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(refused.refuse(decided)));
                }
            };
            state.set(next);
        }
    }
}

impl<Svc, ReqBody, R> fmt::Debug for ResponseFuture<Svc, ReqBody, R>
where
    Svc: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
