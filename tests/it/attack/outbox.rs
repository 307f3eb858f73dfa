//! A provider that records all messages with their times.

use std::sync::{Arc, Mutex};

use tower_step_up::{Clock as _, DeliveryError, ManualClock, OtpMessage, OtpSender, PushMessage, PushSender};

#[derive(Clone, Default)]
pub(crate) struct Outbox {
    clock: ManualClock,
    sent: Arc<Mutex<Vec<Sent>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: u64,
    pub(crate) subject: String,
    pub(crate) is_push: bool,
    /// The code, or the push id.
    pub(crate) secret: String,
    pub(crate) verified: bool,
}

impl Outbox {
    pub(crate) fn new(clock: &ManualClock) -> Self {
        Self { clock: clock.clone(), sent: Arc::default() }
    }

    pub(crate) fn otp(&self) -> impl OtpSender + use<> {
        let outbox = self.clone();
        move |message: OtpMessage| {
            outbox.take(message.subject(), false, message.code().expose());
            delivered()
        }
    }

    pub(crate) fn push(&self) -> impl PushSender + use<> {
        let outbox = self.clone();
        move |message: PushMessage| {
            outbox.take(message.subject(), true, message.id());
            delivered()
        }
    }

    fn take(&self, subject: &str, is_push: bool, secret: &str) {
        let at = self.clock.now().as_millis();
        let (subject, secret) = (subject.to_owned(), secret.to_owned());
        self.sent.lock().unwrap().push(Sent { at, subject, is_push, secret, verified: false });
    }

    pub(crate) fn len(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// The last message.
    pub(crate) fn last(&self) -> Sent {
        self.sent.lock().unwrap().last().expect("a message").clone()
    }

    /// Marks the last message as verified.
    pub(crate) fn verified(&self) {
        self.sent.lock().unwrap().last_mut().expect("a message").verified = true;
    }

    /// The times of matching messages.
    pub(crate) fn times(&self, which: impl Fn(&Sent) -> bool) -> Vec<u64> {
        self.sent.lock().unwrap().iter().filter(|sent| which(sent)).map(|sent| sent.at).collect()
    }
}

/// Yields, so that other tasks run in between.
async fn delivered() -> Result<(), DeliveryError> {
    tokio::task::yield_now().await;
    Ok(())
}

/// The maximum number of events in a sliding window. The times are sorted.
pub(crate) fn most_within(window: u64, times: &[u64]) -> usize {
    assert!(times.is_sorted());
    let within = |(i, from): (usize, &u64)| times[i..].iter().take_while(|at| **at < from + window).count();
    times.iter().enumerate().map(within).max().unwrap_or(0)
}
