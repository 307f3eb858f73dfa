//! How many round trips to a shared store an operation waits for, one after the other: each takes a tick of a paused clock.
//!
//! | operation | atomic store | other store |
//! |---|---|---|
//! | a guarded request | 1 | 1 |
//! | start a code | 2 | 3 |
//! | start a code to a recipient that this process does not expect | 3 | 5 |
//! | start a code to the expected recipient | 2 | 4 |
//! | verify a code, right or wrong | 2 | 4, and 3 where it is wrong |
//! | verify the right code, which was sent to the expected recipient | 3 | 5 |
//! | start a push, its message included | 3 | 4 |
//! | a guarded request that consumes its grant | 2 | 2 |

use std::time::Duration;

use testkit::FaultyStore;
use tokio::time::Instant;
use tower_step_up::{
    Caller, ChallengeError, EnrollmentError, ManualClock, Recipient, Requirement, StepUp, Store, discard,
};

const TRIP: Duration = Duration::from_millis(1);

/// Mail goes to a recipient that the enrollment names; texts and pushes go to one that only the sender knows.
async fn enrolled(caller: Caller, channel: String) -> Result<Recipient, EnrollmentError> {
    Ok(match &*channel {
        "MAIL" => Recipient::new(format!("{}@bank.example", caller.subject())),
        _ => Recipient::known_to_sender(),
    })
}

async fn trips<T>(operation: impl Future<Output = T>) -> (u128, T) {
    let began = Instant::now();
    let output = operation.await;
    (began.elapsed().as_millis() / TRIP.as_millis(), output)
}

#[tokio::test(start_paused = true)]
async fn a_start_and_a_verification_take_two_each() {
    for (store, expected) in [
        (FaultyStore::atomic(), [1, 2, 2, 2, 3, 3, 2, 3, 3, 2]),
        (FaultyStore::sequential(), [1, 3, 3, 4, 5, 5, 4, 5, 4, 2]),
    ] {
        let clock = ManualClock::new();
        store.set_trip(TRIP);
        let step_up = store
            .on(StepUp::builder().sandbox())
            .clock(clock.clone())
            .otp("SMS", discard)
            .otp("MAIL", discard)
            .push("BIO", discard)
            .enrollment(enrolled)
            .build()
            .unwrap();
        let alice = Caller::user("alice").session("1");
        let (any, once) = (Requirement::new(), Requirement::new().once());

        let (guarded, refused) = trips(step_up.authorize(&alice, &any)).await;
        assert!(refused.is_err());
        let (start, started) = trips(step_up.start_otp(&alice, "SMS", None)).await;
        started.unwrap();
        let (wrong, compared) = trips(step_up.verify_otp(&alice, "SMS", "000000")).await;
        assert_eq!(compared.map(drop), Err(ChallengeError::CodeInvalid));
        let (right, verified) = trips(step_up.verify_otp(&alice, "SMS", "123456")).await;
        verified.unwrap();
        clock.advance(Duration::from_secs(60));
        let (unexpected, started) = trips(step_up.start_otp(&alice, "MAIL", None)).await;
        started.unwrap();
        let (mailed, verified) = trips(step_up.verify_otp(&alice, "MAIL", "123456")).await;
        verified.unwrap();
        clock.advance(Duration::from_secs(60));
        let (expected_start, started) = trips(step_up.start_otp(&alice, "MAIL", None)).await;
        started.unwrap();
        let (again, verified) = trips(step_up.verify_otp(&alice, "MAIL", "123456")).await;
        verified.unwrap();
        let (push, started) = trips(step_up.start_push(&alice, "BIO", None)).await;
        started.unwrap();
        let (consumed, passed) = trips(step_up.authorize(&alice, &once)).await;
        passed.unwrap();
        let measured = [guarded, start, wrong, right, unexpected, mailed, expected_start, again, push, consumed];
        assert_eq!(measured, expected, "atomic: {}", store.is_atomic());
    }
}
