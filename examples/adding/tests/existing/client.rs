//! A client that keeps cookies and a token, as a browser or an app does.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{
        Request,
        header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    },
    response::Response,
};
use testkit::browser::{self, Browser};
use tower::ServiceExt;

#[derive(Clone)]
pub(crate) struct Client {
    app: Router,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) authorization: Vec<String>,
}

impl Client {
    pub(crate) fn new(app: &Router) -> Self {
        Self { app: app.clone(), cookies: BTreeMap::new(), authorization: Vec::new() }
    }

    /// Posts and returns status and body. Stores the response's cookies.
    pub(crate) async fn post(&mut self, path: &str, json: Option<&str>) -> (u16, String) {
        let mut request = Request::post(path);
        if !self.cookies.is_empty() {
            request = request.header(COOKIE, self.cookie_header());
        }
        for value in &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if json.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Body::from(json.unwrap_or_default().to_owned())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 1 << 16).await.unwrap().into()).unwrap())
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        cookies.collect::<Vec<_>>().join("; ")
    }

    /// A browser with these cookies.
    pub(crate) fn browser(&self) -> Browser<impl AsyncFn(Request<Body>) -> Response + use<>> {
        browser::of(&self.app, &self.cookie_header())
    }

    /// Posts without a body and returns the status.
    pub(crate) async fn status(&mut self, path: &str) -> u16 {
        self.post(path, None).await.0
    }

    /// Posts a request that must succeed and returns the body.
    pub(crate) async fn succeed(&mut self, path: &str, json: Option<&str>) -> String {
        let (status, body) = self.post(path, json).await;
        assert!((200..300).contains(&status), "{path}: {status} {body}");
        body
    }

    /// The guarded route.
    pub(crate) async fn transfer(&mut self) -> u16 {
        self.status("/transfers").await
    }

    /// The route that needs only a login.
    pub(crate) async fn accounts(&mut self) -> u16 {
        self.status("/accounts").await
    }

    /// Steps up, from refused to passed.
    pub(crate) async fn step_up(&mut self) {
        assert_eq!(self.transfer().await, 403);
        self.succeed("/stepup/challenges/otp/SMS", None).await;
        assert_eq!(self.transfer().await, 403, "a code that was only sent opens nothing");
        let wrong = self.post("/stepup/challenges/otp/SMS/verify", Some(r#"{"verificationCode":"000000"}"#)).await;
        assert_eq!(wrong.0, 409, "{}", wrong.1);
        assert_eq!(self.transfer().await, 403);
        self.succeed("/stepup/challenges/otp/SMS/verify", Some(r#"{"verificationCode":"123456"}"#)).await;
        assert_eq!(self.transfer().await, 200);
    }
}
