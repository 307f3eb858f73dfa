//! Bound routes in nested routers, where axum strips what stands before: which path is bound.

use axum::{Router, extract::OriginalUri, routing::post};
use http::{Uri, request::Parts};
use serde_json::json;
use tower_step_up::{Binding, ManualClock, RequireStepUp, StepUp};

use super::{
    CODE,
    app::{App, ask, companion},
    local,
};

type FindUri = fn(&Parts) -> Option<Uri>;

/// `/eu/cards/{id}/reveal` and `/us/cards/{id}/reveal`, with one text for all.
fn app(step_up: &StepUp, uri: FindUri) -> App {
    let binding = Binding::new(uri, |_: &Parts, _: &[u8]| Some("Show a card".into())).without_body();
    let guard = RequireStepUp::new(step_up).bind(binding);
    let cards = Router::new().route("/cards/{id}/reveal", post(async || "4242")).route_layer(guard);
    App::new(step_up, Router::new().nest("/eu", cards.clone()).nest("/us", cards))
}

fn as_sent(request: &Parts) -> Option<Uri> {
    Some(request.extensions.get::<OriginalUri>()?.0.clone())
}

/// Approves `/eu/cards/1/reveal`, and says what each path is told then.
async fn after_approving_the_first(uri: FindUri, paths: &[&str]) -> Vec<String> {
    let clock = ManualClock::new();
    let app = app(&local(&clock), uri);
    let reveal = async |path: &str| app.ask(ask("POST", path, "alice/1", "")).await;
    let start = json!({ "binding": reveal("/eu/cards/1/reveal").await.binding() });
    assert_eq!(app.ask(companion("POST", "/otp/SMS", "alice/1", &start)).await.says(), "204");
    let code = json!({ "verificationCode": CODE });
    assert_eq!(app.ask(companion("POST", "/otp/SMS/verify", "alice/1", &code)).await.says(), "204");
    let mut told = Vec::new();
    for path in paths {
        told.push(reveal(path).await.says());
    }
    told
}

#[tokio::test]
async fn the_path_that_was_sent_is_bound() {
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

/// What the docs warn of: inside, the two look the same.
#[tokio::test]
async fn a_path_that_was_stripped_is_bound_as_it_is() {
    let told = after_approving_the_first(Binding::uri_as_received, &["/eu/cards/2/reveal", "/us/cards/1/reveal"]).await;
    assert_eq!(told, ["403 mismatch", "200"]);
}

/// Where the path cannot be told, nothing can be bound.
#[tokio::test]
async fn a_path_that_is_not_known_is_refused() {
    let clock = ManualClock::new();
    let app = app(&local(&clock), |_| None);
    assert_eq!(app.ask(ask("POST", "/eu/cards/1/reveal", "alice/1", "")).await.says(), "400");
}
