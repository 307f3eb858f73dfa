//! Panics of the application's own code: caught, and refused.

use axum::{Router, routing::any};
use http::request::Parts;
use serde_json::json;
use tower_step_up::{Binding, Caller, Event, ManualClock, RequireStepUp};

use super::{
    app::{App, ask, companion},
    builder,
};

#[tokio::test]
async fn a_panic_is_a_refusal() {
    let step_up = builder(&ManualClock::new())
        .identify(|request: &Parts| {
            assert!(!request.headers.contains_key("panic"), "the application's own");
            Some(Caller::user("alice").session("1"))
        })
        .observe(|_: &Event<'_>| panic!("the application's own"))
        .build()
        .unwrap();
    let bound = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some("Pay".into()));
    let when = RequireStepUp::new(&step_up).when(|_| panic!("the application's own"));
    let routes = Router::new()
        .route("/guarded", any(async || "through").layer(RequireStepUp::new(&step_up)))
        .route("/bound", any(async || "through").layer(RequireStepUp::new(&step_up).bind(bound)))
        .route("/when", any(async || "through").layer(when));
    let app = App::new(&step_up, routes);
    for path in ["/guarded", "/bound", "/when"] {
        let mut request = ask("POST", path, "", "");
        assert_eq!(app.ask(request).await.says(), "403 missing", "{path}");
        request = ask("POST", path, "", "");
        request.headers_mut().insert("panic", "1".parse().unwrap());
        assert_eq!(app.ask(request).await.says(), "401 UNAUTHORIZED", "{path}");
    }
    let mut start = companion("POST", "/otp/SMS", "", &json!(null));
    start.headers_mut().insert("panic", "1".parse().unwrap());
    assert_eq!(app.ask(start).await.says(), "401 UNAUTHORIZED");
    assert_eq!(app.ask(companion("POST", "/otp/SMS", "", &json!(null))).await.says(), "204");
}
