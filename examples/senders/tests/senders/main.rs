//! Senders against programs of others: a mail server and verifiers of webhooks in Python, and what they make of each outcome.

mod outcomes;
mod python;
mod smtp;
mod webhook;

#[path = "../../senders.rs"]
#[allow(dead_code, reason = "its main")]
mod example;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use testkit::alice;
use tower_step_up::{
    Caller, ChallengeError, EnrollmentError, Event, ManualClock, Policy, Recipient, StepUp, StepUpBuilder,
};

/// An application whose only channel is `CODE`, with a recipient that the test chooses, and the names of its events.
struct App {
    step_up: StepUp,
    clock: ManualClock,
    recipient: Arc<Mutex<Recipient>>,
    events: Arc<Mutex<Vec<String>>>,
}

impl App {
    fn new(with_sender: impl FnOnce(StepUpBuilder) -> StepUpBuilder) -> Self {
        let (clock, recipient) = (ManualClock::new(), Arc::new(Mutex::new(Recipient::new("+436601"))));
        let (events, enrolled) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(&recipient));
        let observed = Arc::clone(&events);
        let builder = StepUp::builder()
            .policy(Policy::new().sender_deadline(Duration::from_millis(1500)))
            .clock(clock.clone())
            .enrollment(async move |_: Caller, _: String| Ok::<_, EnrollmentError>(enrolled.lock().unwrap().clone()))
            .observe(move |event: &Event<'_>| {
                let said = match event {
                    Event::SendFailed { why, .. } => format!("{why:?}"),
                    event => event.name().to_owned(),
                };
                observed.lock().unwrap().push(said);
            });
        Self { step_up: with_sender(builder).build().unwrap(), clock, recipient, events }
    }

    /// Starts once to a recipient: the answer, and the last event of the sender.
    async fn start(&self, recipient: Recipient) -> (Result<(), ChallengeError>, String) {
        *self.recipient.lock().unwrap() = recipient;
        self.events.lock().unwrap().clear();
        let answer = self.step_up.start_otp(&alice(), "CODE", None).await;
        let events = self.events.lock().unwrap();
        (
            answer,
            events
                .iter()
                .rfind(|event| ["sent", "Failed", "Unknown", "RecipientInvalid"].contains(&event.as_str()))
                .cloned()
                .unwrap_or_default(),
        )
    }

    /// How many starts of five minutes are left: three, less what is counted.
    async fn left(&self, recipient: Recipient) -> usize {
        for left in 0.. {
            self.clock.advance(Duration::from_secs(15));
            if let (Err(ChallengeError::RateLimited(_)), _) = self.start(recipient.clone()).await {
                return left;
            }
        }
        unreachable!()
    }
}
