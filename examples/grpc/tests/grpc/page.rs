//! tonic beside a web page: `docs/sessions.md`, "With a page". A call's metadata and a browser's cookie name the same session.

use std::net::SocketAddr;

use axum::{body::Body, response::Response};
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, COOKIE, LOCATION},
    request::Parts,
};
use hyper_util::rt::TokioIo;
use prost::Message;
use testkit::browser::Browser;
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, Request, Status, service::Routes, transport::Channel};
use tonic_types::StatusExt;
use tower::ServiceExt;
use tower_step_up::{Binding, Caller, Page, RequireStepUp, StepUp, discard, guard::Replayed};

use crate::{
    DOMAIN, connect,
    guard::{Service, note},
    kinds::{Note, kinds_client::KindsClient, kinds_server::KindsServer},
    says,
    with_tonic::example::{
        Logins, MyBank,
        bank::{TransferRequest, bank_client::BankClient, bank_server::BankServer},
    },
};

/// The token of the only `Authorization` header, and where there is none, of the cookie.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => only.to_str().ok()?.strip_prefix("Bearer "),
        (None, _) => {
            let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
            cookies.flat_map(|cookies| cookies.split("; ")).find_map(|cookie| cookie.strip_prefix("session="))
        }
        _ => None,
    }
}

/// What a person approves: the text of a `Note`, which follows the five bytes before a message.
fn describe(_: &Parts, body: &[u8]) -> Option<String> {
    Note::decode(body.get(5..)?).ok().map(|note| note.text)
}

/// A server for both, in which alice is logged in twice.
async fn served() -> SocketAddr {
    let logins = Logins::default();
    logins.write().unwrap().extend(["a", "b"].map(|token| (token.into(), "alice".into())));
    let identify = move |request: &Parts| {
        let token = token(&request.headers)?;
        Some(Caller::user(logins.read().unwrap().get(token)?).session(token))
    };
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).identify(identify);
    let step_up = step_up.grpc_domain(DOMAIN).public_path("/stepup/challenges").build().unwrap();
    let guard = RequireStepUp::new(&step_up).grpc().page(Binding::uri_as_received).unwrap();
    let bound = guard.clone().bind(Binding::new(Binding::uri_as_received, describe));
    let bound = bound.rebuild_with(Body::new::<Replayed>);
    let kinds = Routes::new(KindsServer::new(Service::default())).prepare().into_axum_router();
    let app = Routes::new(guard.layer(BankServer::new(MyBank))).prepare().into_axum_router();
    let app = app
        .merge(kinds.reset_fallback().layer(bound))
        .nest_service("/stepup/challenges", step_up.challenges().with_page(Page::new()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

/// A browser on a connection of its own for each request.
fn browser(address: SocketAddr, cookies: &str) -> Browser<impl AsyncFn(http::Request<Body>) -> Response> {
    let send = async move |request| {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap().map(Body::new)
    };
    Browser { send, cookies: cookies.to_owned() }
}

/// A program of alice's, in the session of this token.
struct Client(Channel, &'static str);

impl Client {
    fn request<T>(&self, message: T, metadata: &[(&'static str, &str)]) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.1).parse().unwrap());
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        request
    }

    /// Calls a method that needs a step-up, or if there is a text, one that needs a step-up for exactly that.
    async fn call(&self, text: Option<&str>, metadata: &[(&'static str, &str)]) -> Result<(), Status> {
        // The client itself would take a redirect for a refusal, as both have the same headers.
        let channel = self.0.clone().map_response(|response: http::Response<_>| {
            assert_eq!((response.status(), response.headers().get(LOCATION)), (StatusCode::OK, None));
            response
        });
        if let Some(text) = text {
            return KindsClient::new(channel).unary(self.request(note(text), metadata)).await.map(drop);
        }
        let transfer = TransferRequest { to: "bob".into(), amount: 40 };
        BankClient::new(channel).transfer(self.request(transfer, metadata)).await.map(drop)
    }

    /// The page that a refusal names.
    async fn refused(&self, text: Option<&str>, metadata: &[(&'static str, &str)]) -> String {
        let refused = self.call(text, metadata).await.unwrap_err();
        assert_eq!(says(&refused), (Code::PermissionDenied, "STEP_UP_REQUIRED".into()), "{text:?} {metadata:?}");
        let mut info = refused.get_details_error_info().unwrap().metadata;
        info.remove("page").unwrap_or_else(|| panic!("no page: {text:?} {metadata:?} {info:?}"))
    }
}

#[tokio::test]
async fn the_page_that_a_call_is_told_opens_with_the_cookie_of_its_session() {
    for text in [None, Some("Pay 40 to bob")] {
        let address = served().await;
        let (alice, other) = (Client(connect(address).await, "a"), Client(connect(address).await, "b"));
        let page = format!("GET {}", alice.refused(text, &[]).await);
        let is_shown =
            |html: &str| html.contains("How do you want to confirm?") && html.contains(text.unwrap_or_default());
        for (cookies, status) in [("", 401), ("session=b", 400), ("session=made up", 401), ("session=a", 200)] {
            let shown = browser(address, cookies).navigate(&page, "").await;
            assert_eq!((shown.status, is_shown(&shown.html)), (status, status == 200), "{cookies} {shown:?}");
            assert!(status == 200 || !shown.html.contains("Pay") && !shown.html.contains("<form "), "{shown:?}");
        }
        let browser = browser(address, "session=a");
        let done = browser.step_up(&browser.navigate(&page, "").await).await;
        assert!(done.html.contains("You can close this page."), "{done:?}");
        alice.call(text, &[]).await.unwrap();
        other.refused(text, &[]).await;
    }
}

/// Not even if its metadata is what a browser sends.
#[tokio::test]
async fn a_call_is_never_led_to_the_page() {
    let address = served().await;
    let alice = Client(connect(address).await, "a");
    let navigates = ("sec-fetch-mode", "navigate");
    for text in [None, Some("Pay 40 to bob")] {
        for metadata in [&[][..], &[navigates], &[navigates, ("accept", "text/html"), ("cookie", "session=a")]] {
            alice.refused(text, metadata).await;
        }
    }
}
