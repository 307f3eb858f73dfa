//! Messages handed to a service of the application's own by a signed request: [`Webhook`].

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;
use sha2::Sha256;
use tokio::time::{Instant, sleep};
use tower::Service;
use zeroize::Zeroizing;

use super::{is_local, message_id, time_to_send};
use crate::{
    engine::{DeliveryError, Envelope, OtpMessage, OtpSender, PushMessage, PushSender},
    rules::{ConfigError, random_bytes, system_random},
    timeout::within,
};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What the receiver says of a recipient: a status alone may be about the request.
const RECIPIENT: HeaderName = HeaderName::from_static("step-up-recipient");

/// The first pause before a request is sent again; each is twice as long as the last, and up to half of it longer.
const PAUSE: Duration = Duration::from_millis(250);

/// How often a message is sent at most.
const ATTEMPTS: u32 = 4;

/// A secret of a webhook: `whsec_` and 24 to 64 random bytes in Base64 (Standard Webhooks, "Signature scheme").
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// # Errors
    ///
    /// [`ConfigError::Webhook`] for anything else.
    pub fn new(secret: &str) -> Result<Self, ConfigError> {
        let bytes = Base64::decode_vec(secret.strip_prefix("whsec_").unwrap_or(secret)).map(Zeroizing::new);
        let bytes = bytes.ok().filter(|bytes| (24..=64).contains(&bytes.len()));
        bytes
            .map(Self)
            .ok_or(ConfigError::Webhook { detail: "the secret is not `whsec_` and 24 to 64 bytes in Base64" })
    }

    /// The signature, without the version in front.
    fn sign(&self, signed: &[&[u8]]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        let mac = signed.iter().fold(mac, Mac::chain_update);
        Base64::encode_string(&mac.finalize().into_bytes())
    }
}

/// Sends each message as a `POST` to a service of the application's own, which has the provider: JSON with a signature of
/// [Standard Webhooks](https://www.standardwebhooks.com), over any Tower HTTP client.
///
/// ```json
/// {"type":"step_up.code","data":{"channel":"SMS","subject":"alice","recipient":"+43660123","code":"123456",
///  "expiresIn":300,"scope":"payments","operation":"Pay 250.00 EUR to carol","language":"de-AT"}}
/// ```
///
/// `type` is `step_up.push` for a push, whose `data` has an `id` for [`StepUp::answer_push`](crate::StepUp::answer_push) in
/// the place of the code. `scope` is the client's word unless the builder registers [scopes](crate::StepUpBuilder::scopes): do
/// not print it then. `recipient`, `scope`, `operation` and `language` are left out where there is none.
///
/// | what comes back | what follows |
/// |---|---|
/// | 2xx | sent |
/// | 4xx with the header `step-up-recipient: invalid` | the recipient is refused: 409 `MOBILE_NUMBER_INVALID` |
/// | 429 | nothing was sent: again, after `Retry-After` or a pause |
/// | 408, 5xx, no response | it may have been sent, for a proxy may have answered: again, with the same `webhook-id`, by which the receiver knows it |
/// | any other 4xx | nothing was sent: 503 |
/// | anything else, such as a redirect | it may have been sent: 503 |
///
/// It is sent at most four times, as long as the sender's deadline permits
/// ([`Policy::sender_deadline`](crate::Policy::sender_deadline)), with pauses that grow and differ. Where any attempt may have been received, the send is counted and a code that arrives can be verified
/// ([`DeliveryError::Unknown`]).
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower_step_up::{StepUp, senders::{Webhook, WebhookSecret}};
///
/// # let client = tower::service_fn(async |_: Request<Full<Bytes>>| Ok::<_, std::io::Error>(Response::new(())));
/// # let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// // Such as `hyper_util::client::legacy::Client`.
/// let webhook = Webhook::new(client, "https://messages.bank.internal/step-up", WebhookSecret::new(secret)?)?;
/// let step_up = StepUp::builder().otp("SMS", webhook.clone()).push("BIOMETRIC", webhook).build()?;
/// # Ok::<_, tower_step_up::ConfigError>(())
/// ```
///
/// # Security
///
/// The receiver must verify the signature and refuse a timestamp that is more than
/// five minutes away, as libraries of Standard Webhooks do.
#[must_use = "a webhook sends what it is registered for: `StepUp::builder().otp(\"SMS\", webhook)`"]
pub struct Webhook<S, B> {
    client: S,
    uri: Uri,
    /// The first signs; the second, too, while receivers change to the first.
    secrets: Vec<WebhookSecret>,
    body: PhantomData<fn(B)>,
}

/// What one attempt has come to.
enum Attempt {
    Ended(Result<(), DeliveryError>),
    /// Nothing was sent.
    Refused {
        wait: Option<Duration>,
    },
    /// It may have been received.
    Unknown {
        wait: Option<Duration>,
    },
}

impl<S, B> Webhook<S, B> {
    /// `client` is a service of requests with a body that is `From<Bytes>`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Webhook`] if the URL does not begin with `https://`, or with `http://` and this machine: the body contains
    /// the code.
    pub fn new(client: S, url: &str, secret: WebhookSecret) -> Result<Self, ConfigError> {
        let is_safe = |uri: &Uri| match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_local(uri),
            _ => false,
        };
        let uri = url.parse().ok().filter(is_safe);
        let uri = uri.ok_or(ConfigError::Webhook {
            detail: "the URL is not an absolute one with https, such as https://messages.example/",
        })?;
        Ok(Self { client, uri, secrets: vec![secret], body: PhantomData })
    }

    /// The secret before the last rotation, with which each request is signed as well: remove it when every receiver has
    /// the new one.
    pub fn previous_secret(mut self, secret: WebhookSecret) -> Self {
        self.secrets.truncate(1);
        self.secrets.push(secret);
        self
    }
}

impl<S, B, R> Webhook<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: From<Bytes>,
{
    /// Sends a message until its outcome is certain, or no time is left.
    async fn deliver(&self, event: &Event<'_>, deadline: Duration) -> Result<(), DeliveryError> {
        let ends = Instant::now() + time_to_send(deadline);
        let id = format!("msg_{}", message_id()?);
        let body = Bytes::from(serde_json::to_vec(event).map_err(|_| DeliveryError::Failed)?);
        let mut certain = true;
        for attempt in 0..ATTEMPTS {
            let left = ends.saturating_duration_since(Instant::now());
            let asked = within(left, self.attempt(&id, body.clone())).await;
            let wait = match asked.unwrap_or(Attempt::Unknown { wait: None }) {
                Attempt::Ended(sent @ Ok(())) => return sent,
                // An earlier attempt may have been received.
                Attempt::Ended(Err(_)) if !certain => return Err(DeliveryError::Unknown),
                Attempt::Ended(refused) => return refused,
                Attempt::Refused { wait } => wait,
                Attempt::Unknown { wait } => {
                    certain = false;
                    wait
                }
            };
            // A receiver that has failed must not be asked by everybody at once, nor at once.
            let [random] = random_bytes::<1>(system_random).unwrap_or_default();
            let pause = PAUSE * 2_u32.pow(attempt);
            let wait = wait.unwrap_or_default().max(pause).saturating_add(pause * u32::from(random) / 512);
            // It may ask for any wait.
            if attempt + 1 == ATTEMPTS || wait >= ends.saturating_duration_since(Instant::now()) {
                break;
            }
            sleep(wait).await;
        }
        Err(if certain { DeliveryError::Failed } else { DeliveryError::Unknown })
    }

    async fn attempt(&self, id: &str, body: Bytes) -> Attempt {
        let mut client = self.client.clone();
        if poll_fn(|cx| client.poll_ready(cx)).await.is_err() {
            return Attempt::Refused { wait: None };
        }
        let Some(request) = self.request(id, body) else { return Attempt::Ended(Err(DeliveryError::Failed)) };
        let Ok(response) = client.call(request).await else { return Attempt::Unknown { wait: None } };
        let headers = response.headers();
        let secs = headers.get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = secs.map(Duration::from_secs);
        match response.status() {
            status if status.is_success() => Attempt::Ended(Ok(())),
            StatusCode::TOO_MANY_REQUESTS => Attempt::Refused { wait },
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => Attempt::Unknown { wait },
            status if status.is_client_error() => {
                let refused = headers.get(RECIPIENT).is_some_and(|recipient| recipient == "invalid");
                Attempt::Ended(Err(if refused { DeliveryError::RecipientInvalid } else { DeliveryError::Failed }))
            }
            _ => Attempt::Ended(Err(DeliveryError::Unknown)),
        }
    }

    /// Each attempt has a timestamp and signatures of its own: receivers refuse old ones.
    fn request(&self, id: &str, body: Bytes) -> Option<Request<B>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let sign =
            |secret: &WebhookSecret| format!("v1,{}", secret.sign(&[id.as_bytes(), b".", now.as_bytes(), b".", &body]));
        let signatures: Vec<_> = self.secrets.iter().map(sign).collect();
        let request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ID, id)
            .header(TIMESTAMP, &now)
            .header(SIGNATURE, signatures.join(" "));
        request.body(body.into()).ok()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", content = "data")]
enum Event<'a> {
    #[serde(rename = "step_up.code")]
    Code(Fields<'a>),
    #[serde(rename = "step_up.push")]
    Push(Fields<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    channel: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(message: &'a Envelope) -> Self {
        Self {
            channel: &message.channel,
            subject: &message.subject,
            recipient: message.recipient.as_str(),
            code: None,
            id: None,
            expires_in: message.expires_in.as_secs(),
            scope: message.scope.as_deref(),
            operation: message.operation.as_deref(),
            language: message.language.as_deref(),
        }
    }
}

impl<S, B, R> OtpSender for Webhook<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + Sync + 'static,
    B: From<Bytes> + Send + 'static,
    R: Send,
{
    async fn send(&self, message: OtpMessage) -> Result<(), DeliveryError> {
        let event = Event::Code(Fields { code: Some(message.code().expose()), ..Fields::of(&message.envelope) });
        self.deliver(&event, message.deadline()).await
    }
}

impl<S, B, R> PushSender for Webhook<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + Sync + 'static,
    B: From<Bytes> + Send + 'static,
    R: Send,
{
    async fn send(&self, message: PushMessage) -> Result<(), DeliveryError> {
        let event = Event::Push(Fields { id: Some(message.id()), ..Fields::of(&message.envelope) });
        self.deliver(&event, message.deadline()).await
    }
}

/// Without a bound for the body.
impl<S: Clone, B> Clone for Webhook<S, B> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), uri: self.uri.clone(), secrets: self.secrets.clone(), body: PhantomData }
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Does not print the URL, which may contain a token.
impl<S, B> fmt::Debug for Webhook<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}
