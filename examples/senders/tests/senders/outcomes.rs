//! Sender by outcome: the answer to the client, the event, and how many of the three messages of five minutes are left.

use tower_step_up::{ChallengeError, Recipient};

use crate::{
    App, example,
    smtp::{Mail, to},
    webhook::Receiver,
};

/// An outcome, the answer, the event and the messages that are left.
type Row<T> = (T, Result<(), ChallengeError>, &'static str, usize);

const DOWN: Result<(), ChallengeError> = Err(ChallengeError::Unavailable);
const REFUSED: Result<(), ChallengeError> = Err(ChallengeError::RecipientInvalid);

#[tokio::test(flavor = "multi_thread")]
async fn of_a_mail_server() {
    let table: [Row<&str>; 11] = [
        ("alice", Ok(()), "sent", 2),
        ("refused", REFUSED, "RecipientInvalid", 3),
        ("plainly-refused", DOWN, "Failed", 3),
        ("spam", DOWN, "Failed", 3),
        ("greylisted", DOWN, "Failed", 3),
        ("full", DOWN, "Failed", 3),
        ("rejected", DOWN, "Failed", 3),
        ("goes-on", DOWN, "Unknown", 2),
        ("dies", DOWN, "Unknown", 2),
        ("hangs", DOWN, "Unknown", 2),
        ("alice", Ok(()), "sent", 2),
    ];
    let mail = Mail::start();
    for (name, answer, event, left) in table {
        let app = App::new(|builder| builder.otp("CODE", mail.sender("secret")));
        assert_eq!(app.start(to(name)).await, (answer, event.to_owned()), "{name}");
        assert_eq!(app.left(to("alice")).await, left, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_webhook() {
    let table: [Row<&'static [u16]>; 14] = [
        (&[200], Ok(()), "sent", 2),
        (&[503, 204], Ok(()), "sent", 2),
        (&[422, 204], DOWN, "Failed", 3),
        // With the header that says so.
        (&[460, 204], REFUSED, "RecipientInvalid", 3),
        (&[404, 204], DOWN, "Failed", 3),
        (&[429, 429, 204], DOWN, "Failed", 3),
        // It may be a proxy's, after the receiver has it.
        (&[308, 204], DOWN, "Unknown", 2),
        (&[503, 404, 204], DOWN, "Unknown", 2),
        (&[598, 598, 598, 598, 204], DOWN, "Unknown", 2),
        (&[599, 204], DOWN, "Unknown", 2),
        (&[500, 404, 204], DOWN, "Unknown", 2),
        (&[500, 460, 204], DOWN, "Unknown", 2),
        (&[1, 1, 1, 1, 204], DOWN, "Unknown", 2),
        (&[0, 204], DOWN, "Unknown", 2),
    ];
    for (answers, answer, event, left) in table {
        let receiver = Receiver::start(answers).await;
        let app = App::new(|builder| builder.otp("CODE", receiver.sender()));
        let phone = Recipient::phone("+436601230111").unwrap();
        assert_eq!(app.start(phone.clone()).await, (answer, event.to_owned()), "{answers:?}");
        assert_eq!(app.left(phone).await, left, "{answers:?}");
    }
}

/// T13: whatever the sender, no more is sent than the budget permits: a thousand starts at once are three messages.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_sends_what_the_budget_permits() {
    let receiver = Receiver::start(&[204]).await;
    let app = App::new(|builder| builder.otp("CODE", receiver.sender()));
    let step_up = app.step_up.clone();
    testkit::together(1000, move |task| {
        let step_up = step_up.clone();
        async move {
            let caller = tower_step_up::Caller::user("alice").session(task % 50);
            let _ = step_up.start_otp(&caller, "CODE", None).await;
        }
    })
    .await;
    assert_eq!(receiver.requests.lock().unwrap().len(), 3);
}

/// The example, with each of its senders configured, and with none.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_example() {
    let receiver = Receiver::start(&[204]).await;
    let settings = |sms: String| {
        move |name: &str| match name {
            "SMTP_URL" => Some("smtp://localhost:1".into()),
            "SMTP_FROM" => Some("Example Bank <no-reply@bank.example>".into()),
            "WEBHOOK_URL" | "SMS_URL" => Some(sms.clone()),
            "WEBHOOK_SECRET" => Some(crate::webhook::SECRET.into()),
            "USER_PHONE" => Some("+43 660 1230111".into()),
            "USER_EMAIL" => Some("alice@example.com".into()),
            _ => None,
        }
    };
    let step_up = example::senders(&settings(receiver.url.clone())).unwrap().build().unwrap();
    let caller = testkit::alice();
    let status = step_up.status(&caller).await.unwrap();
    assert_eq!((status.otp, status.push), (vec!["EMAIL".into(), "VOICE".into(), "SMS".into()], vec!["APP".into()]));
    assert_eq!(step_up.start_otp(&caller, "EMAIL", None).await, DOWN, "nobody listens there");
    step_up.start_otp(&caller, "SMS", None).await.unwrap();
    let sent = receiver.requests.lock().unwrap()[0].1.clone();
    let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["to"], "+436601230111");
    assert!(sent["text"].as_str().unwrap().contains("\n@bank.example #"), "{sent}");
    assert!(example::app(&|_| None).is_err(), "no sender, no channel");
}
