//! Step-ups that open one operation each: run `cargo run --example dynamic_linking` and paste the lines it prints.
//! The terminal acts as the phone: the text and the code of each message are printed there.

use axum::http::{StatusCode, Uri, request::Parts};
use axum::{Router, body::Bytes, extract::OriginalUri, extract::Path, middleware::from_fn, routing::post};
use serde::Deserialize;
use tower_step_up::{Binding, ConfigError, DeliveryError, OtpMessage, OtpSender, RequireStepUp, StepUp};

#[path = "support/local.rs"]
mod local;

pub(crate) fn app(phone: impl OtpSender) -> Result<Router, ConfigError> {
    let step_up = StepUp::builder().otp("SMS", phone).public_path("/stepup/challenges").build()?;
    let guard = RequireStepUp::new(&step_up);
    let payouts = guard.clone().bind(Binding::new(Binding::uri_as_received, describe_payout));
    // A nested router sees `/1/reveal` for cards of either country; the binding covers the path that the client sent.
    let guard = guard.bind(Binding::new(as_sent, describe_card).without_body());
    let reveal = async |Path(id): Path<u32>| format!("card {id}: 4242 4242 4242 4242\n");
    let cards = Router::new().route("/{id}/reveal", post(reveal)).route_layer(guard);
    Ok(Router::new()
        .route("/payouts", post(pay))
        .route_layer(payouts)
        .nest("/eu/cards", cards.clone())
        .nest("/us/cards", cards)
        .nest_service("/stepup/challenges", step_up.challenges())
        .layer(from_fn(local::authenticate)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)] // every field that takes effect is in the text
struct Payout {
    to: String,
    cents: u64,
}

/// The text for the phone, parsed from the body as in the handler below. `None` is 400.
fn describe_payout(_: &Parts, body: &[u8]) -> Option<String> {
    let Payout { to, cents } = serde_json::from_slice(body).ok()?;
    Some(format!("Pay {}.{:02} EUR to {to}", cents / 100, cents % 100))
}

async fn pay(body: Bytes) -> Result<String, StatusCode> {
    let Payout { to, cents } = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(format!("paid {cents} cents to {to}\n"))
}

fn as_sent(request: &Parts) -> Option<Uri> {
    Some(request.extensions.get::<OriginalUri>()?.0.clone())
}

fn describe_card(request: &Parts, _: &[u8]) -> Option<String> {
    let uri = as_sent(request)?;
    let (country, id) = uri.path().strip_prefix('/')?.strip_suffix("/reveal")?.split_once("/cards/")?;
    let id: u32 = id.parse().ok()?;
    Some(format!("Show the number of card {id} ({country})"))
}

async fn phone(message: OtpMessage) -> Result<(), DeliveryError> {
    println!("\n[phone] {}: {}", message.operation().unwrap_or("Your code"), message.code().expose());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app(phone)?, TRY).await?)
}

const TRY: &str = r#"
pay() { curl -s -H "$ALICE" $APP/payouts -d '{"to":"carol","cents":'$1'}'; echo; }
BINDING=$(pay 25000 | tee /dev/stderr | sed 's/.*"binding":"//; s/".*//')
curl -H "$ALICE" -H "$JSON" $APP/stepup/challenges/otp/SMS -d "{\"binding\":\"$BINDING\"}"
CODE=  # the one that was printed
curl -H "$ALICE" -H "$JSON" $APP/stepup/challenges/otp/SMS/verify -d "{\"verificationCode\":\"$CODE\"}"
pay 25001                                        # 403: mismatch
pay 25000                                        # paid
pay 25000                                        # 403: spent
curl -X POST -H "$ALICE" $APP/eu/cards/1/reveal  # 403, with a binding of its own
"#;
