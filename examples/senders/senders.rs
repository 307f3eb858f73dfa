//! An application whose messages are sent by what the environment names, each of which may be left out:
//!
//! - `SMTP_URL`, such as `smtps://user:password@smtp.example`, and `SMTP_FROM`: the channel `EMAIL`;
//! - `WEBHOOK_URL` and `WEBHOOK_SECRET` (`whsec_…`): the channels `VOICE` and `APP`, a push;
//! - `SMS_URL`, to which a client of its own posts `{"to","text"}`: the channel `SMS`.
//!
//! `USER_PHONE` and `USER_EMAIL` are those of the only user. `cargo run -p senders --example senders`

use std::{env, error::Error};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower_step_up::{
    Caller, ConfigError, DeliveryError, EnrollmentError, OtpMessage, Recipient, RequireStepUp, StepUp, StepUpBuilder,
    senders::{Smtp, Webhook, WebhookSecret},
};

type Settings = dyn Fn(&str) -> Option<String>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(&|name| env::var(name).ok())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

pub(crate) fn app(settings: &Settings) -> Result<Router, ConfigError> {
    let step_up = senders(settings)?.public_path("/stepup/challenges").build()?;
    Ok(Router::new()
        .route("/transfers", post(async || "paid"))
        .route_layer(RequireStepUp::new(&step_up))
        .nest_service("/stepup/challenges", step_up.challenges())
        .layer(from_fn(log_in)))
}

/// The channels that are configured.
pub(crate) fn senders(settings: &Settings) -> Result<StepUpBuilder, ConfigError> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut builder = StepUp::builder();
    if let (Some(url), Some(from)) = (settings("SMTP_URL"), settings("SMTP_FROM")) {
        builder = builder.otp("EMAIL", Smtp::new(&url, &from)?);
    }
    if let (Some(url), Some(secret)) = (settings("WEBHOOK_URL"), settings("WEBHOOK_SECRET")) {
        let webhook = Webhook::new(client.clone(), &url, WebhookSecret::new(&secret)?)?;
        builder = builder.otp("VOICE", webhook.clone()).push("APP", webhook);
    }
    if let Some(url) = settings("SMS_URL") {
        builder = builder.otp("SMS", async move |message: OtpMessage| {
            let text = message.sms_text("bank.example");
            let body = serde_json::json!({ "to": message.recipient().as_str(), "text": text.expose() }).to_string();
            let request = http::Request::post(&url).body(Full::from(body)).map_err(|_| DeliveryError::Failed)?;
            // Without a response, nobody knows.
            let sent = client.request(request).await.map_err(|_| DeliveryError::Unknown)?;
            match sent.status() {
                status if status.is_success() => Ok(()),
                // The provider has refused it.
                status if status.is_client_error() => Err(DeliveryError::Failed),
                _ => Err(DeliveryError::Unknown),
            }
        });
    }
    let (phone, email) = (settings("USER_PHONE"), settings("USER_EMAIL"));
    Ok(builder.enrollment(async move |_: Caller, channel: String| {
        let enrolled = match &*channel {
            "EMAIL" => email.as_ref().map(Recipient::email),
            "APP" => return Ok(Recipient::new("the app")),
            _ => phone.as_ref().map(Recipient::phone),
        };
        enrolled.and_then(Result::ok).ok_or(EnrollmentError::NotEnrolled)
    }))
}

/// In the place of the application's sessions: every request is from its one user.
async fn log_in(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller::user("alice").session("1"));
    next.run(request).await
}
