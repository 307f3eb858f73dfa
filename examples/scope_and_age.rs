//! Requirements by scope and maximum age: run `cargo run --example scope_and_age` and paste the lines it prints.
//!
//! It listens on 127.0.0.1:3000, or on `EXAMPLE_ADDR`. In the sandbox nothing is sent; the code is 123456.

use std::time::Duration;

use axum::{
    Router,
    extract::FromRef,
    middleware::from_fn,
    routing::{get, post},
};
use tower_step_up::{Clock, ConfigError, Grant, RequireStepUp, Requirement, StepUp, discard, extract::SteppedUp};

#[path = "support/local.rs"]
mod local;

/// The router's state: the guard for the handler that has it in its signature.
#[derive(Clone, FromRef)]
struct Bank {
    cards: RequireStepUp,
}

pub(crate) fn app(clock: impl Clock) -> Result<Router, ConfigError> {
    let step_up = StepUp::builder()
        .sandbox()
        .clock(clock)
        .otp("SMS", discard)
        .scopes(["payments", "cards"]) // others are rejected: a start with 400, a requirement when it is built
        .public_path("/stepup/challenges")
        .build()?;

    // To pay: a step-up for payments, no older than two minutes, independent of the grant's lifetime.
    let to_pay = Requirement::new().scope("payments").max_age(Duration::from_secs(120));
    // To read the limits: a step-up for payments or for the whole session, of any age.
    let to_read = Requirement::new().scope("payments").or_session();
    let cards = RequireStepUp::with(&step_up, Requirement::new().scope("cards"))?;

    Ok(Router::new()
        .route("/transfers", post(transfer))
        .route_layer(RequireStepUp::with(&step_up, to_pay)?)
        .merge(
            Router::new()
                .route("/limits", get(async || "1000 EUR a day\n"))
                .route_layer(RequireStepUp::with(&step_up, to_read)?),
        )
        .route("/cards/1", get(card)) // guarded by its handler
        .with_state(Bank { cards })
        .nest_service("/stepup/challenges", step_up.challenges())
        .layer(from_fn(local::authenticate)))
}

/// Extracts the grant of the request. Without a guard on the route this is 500, and nothing is paid.
async fn transfer(grant: Grant) -> String {
    format!("paid; approved by {} for {}\n", grant.channel(), grant.scope().unwrap_or("the whole session"))
}

/// A guard in the signature, as the first extractor, so that a refused request does not reach the others.
async fn card(_: SteppedUp<RequireStepUp>) -> &'static str {
    "4242 4242 4242 4242\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app(tower_step_up::SystemClock)?, TRY).await?)
}

const TRY: &str = r#"
curl -X POST -H "$ALICE" $APP/transfers; echo  # 403: missing, and it says the scope, the age and where to start
curl -X POST -H "$ALICE" -H "$JSON" $APP/stepup/challenges/otp/SMS -d '{"scope":"payments"}'
curl -H "$ALICE" -H "$JSON" $APP/stepup/challenges/otp/SMS/verify -d '{"verificationCode":"123456"}'
curl -X POST -H "$ALICE" $APP/transfers  # paid; in two minutes 403: too_old
curl -H "$ALICE" $APP/limits             # passes as long as the grant lives
curl -H "$ALICE" $APP/cards/1; echo      # 403: wrong_scope
"#;
