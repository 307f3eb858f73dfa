//! Panics in the application's code are caught, and the request is refused.

use axum::{Router, routing::any};
use http::request::Parts;
use serde_json::json;
use tower_step_up::{Binding, Caller, Event, ManualClock, RequireStepUp};

use super::{
    app::{App, challenge_request, json_request},
    builder,
};

#[tokio::test]
async fn a_panic_is_a_refusal() {
    let step_up = builder(&ManualClock::new())
        .identify(|request: &Parts| {
            assert!(!request.headers.contains_key("panic"), "in the application's code");
            Some(Caller::user("alice").session("1"))
        })
        .observe(|_: &Event<'_>| panic!("in the application's code"))
        .build()
        .unwrap();
    let bound = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let when = RequireStepUp::new(&step_up).when(|_| panic!("in the application's code"));
    let routes = Router::new()
        .route("/guarded", any(async || "through").layer(RequireStepUp::new(&step_up)))
        .route("/bound", any(async || "through").layer(RequireStepUp::new(&step_up).bind(bound)))
        .route("/when", any(async || "through").layer(when));
    let app = App::new(&step_up, routes);
    for path in ["/guarded", "/bound", "/when"] {
        let mut request = json_request("POST", path, "", "");
        assert_eq!(app.send(request).await.summary(), "403 missing", "{path}");
        request = json_request("POST", path, "", "");
        request.headers_mut().insert("panic", "1".parse().unwrap());
        assert_eq!(app.send(request).await.summary(), "401 UNAUTHORIZED", "{path}");
    }
    let mut start = challenge_request("POST", "/otp/SMS", "", &json!(null));
    start.headers_mut().insert("panic", "1".parse().unwrap());
    assert_eq!(app.send(start).await.summary(), "401 UNAUTHORIZED");
    assert_eq!(app.send(challenge_request("POST", "/otp/SMS", "", &json!(null))).await.summary(), "204");
}
