//! All operations of a user, and a search for personal data in a copy of the store (T37).

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding};
use http::{Request, Response, request::Parts};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use tower::{Layer, ServiceExt, service_fn};
use tower_step_up::{
    Binding, Caller, DeliveryError, OtpMessage, Policy, Proof, Purpose, PushMessage, PushReply, Recipient, Refusal,
    RequireStepUp, Requirement, Secret, StepUp, StepUpBuilder, guard::Replayed,
};

const SUBJECT: &str = "user-8841-canary";
const SESSION: &str = "canary-session-9a7e";
const NEW_SESSION: &str = "canary-session-77b2";
const PHONE: &str = "+4915112345678";
const EMAIL: &str = "alice@canary.example";
const DEVICE: &str = "device-canary-1177";
const TEXT: &str = "Pay 900 EUR to DE02 1203 0000 0000 2020 51";
/// A code that is always wrong.
const WRONG: &str = "000000000000";

/// A prefix of this many bytes of a digest identifies it.
const PREFIX: usize = 8;

/// Values that must not be found, by the input they were derived from.
pub struct Traces(Vec<(String, Vec<u8>)>);

impl Traces {
    fn new() -> Self {
        let mut traces = Self(Vec::new());
        for (recipient, other) in [(PHONE, "4915112345678"), (EMAIL, "ALICE@CANARY.EXAMPLE"), (DEVICE, "")] {
            traces.add("recipient", recipient);
            traces.add("recipient", other);
        }
        traces.add("subject", SUBJECT);
        traces.add("text", TEXT);
        for session in [SESSION, NEW_SESSION] {
            traces.add("session", session);
            for parts in [[SUBJECT, session].concat(), [SUBJECT, ":", session].concat()] {
                traces.digests("subject and session", parts.as_bytes());
            }
            traces.own_digests("subject and session", &[SUBJECT.as_bytes(), session.as_bytes()]);
        }
        traces
    }

    /// A value as it is, and every digest of it.
    fn add(&mut self, what: &str, value: &str) {
        if !value.is_empty() {
            self.encodings(what, value.as_bytes());
            self.digests(what, value.as_bytes());
            self.own_digests(what, &[value.as_bytes()]);
        }
    }

    /// A push's id is hashed after its user's key.
    fn add_push(&mut self, id: &str) {
        self.add("push id", id);
        for subject in [Sha256::digest(SUBJECT).to_vec(), own_digest("step-up/subject\0", &[SUBJECT.as_bytes()])] {
            for key in [own_digest("step-up/sandbox\0", &[&subject]), subject] {
                self.digests("push id of the user", &[b"tower-step-up push\0", &*key, id.as_bytes()].concat());
            }
        }
    }

    /// The digest of the operation is in plain text in the caller's token: after a version, a number of four bytes and
    /// one of eight.
    fn add_token(&mut self, token: &str) {
        let token = Base64UrlUnpadded::decode_vec(token).unwrap();
        self.digest("operation", &token[13..45]);
        self.digests("operation", &token[13..45]);
    }

    /// Digests by common hash functions.
    fn digests(&mut self, what: &str, value: &[u8]) {
        self.digest(&format!("SHA-224 of {what}"), &Sha224::digest(value));
        self.digest(&format!("SHA-256 of {what}"), &Sha256::digest(value));
        self.digest(&format!("SHA-384 of {what}"), &Sha384::digest(value));
        self.digest(&format!("SHA-512 of {what}"), &Sha512::digest(value));
        self.digest(&format!("SHA-256 of SHA-256 of {what}"), &Sha256::digest(Sha256::digest(value)));
    }

    /// Digests by this crate's hash: with a label, each part prefixed with its length; and again for a sandbox.
    fn own_digests(&mut self, what: &str, parts: &[&[u8]]) {
        for label in ["step-up/session\0", "step-up/subject\0", "step-up/address\0"] {
            let digest = own_digest(label, parts);
            self.digest(&format!("key of {what}"), &digest);
            self.digests(&format!("key of {what}"), &digest);
            self.digest(&format!("key in a sandbox of {what}"), &own_digest("step-up/sandbox\0", &[&digest]));
            // A keyed hash with a public key.
            for label in ["step-up/record\0", "step-up/record key\0", "step-up/record operation\0"] {
                self.digests(&format!("{label} and key of {what}"), &[label.as_bytes(), &digest].concat());
            }
        }
    }

    fn digest(&mut self, what: &str, digest: &[u8]) {
        self.encodings(what, &digest[..PREFIX]);
    }

    /// Plain, in hex, in base64 and as a list of numbers. Characters that depend on the following bytes are left out.
    fn encodings(&mut self, what: &str, bytes: &[u8]) {
        let numbers = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
        let hex = hex(bytes);
        let whole = bytes.len() * 8 / 6;
        let encoded = [Base64::encode_string(bytes), Base64Unpadded::encode_string(bytes)];
        let mut encoded = encoded.map(|text| text[..whole].to_owned()).to_vec();
        encoded.push(Base64UrlUnpadded::encode_string(bytes)[..whole].to_owned());
        encoded.extend([hex.to_uppercase(), hex, numbers]);
        self.0.extend(encoded.into_iter().map(|text| (what.to_owned(), text.into_bytes())));
        self.0.push((what.to_owned(), bytes.to_vec()));
    }

    /// The values that are found in any of these.
    pub fn found_in<'a>(&self, copies: impl IntoIterator<Item = &'a [u8]>) -> BTreeSet<&str> {
        let mut first = vec![Vec::new(); 1 << 16];
        for (what, bytes) in &self.0 {
            first[usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))].push((what.as_str(), bytes));
        }
        let mut found = BTreeSet::new();
        for copy in copies {
            for at in 0..copy.len().saturating_sub(1) {
                let candidates = &first[usize::from(u16::from_be_bytes([copy[at], copy[at + 1]]))];
                found
                    .extend(candidates.iter().filter(|(_, bytes)| copy[at..].starts_with(bytes)).map(|(what, _)| what));
            }
        }
        found
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn own_digest(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new_with_prefix(label);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// The last secret that was sent: a code, or the id of a push.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<String>>);

impl Sent {
    fn last(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Runs every operation over a store: starts, guesses, verifies, approves, declines, consumes, moves, locks and
/// revokes. `look` is called after each step, with all values that must not be found by then.
pub async fn whole_life(builder: StepUpBuilder, look: impl AsyncFn(&str, &Traces)) {
    let sent = Sent::default();
    let (codes, pushes) = (sent.clone(), sent.clone());
    let send_code = move |message: OtpMessage| {
        message.code().expose().clone_into(&mut codes.0.lock().unwrap());
        async { Ok::<_, DeliveryError>(()) }
    };
    let send_push = move |message: PushMessage| {
        message.id().clone_into(&mut pushes.0.lock().unwrap());
        async { Ok::<_, DeliveryError>(()) }
    };
    let enrollment = async |_: Caller, channel: String| {
        Ok(Recipient::new(match &*channel {
            "SMS" => PHONE,
            "EMAIL" => EMAIL,
            _ => DEVICE,
        }))
    };
    let step_up = builder
        .otp("SMS", send_code.clone())
        .otp("EMAIL", send_code)
        .push("BIO", send_push)
        .proof("PASSKEY")
        .enrollment(enrollment)
        // Twelve digits do not occur by chance in the numbers of a record.
        .policy(Policy::new().code_digits(12).number_matching(3).store_deadline(std::time::Duration::from_secs(10)))
        .record_key(Secret::new([1; 32]).unwrap())
        .secret(Secret::new([2; 32]).unwrap())
        .build()
        .unwrap();
    let (alice, new) = (&Caller::user(SUBJECT).session(SESSION), &Caller::user(SUBJECT).session(NEW_SESSION));
    let mut traces = Traces::new();

    step_up.start_otp(alice, "SMS", Some("payments")).await.unwrap();
    traces.add("code", &sent.last());
    look("a code was started", &traces).await;
    assert!(step_up.verify_otp(alice, "SMS", WRONG).await.is_err());
    look("a wrong code was compared", &traces).await;
    step_up.verify_otp(alice, "SMS", &sent.last()).await.unwrap();
    look("the code was verified", &traces).await;

    // A push for one operation, with its text, and its grant.
    let token = refused(&step_up, alice).await.expect("a refusal: not approved yet");
    traces.add_token(&token);
    let push = step_up.start_push(alice, "BIO", Purpose::new().binding(&token)).await.unwrap();
    assert_eq!(push.id, sent.last());
    traces.add_push(&push.id);
    look("a push was started", &traces).await;
    let number = push.number.unwrap();
    assert!(step_up.answer_push(SUBJECT, &push.id, PushReply::Number("no number".into())).await.is_err());
    step_up.answer_push(SUBJECT, &push.id, PushReply::Number(number)).await.unwrap();
    look("the push was approved", &traces).await;
    assert_eq!(refused(&step_up, alice).await, None, "it was approved");
    look("its grant was spent", &traces).await;

    let token = refused(&step_up, alice).await.expect("a refusal: the grant was consumed");
    let purpose = Purpose::new().binding(&token);
    step_up.record_proof(alice, Proof::new("PASSKEY").purpose(purpose)).await.unwrap();
    look("a proof was recorded", &traces).await;
    step_up.authorize(alice, &Requirement::new().scope("payments").once()).await.unwrap();
    look("a scope was spent", &traces).await;

    step_up.start_otp(new, "EMAIL", None).await.unwrap();
    traces.add("code", &sent.last());
    look("another session has begun", &traces).await;
    step_up.verify_otp(new, "EMAIL", &sent.last()).await.unwrap();
    step_up.transfer(alice, new).await.unwrap();
    look("the elevation was transferred", &traces).await;

    let push = step_up.start_push(new, "BIO", Some("payments")).await.unwrap();
    traces.add_push(&push.id);
    step_up.answer_push(SUBJECT, &push.id, PushReply::Decline).await.unwrap();
    look("a push was declined", &traces).await;
    step_up.lock(SUBJECT).await.unwrap();
    look("the user was locked", &traces).await;
    step_up.unlock(SUBJECT).await.unwrap();
    step_up.revoke(new).await.unwrap();
    look("the session was revoked", &traces).await;
    step_up.revoke_all(SUBJECT).await.unwrap();
    look("everything was revoked", &traces).await;
}

/// Sends a bound request; returns the token of the refusal, `None` if it passes.
async fn refused(step_up: &StepUp, caller: &Caller) -> Option<String> {
    let binding = Binding::new(Binding::uri_as_received, |_: &Parts, _: &[u8]| Some(TEXT.into()));
    let guard = RequireStepUp::new(step_up).bind(binding).rebuild_with(Body::new as fn(Replayed) -> Body);
    let inner = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let request = Request::post("/payouts").extension(caller.clone()).body(Body::from("900")).unwrap();
    let Ok(answer) = guard.layer(inner).oneshot(request).await;
    match answer.extensions().get::<Refusal>() {
        Some(Refusal::StepUpRequired(unmet)) => unmet.binding().map(Into::into),
        _ => None,
    }
}

/// The values that the search must find.
#[test]
fn the_search_finds_digests_in_every_spelling() {
    let traces = Traces::new();
    let bare = own_digest("step-up/address\0", &[PHONE.as_bytes()]);
    let hex = hex(&bare);
    let spellings = [
        bare.clone(),
        bare[..16].to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        serde_json::to_vec(&bare).unwrap(),
        Base64::encode_string(&bare).into_bytes(),
        Base64UrlUnpadded::encode_string(&bare).into_bytes(),
    ];
    for spelling in spellings {
        let copy = [b"before ", &*spelling, b" after"].concat();
        assert_eq!(traces.found_in([&*copy]), BTreeSet::from(["key of recipient"]), "{copy:?}");
    }
    let copy = format!("sent to {PHONE}, {:?}", Sha512::digest(EMAIL).to_vec());
    assert_eq!(traces.found_in([copy.replace(", ", ",").as_bytes()]).len(), 2);
    assert!(traces.found_in([&b"payments, SMS, {\"Session\":1}"[..]]).is_empty());
}
