//! The texts of messages, as a sender gets them.

use std::sync::{Arc, Mutex};

use testkit::alice;
use tower_step_up::{
    Binding, Caller, DeliveryError, EmailText, OtpMessage, Purpose, RequireStepUp, SmsText, StepUp, StepUpBuilder,
};

/// The texts that were sent, with the code.
#[derive(Clone, Default)]
struct Phone(Arc<Mutex<Vec<(String, SmsText, EmailText)>>>);

impl Phone {
    /// An async closure that owns what it captures is a sender.
    fn builder(&self) -> StepUpBuilder {
        let phone = self.clone();
        StepUp::builder().otp("SMS", async move |message: OtpMessage| {
            let texts = (message.sms_text("bank.example"), message.email_text());
            let (code, (sms, email)) = (message.code().expose().to_owned(), texts);
            phone.0.lock().unwrap().push((code, sms, email));
            Ok::<_, DeliveryError>(())
        })
    }

    /// The last message, with `CODE` in the place of the code.
    fn last(&self) -> [String; 4] {
        let sent = self.0.lock().unwrap();
        let (code, sms, email) = sent.last().unwrap();
        assert_eq!(sms.segments(), 1 + usize::from(sms.expose().chars().count() > 160), "{}", sms.expose());
        [sms.expose(), email.subject(), email.plain(), email.html()].map(|text| text.replace(code, "CODE"))
    }
}

/// The token of a refusal that binds a step-up to an operation with this text.
async fn binding(step_up: &StepUp, text: &'static str) -> String {
    use axum::{Router, body::Body, routing::post};
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let guard = RequireStepUp::new(step_up).bind(Binding::new(Binding::uri_as_received, move |_, _| Some(text.into())));
    let app = Router::new().route("/pay", post(async || "paid")).layer(guard.rebuild_with(Body::new));
    let mut request = http::Request::post("http://bank.example/pay").body(Body::empty()).unwrap();
    request.extensions_mut().insert(alice());
    let body = app.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<serde_json::Value>(&body).unwrap()["binding"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_text_message_says_what_is_approved_in_the_language_of_the_start() {
    let phone = Phone::default();
    let step_up = phone
        .builder()
        .message_text("scope.payments", "payments")
        .message_text_in("de", "scope.payments", "Zahlungen")
        .message_text("private", "Never tell anybody.")
        .build()
        .unwrap();
    let pay = binding(&step_up, "Pay 250.00 EUR to carol").await;
    let table = [
        // Nobody has registered it: it may be a link.
        ("eve", Purpose::new().scope("https://bank.evil"), "CODE is your code. Never tell anybody."),
        ("bob", Purpose::new(), "CODE is your code. Never tell anybody."),
        (
            "carol",
            Purpose::new().scope("payments").language("nl"),
            "CODE is your code. It approves: payments. Never tell anybody.",
        ),
        (
            "dave",
            Purpose::new().scope("payments").language("de-AT"),
            "CODE ist Ihr Code. Er bestätigt: Zahlungen. Never tell anybody.",
        ),
        (
            "alice",
            Purpose::new().binding(&pay).language("fr"),
            "CODE est votre code. Il approuve : Pay 250.00 EUR to carol. Never tell anybody.",
        ),
    ];
    for (user, purpose, expected) in table {
        step_up.start_otp(&Caller::user(user).session("1"), "SMS", purpose).await.unwrap();
        assert_eq!(phone.last()[0], format!("{expected}\n@bank.example #CODE"));
    }
}

/// Neither the subject nor a link contains the code, and what is approved is escaped.
#[tokio::test]
async fn an_email_has_two_parts() {
    let phone = Phone::default();
    let step_up = phone.builder().build().unwrap();
    let pay = binding(&step_up, "Pay 1 EUR to <b>{code}</b> & \"Söhne\"").await;
    step_up.start_otp(&alice(), "SMS", Purpose::new().binding(&pay).language("de")).await.unwrap();
    let [_, subject, plain, html] = phone.last();
    assert_eq!(subject, "Ihr Code");
    assert_eq!(
        plain,
        "CODE ist Ihr Code.\n\nEr bestätigt: Pay 1 EUR to <b>{code}</b> & \"Söhne\"\n\nEr gilt 5 Minuten lang.\n\n\
         Geben Sie ihn niemandem.\n"
    );
    assert!(html.contains("<html lang=\"de\">"), "{html}");
    assert!(html.contains("&lt;b&gt;{code}&lt;/b&gt; &amp; &quot;Söhne&quot;"), "{html}");
    assert!(html.contains(">CODE</b> ist Ihr Code.") && !html.contains("href") && !html.contains("src"), "{html}");
    let sent = phone.0.lock().unwrap();
    let (code, sms, email) = &sent[0];
    let printed = format!("{sms:?} {email:?}");
    assert!(!printed.contains(code.as_str()) && !printed.contains("EUR"), "{printed}");
}

#[test]
fn a_text_that_does_not_fit_fails_when_built() {
    let refused = |name: &str, text: &str| {
        let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard);
        builder.message_text(name, text).build().unwrap_err().to_string()
    };
    assert_eq!(refused("code", "Your code"), "message text \"code\": \"Your code\" lacks {code}");
    assert!(refused("codes", "{code}").contains("code, approves, private, lifetime, subject, or scope."));
}
