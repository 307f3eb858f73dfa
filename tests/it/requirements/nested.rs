//! Bound routes in nested routers, where axum strips the prefix of the path.

use axum::{Router, extract::OriginalUri, routing::post};
use http::{Uri, request::Parts};
use serde_json::json;
use tower_step_up::{Binding, ManualClock, RequireStepUp, StepUp};

use super::{
    CODE,
    app::{App, challenge_request, json_request},
    local,
};

type FindUri = fn(&Parts) -> Option<Uri>;

/// `/eu/cards/{id}/reveal` and `/us/cards/{id}/reveal`, with the same text.
fn app(step_up: &StepUp, uri: FindUri) -> App {
    let binding = Binding::new(uri, |_: &Parts, _: &[u8]| Some("Show a card".into())).without_body();
    let guard = RequireStepUp::new(step_up).bind(binding);
    let cards = Router::new().route("/cards/{id}/reveal", post(async || "4242")).route_layer(guard);
    App::new(step_up, Router::new().nest("/eu", cards.clone()).nest("/us", cards))
}

fn as_sent(request: &Parts) -> Option<Uri> {
    Some(request.extensions.get::<OriginalUri>()?.0.clone())
}

/// Approves `/eu/cards/1/reveal`, then requests each path; returns the responses.
async fn after_approving_the_first(uri: FindUri, paths: &[&str]) -> Vec<String> {
    let clock = ManualClock::new();
    let app = app(&local(&clock), uri);
    let reveal = async |path: &str| app.send(json_request("POST", path, "alice/1", "")).await;
    let start = json!({ "binding": reveal("/eu/cards/1/reveal").await.binding() });
    assert_eq!(app.send(challenge_request("POST", "/otp/SMS", "alice/1", &start)).await.summary(), "204");
    let code = json!({ "verificationCode": CODE });
    assert_eq!(app.send(challenge_request("POST", "/otp/SMS/verify", "alice/1", &code)).await.summary(), "204");
    let mut responses = Vec::new();
    for path in paths {
        responses.push(reveal(path).await.summary());
    }
    responses
}

#[tokio::test]
async fn the_original_path_is_bound() {
    let table = [
        ("/eu/cards/2/reveal", "403 mismatch"),
        ("/us/cards/1/reveal", "403 mismatch"),
        ("/eu/cards/%31/reveal", "403 mismatch"),
        ("/eu/cards/1/reveal?", "403 mismatch"),
        ("/eu/cards/1/reveal", "200"),
        ("/eu/cards/1/reveal", "403 spent"),
    ];
    let (paths, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
    assert_eq!(after_approving_the_first(as_sent, &paths).await, expected);
}

/// What the docs warn of: without the prefix, the two paths are the same.
#[tokio::test]
async fn a_stripped_path_is_bound_as_received() {
    let responses =
        after_approving_the_first(Binding::uri_as_received, &["/eu/cards/2/reveal", "/us/cards/1/reveal"]).await;
    assert_eq!(responses, ["403 mismatch", "200"]);
}

/// Without a path, nothing can be bound.
#[tokio::test]
async fn a_request_without_a_path_is_refused() {
    let clock = ManualClock::new();
    let app = app(&local(&clock), |_| None);
    assert_eq!(
        app.send(json_request("POST", "/eu/cards/1/reveal", "alice/1", "")).await.summary(),
        "400 INVALID_REQUEST"
    );
}
