//! An event stream, a download and a WebSocket that end with the step-up: `cargo run -p streams --example streams`, then
//! paste the lines it prints.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    middleware::from_fn,
    response::{
        Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{any, get},
};
use futures_util::{Stream, StreamExt};
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;
use tower_step_up::{Caller, ConfigError, Ended, RequireStepUp, Requirement, StepUp, discard};

#[path = "../support/local.rs"]
mod local;

/// The balance may be followed for a minute after each step-up, though the grant lives for ten.
fn requirement() -> Requirement {
    Requirement::new().stream_for(Duration::from_secs(60))
}

pub(crate) fn app() -> Result<(Router, StepUp), ConfigError> {
    let step_up = StepUp::builder().sandbox().otp("SMS", discard).public_path("/stepup/challenges").build()?;
    let guard = RequireStepUp::with(&step_up, requirement())?;
    let router = Router::new()
        .route("/balance", get(balance))
        .route("/statement", get(statement))
        // Ends the bodies of these responses.
        .route_layer(guard.clone().ending())
        // A WebSocket is no body: its handler waits for the end itself.
        .merge(Router::new().route("/trades", any(trades)).route_layer(guard))
        .nest_service("/stepup/challenges", step_up.challenges())
        .layer(from_fn(local::authenticate))
        .with_state(step_up.clone());
    Ok((router, step_up))
}

/// Its last event is `step-up`, with the refusal.
async fn balance() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seconds = IntervalStream::new(interval(Duration::from_secs(1)));
    let events = seconds.enumerate().map(|(number, _)| Ok(Event::default().data(format!("{number} EUR"))));
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// It breaks off, so that nobody takes a part for the whole.
async fn statement() -> Body {
    let seconds = IntervalStream::new(interval(Duration::from_secs(1)));
    Body::from_stream(seconds.map(|_| Ok::<_, Infallible>(Bytes::from_static(b"one more line\n"))))
}

async fn trades(State(step_up): State<StepUp>, caller: Caller, upgrade: WebSocketUpgrade) -> Response {
    // From here on, so that nothing is missed while the connection is upgraded.
    let ended = step_up.ended(&caller, &requirement());
    upgrade.on_upgrade(async move |mut socket| {
        let why = tokio::select! {
            () = talk(&mut socket) => return,
            why = ended => why,
        };
        let (code, reason) = match why {
            Ended::StoreLost => (close_code::AGAIN, "UNAVAILABLE"),
            // The client steps up, and connects again.
            _ => (close_code::POLICY, "STEP_UP_REQUIRED"),
        };
        let close = CloseFrame { code, reason: reason.into() };
        let _ = socket.send(Message::Close(Some(close))).await;
    })
}

/// Answers each message until the client goes.
async fn talk(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(order) = message
            && socket.send(Message::Text(format!("done: {order}").into())).await.is_err()
        {
            return;
        }
    }
}

const TRY: &str = r#"
# Refused: 403, and where to step up.
curl -i $APP/balance -H "$ALICE"; echo

# Step up: nothing is sent, and the code is 123456.
curl -i -X POST $APP/stepup/challenges/otp/SMS -H "$ALICE"
curl -i $APP/stepup/challenges/otp/SMS/verify -H "$ALICE" -H "$JSON" -d '{"verificationCode":"123456"}'

# Follow the balance. After a minute, or as soon as the elevation is dropped, it ends with the refusal.
curl -N $APP/balance -H "$ALICE" & sleep 5; curl -X DELETE $APP/stepup/challenges -H "$ALICE"; wait
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(local::serve(app()?.0, TRY).await?)
}
