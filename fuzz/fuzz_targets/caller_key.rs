//! Callers whose concatenated ids are equal but split at different positions: their records never collide.
//!
//! An input is two bytes, the positions at which the rest is split into a user id and a session id.

#![no_main]

use std::sync::LazyLock;

use tower_step_up::{Caller, PushReply, Requirement, StepUp, discard, store::Key};
use tower_step_up_fuzz::{Kept, Shelf, run};

static BENCH: LazyLock<(StepUp, Shelf)> = LazyLock::new(|| {
    let shelf = Shelf::default();
    (shelf.builder().sandbox().otp("SMS", discard).build().expect("it is sound"), shelf)
});

/// The keys under which the records of a session and its user are loaded.
fn keys(subject: &str, session: &[u8]) -> [Key; 2] {
    let (step_up, shelf) = &*BENCH;
    shelf.restore(&Kept::default());
    let _ = run(step_up.authorize(&Caller::user(subject).session_bytes(session), &Requirement::new()));
    let _ = run(step_up.answer_push(subject, "1", PushReply::Decline));
    shelf.kept().asked.as_slice().try_into().expect("each is one look-up")
}

fn part(text: &str, at: u8) -> (&str, &[u8]) {
    let mut at = usize::from(at).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    (&text[..at], &text.as_bytes()[at..])
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let &[one, other, ref rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);
    let (one, other) = (part(&text, one), part(&text, other));
    let callers = [one, other, (one.0, other.1), (other.0, one.1), (&*text, &[]), ("", text.as_bytes())];
    let all = callers.map(|(subject, session)| keys(subject, session));

    for (a, [a_session, a_subject]) in callers.iter().zip(&all) {
        for (b, [b_session, b_subject]) in callers.iter().zip(&all) {
            assert_eq!(a_session.as_bytes() == b_session.as_bytes(), a == b, "{a:?} {b:?}");
            assert_eq!(a_subject.as_bytes() == b_subject.as_bytes(), a.0 == b.0, "{a:?} {b:?}");
            assert_ne!(a_session.as_bytes(), b_subject.as_bytes(), "{a:?} {b:?}");
        }
    }

    // If one caller steps up, the other is not stepped up.
    let (step_up, shelf) = &*BENCH;
    shelf.restore(&Kept::default());
    let [caller, rest @ ..] = callers.map(|(subject, session)| Caller::user(subject).session_bytes(session));
    run(step_up.start_otp(&caller, "SMS", None)).expect("it is the first");
    run(step_up.verify_otp(&caller, "SMS", "123456")).expect("it is the sandbox's code");
    for (other, ids) in rest.iter().zip(&callers[1..]) {
        let passes = run(step_up.authorize(other, &Requirement::new())).is_ok();
        assert_eq!(passes, *ids == callers[0], "{ids:?} by the step-up of {:?}", callers[0]);
        assert_eq!(format!("{other:?}"), format!("{:?}", Caller::user("").session("")), "it prints an id");
    }
});
