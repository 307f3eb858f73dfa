//! The extractors of a handler, on a router.

use axum::{
    Router,
    body::Body,
    extract::{FromRef, FromRequestParts},
    routing::get as on_get,
};
use http::Request;
use tower_step_up::{Grant, ManualClock, RequireStepUp, StepUp, extract::SteppedUp};

use super::{alice, app::oneshot, grant, local, of};

#[derive(Clone, FromRef)]
struct App {
    guard: RequireStepUp,
}

fn router(step_up: &StepUp) -> Router {
    let by = |grant: Option<Grant>| grant.map_or("nobody".to_owned(), |grant| grant.channel().to_owned());
    let guard = RequireStepUp::new(step_up);
    Router::new()
        .route("/guarded", on_get(async |grant: Grant| grant.channel().to_owned()))
        .route("/guarded/optional", on_get(async move |grant: Option<Grant>| by(grant)))
        .route_layer(guard.clone())
        .route("/open", on_get(async |grant: Grant| grant.channel().to_owned()))
        .route("/open/optional", on_get(async move |grant: Option<Grant>| by(grant)))
        .route("/signature", on_get(async move |it: SteppedUp<RequireStepUp>| by(it.grant().cloned())))
        .with_state(App { guard })
}

#[tokio::test]
async fn a_handler_gets_the_grant_or_does_not_run() {
    let step_up = local(&ManualClock::new());
    let app = router(&step_up);
    let send = async |path: &str| {
        let request = of(&alice(), Request::get(path).body(Body::empty()).unwrap());
        let answer = oneshot(app.clone(), request).await;
        let text = if answer.status == 403 { String::new() } else { String::from_utf8(answer.body.into()).unwrap() };
        (answer.status, text)
    };
    let forbidden = || (403, String::new());
    for path in ["/guarded", "/guarded/optional", "/signature"] {
        assert_eq!(send(path).await, forbidden(), "{path}");
    }
    // Without a guard, a handler that extracts a grant does not run: 500, a mistake of the application.
    assert_eq!(send("/open").await, (500, String::new()));
    assert_eq!(send("/open/optional").await, (200, "nobody".into()));
    grant(&step_up, &alice(), "KEY").await;
    for path in ["/guarded", "/guarded/optional", "/signature"] {
        assert_eq!(send(path).await, (200, "KEY".into()), "{path}");
    }
    assert_eq!(send("/open").await, (500, String::new()));
    let (mut parts, ()) = Request::new(()).into_parts();
    let body = <Grant as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await.unwrap_err().to_string();
    assert!(body.contains("RequireStepUp::new"), "{body}");
}
