//! Test app: a router in process or behind a socket, and short summaries of its responses.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
};
use http::{HeaderMap, Uri};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use serde_json::Value;
use tower::{Service, ServiceExt};
use tower_step_up::{Caller, Refusal, StepUp};

use super::CHALLENGES;

/// An app: some routes, the challenge endpoints, and a caller from the header `who: USER/SESSION`, which is trusted.
#[derive(Clone)]
pub(crate) enum App {
    InProcess(Router),
    Socket(SocketAddr),
}

/// A response with its body read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// The refusal in the extensions, as a layer outside of the guard sees it.
    pub(crate) refusal: Option<Refusal>,
}

impl App {
    pub(crate) fn new(step_up: &StepUp, routes: Router) -> Self {
        Self::InProcess(routes.nest_service(CHALLENGES, step_up.challenges()).layer(from_fn(authenticate)))
    }

    /// The same app behind a socket, served by hyper.
    pub(crate) async fn served(&self) -> Self {
        let Self::InProcess(router) = self.clone() else { return self.clone() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let io = TokioIo::new(stream);
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                });
            }
        });
        Self::Socket(address)
    }

    pub(crate) async fn send(&self, mut request: Request) -> Answer {
        match self {
            Self::InProcess(router) => oneshot(router.clone(), request).await,
            Self::Socket(address) => {
                let path = request.uri().path_and_query().unwrap().clone();
                let uri = Uri::builder().scheme("http").authority(address.to_string()).path_and_query(path);
                *request.uri_mut() = uri.build().unwrap();
                let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
                Answer::of(client.request(request).await.unwrap().map(Body::new)).await
            }
        }
    }
}

pub(crate) async fn oneshot<T: Service<Request, Response = Response, Error = Infallible>>(
    service: T,
    request: Request,
) -> Answer {
    let Ok(response) = service.oneshot(request).await;
    Answer::of(response).await
}

async fn authenticate(mut request: Request, next: Next) -> Response {
    let who = request.headers().get("who").and_then(|who| who.to_str().ok()?.split_once('/'));
    if let Some(caller) = who.map(|(user, session)| Caller::user(user).session(session)) {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// A request with a JSON body; with no body if `json` is empty.
pub(crate) fn json_request(method: &str, path: &str, who: &str, json: &str) -> Request {
    let mut request = http::Request::builder().method(method).uri(path);
    if !who.is_empty() {
        request = request.header("who", who);
    }
    if !json.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(json.to_owned().into()).unwrap()
}

/// A request to a challenge endpoint.
pub(crate) fn challenge_request(method: &str, path: &str, who: &str, json: &Value) -> Request {
    let json = if json.is_null() { String::new() } else { json.to_string() };
    json_request(method, &format!("{CHALLENGES}{path}"), who, &json)
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        Self {
            status: parts.status.as_u16(),
            refusal: parts.extensions.get().cloned(),
            headers: parts.headers,
            body: body.to_bytes(),
            trailers,
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The binding token in the refusal of a bound route.
    pub(crate) fn binding(&self) -> String {
        self.json()["binding"].as_str().unwrap_or_else(|| panic!("no binding: {self:?}")).to_owned()
    }

    /// The response in one line: the status, then the reason, the error code, or the invalid fields with their errors.
    pub(crate) fn summary(&self) -> String {
        let mut words = vec![self.status.to_string()];
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let fields = json["syntaxErrors"]["invalidFields"].as_array();
        for field in fields.into_iter().flatten() {
            assert_eq!(field["params"], serde_json::json!([]), "{self:?}");
            words.extend([word(&field["fieldName"]), word(&field["error"])].into_iter().flatten());
        }
        if self.status >= 400 {
            words.extend(word(&json["reason"]).or_else(|| word(&json["errorCode"])));
        }
        words.join(" ")
    }

    /// Everything by which a client can distinguish two responses, except `request-ref`, which is new on each.
    pub(crate) fn bytes(&self) -> (u16, HeaderMap, Bytes, Option<HeaderMap>) {
        let mut headers = self.headers.clone();
        headers.remove("request-ref");
        (self.status, headers, self.body.clone(), self.trailers.clone())
    }
}
