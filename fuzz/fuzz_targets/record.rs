//! Any bytes from a store: unreadable records refuse, and readable ones grant no more than they contain.
//!
//! An input is a byte that selects the existing records and the altered one, followed by that whole record or by
//! changes to it, of four bytes each: the operation, the position (two bytes), and a byte.

#![no_main]

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value;
use tower_step_up::{
    AuthorizeError, Caller, Clock, ManualClock, PushReply, Requirement, StepUp, discard,
    store::{Key, Stored},
};
use tower_step_up_fuzz::{Kept, Shelf, run};

struct Bench {
    shelf: Shelf,
    alice: Caller,
    session: Key,
    subject: Key,
    /// A pending challenge; one with a failed attempt; a stepped-up session; one that also has a push.
    states: [HashMap<Key, Vec<u8>>; 4],
    push: String,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let (shelf, alice) = (Shelf::default(), Caller::user("alice").session("session"));
    let step_up = engine(&shelf);
    let _ = run(step_up.authorize(&alice, &Requirement::new()));
    let _ = run(step_up.answer_push("alice", "1", PushReply::Decline));
    let [session, subject] = *shelf.kept().asked else { panic!("each is one look-up") };
    let records = || shelf.kept().records.clone();
    run(step_up.start_otp(&alice, "SMS", None)).expect("it is the first");
    let started = records();
    run(step_up.verify_otp(&alice, "SMS", "000000")).expect_err("it is wrong");
    let failed = records();
    run(step_up.verify_otp(&alice, "SMS", "123456")).expect("it is the sandbox's code");
    let stepped_up = records();
    let push = run(step_up.start_push(&alice, "BIO", Some("payments"))).expect("it is the first").id;
    let states = [started, failed, stepped_up, records()];
    Bench { shelf, alice, session, subject, states, push }
});

/// A new engine for every input, because an engine remembers wrong codes and would soon compare none.
fn engine(shelf: &Shelf) -> StepUp {
    shelf.builder().sandbox().otp("SMS", discard).push("BIO", discard).build().expect("it is sound")
}

fn change(record: &mut Vec<u8>, change: [u8; 4]) {
    let [what, high, low, byte] = change;
    let at = usize::from(u16::from_be_bytes([high, low])) % (record.len() + 1);
    match what % 4 {
        0 => record.insert(at, byte),
        1 => record.truncate(at),
        2 if at < record.len() => drop(record.remove(at)),
        _ if at < record.len() => record[at] = byte,
        _ => {}
    }
}

/// Whether a session's record contains a live, unconsumed, unbound, session-wide grant; parsed independently of the
/// crate.
fn holds_grant(record: &Stored) -> bool {
    let now = ManualClock::new().now().as_millis();
    let json: Value = serde_json::from_str(&record.to_json()).expect("it is JSON");
    let grants = json.pointer("/Session/grants").and_then(Value::as_array);
    grants.into_iter().flatten().any(|grant| {
        let at = |name: &str| grant[name].as_u64().expect("it is a time");
        let opens = grant["scope"].is_null() && grant["operation"].is_null();
        let spent = ["Consumed", "ConsumedAgain"].iter().any(|usage| grant["usage"].get(*usage).is_some());
        opens && !spent && at("verified_at") <= now + 2_000 && now < at("expires_at")
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else { return };
    let Bench { shelf, alice, session, subject, states, push } = &*BENCH;
    let step_up = engine(shelf);
    let mut records = states[usize::from(how & 3)].clone();
    let key = if how & 4 == 0 { session } else { subject };
    let record = records.entry(*key).or_default();
    if how & 8 == 0 {
        *record = rest.to_vec();
    } else {
        rest.as_chunks().0.iter().for_each(|&four| change(record, four));
    }
    let record = record.clone();

    let decoded = Stored::decode(&record);
    if let Ok(stored) = &decoded {
        let encoded = stored.encode();
        assert_eq!(encoded[..16], record[..16], "another revision");
        assert_eq!(Stored::decode(&encoded).expect("it was encoded").encode(), encoded);
    }

    shelf.restore(&Kept { records: records.clone(), ..Kept::default() });
    let check = || run(step_up.authorize(alice, &Requirement::new()));
    let sound = Stored::decode(&records[session]).ok().filter(|stored| stored.to_json().starts_with("{\"Session\""));
    let before = check();
    assert_eq!(before.is_ok(), sound.as_ref().is_some_and(holds_grant), "{before:?}");
    assert_eq!(matches!(before, Err(AuthorizeError::Unavailable)), sound.is_none(), "{before:?}");

    // None of this grants, and everything it writes is readable.
    let _ = run(step_up.status(alice));
    run(step_up.verify_otp(alice, "SMS", "000000")).expect_err("it is wrong");
    let _ = run(step_up.start_push(alice, "BIO", None));
    let _ = run(step_up.push_status(alice, "BIO", push));
    let _ = run(step_up.answer_push("alice", push, PushReply::Decline));
    let _ = run(step_up.start_otp(alice, "SMS", None));
    assert!(before.is_ok() || check().is_err(), "a grant out of nothing");
    let _ = run(step_up.answer_push("alice", push, PushReply::Approve));
    let _ = run(step_up.verify_otp(alice, "SMS", "123456"));
    for (key, written) in &shelf.kept().records {
        assert!(records.get(key) == Some(written) || Stored::decode(written).is_ok(), "it cannot read what it wrote");
    }
    if run(step_up.revoke(alice)).is_ok() {
        assert!(matches!(check(), Err(AuthorizeError::StepUpRequired(_))), "revoked in vain");
    }
});
