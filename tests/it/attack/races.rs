//! T14, T15, T16: concurrent answers, revocations and transfers. In any order, a challenge is answered once, and a
//! revocation leaves no grant.

use tower_step_up::{ChallengeError, ManualClock, Policy, PushReply, PushReplyError, StepUp, discard};

use super::{caller, limited, passes, together};

const RIGHT: &str = "123456";
const ROUNDS: usize = 300;

fn sandbox(policy: Policy) -> StepUp {
    let builder = StepUp::builder().sandbox().otp("SMS", discard).push("BIO", discard).policy(policy);
    builder.clock(ManualClock::new()).build().unwrap()
}

/// T14: of all answers to one push exactly one is accepted, and it decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_push_one_answer() {
    let mut approved = 0;
    for round in 0..ROUNDS {
        let step_up = sandbox(Policy::new());
        let alice = caller("alice", 1);
        let push = step_up.start_push(&alice, "BIO", None).await.unwrap();
        let answers = together(16, |i| {
            let (step_up, id) = (step_up.clone(), push.id.clone());
            let answer = if (i + round) % 2 == 0 { PushReply::Approve } else { PushReply::Decline };
            async move { step_up.answer_push("alice", &id, answer.clone()).await.map(|()| answer) }
        })
        .await;
        let taken: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(taken.len(), 1, "round {round}: {answers:?}");
        assert!(answers.iter().all(|answer| answer.is_ok() || *answer == Err(PushReplyError::Closed)), "{answers:?}");
        let was_approved = *taken[0] == PushReply::Approve;
        assert_eq!(passes(&step_up, &alice).await, was_approved, "round {round}");
        approved += usize::from(was_approved);
    }
    assert!(approved > 0 && approved < ROUNDS, "always the same outcome: {approved}");
}

/// At most three of many concurrent numbers are compared; then the right one fails, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_numbers_per_push() {
    for round in 0..50 {
        let step_up = sandbox(Policy::new().number_matching(2));
        let alice = caller("alice", 1);
        let push = step_up.start_push(&alice, "BIO", None).await.unwrap();
        let right = push.number.unwrap();
        let wrong: Vec<_> = (0..100).map(|i| format!("{i:02}")).filter(|number| *number != right).take(64).collect();
        let answers = together(64, |i| {
            let (step_up, id, number) = (step_up.clone(), push.id.clone(), wrong[i].clone());
            async move { step_up.answer_push("alice", &id, PushReply::Number(number)).await }
        })
        .await;
        let mut left: Vec<u8> = answers
            .iter()
            .filter_map(|answer| match answer {
                Err(PushReplyError::WrongNumber { left }) => Some(*left),
                _ => None,
            })
            .collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2], "round {round}: {answers:?}");
        let late = step_up.answer_push("alice", &push.id, PushReply::Number(right)).await;
        assert_eq!(late, Err(PushReplyError::Closed), "round {round}");
        assert!(!passes(&step_up, &alice).await);
    }
}

/// Three concurrent denials are counted exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_are_counted_exactly() {
    for round in 0..100 {
        let step_up = sandbox(Policy::new().pushes(100));
        let mut ids = Vec::new();
        for session in 0..3 {
            ids.push(step_up.start_push(&caller("alice", session), "BIO", None).await.unwrap().id);
        }
        let declines = 2 + round % 2;
        together(declines * 4, |i| {
            let (step_up, id) = (step_up.clone(), ids[i % declines].clone());
            async move { step_up.answer_push("alice", &id, PushReply::Decline).await.is_ok() }
        })
        .await;
        let next = step_up.start_push(&caller("alice", 9), "BIO", None).await.map(drop);
        match declines {
            2 => assert_eq!(next, Ok(()), "round {round}"),
            _ => assert_eq!(limited(next), (3, None, 1800), "round {round}"),
        }
    }
}

/// T15, T16: no grant is left if all sessions are revoked while codes are verified, pushes approved, and sessions
/// transferred.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_all_leaves_nothing() {
    let step_up = sandbox(Policy::new());
    let mut verified = [0; 3];
    for round in 0..300 {
        let user = format!("alice {round}");
        let [code, push, moved, to] = ["code", "push", "moved", "to"].map(|session| caller(&user, session));
        step_up.start_otp(&moved, "SMS", None).await.unwrap();
        step_up.verify_otp(&moved, "SMS", RIGHT).await.unwrap();
        step_up.start_otp(&code, "SMS", None).await.unwrap();
        let id = step_up.start_push(&push, "BIO", None).await.unwrap().id;
        let acts = together(4, |i| {
            let (step_up, user, id) = (step_up.clone(), user.clone(), id.clone());
            let (code, moved, to) = (code.clone(), moved.clone(), to.clone());
            async move {
                for _ in 0..(round % 4) {
                    if i == 3 {
                        tokio::task::yield_now().await;
                    }
                }
                match i {
                    0 => step_up.verify_otp(&code, "SMS", RIGHT).await.is_ok(),
                    1 => step_up.answer_push(&user, &id, PushReply::Approve).await.is_ok(),
                    2 => step_up.transfer(&moved, &to).await.is_ok() && passes(&step_up, &to).await,
                    _ => step_up.revoke_all(&user).await.is_ok(),
                }
            }
        })
        .await;
        assert!(acts[3]);
        for (counted, act) in verified.iter_mut().zip(&acts) {
            *counted += usize::from(*act);
        }
        for (name, session) in [("code", &code), ("push", &push), ("moved", &moved), ("to", &to)] {
            assert!(!passes(&step_up, session).await, "round {round}: {name} is elevated, {acts:?}");
        }
        let again = step_up.verify_otp(&code, "SMS", RIGHT).await.map(drop);
        let expected = if acts[0] { ChallengeError::AlreadyVerified } else { ChallengeError::StateInvalid };
        assert_eq!(again, Err(expected), "round {round}");
    }
    assert!(verified.iter().all(|count| *count > 0), "never verified first: {verified:?}");
    assert!(verified.iter().any(|count| *count < 300), "never revoked first: {verified:?}");
}

/// T15: an elevation transferred to several sessions concurrently, or during its verification, is in at most one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_doubles_nothing() {
    let step_up = sandbox(Policy::new());
    for round in 0..ROUNDS {
        let user = format!("alice {round}");
        let old = caller(&user, "old");
        step_up.start_otp(&old, "SMS", None).await.unwrap();
        if round % 2 == 0 {
            step_up.verify_otp(&old, "SMS", RIGHT).await.unwrap();
        }
        together(5, |i| {
            let (step_up, old, new) = (step_up.clone(), old.clone(), caller(&user, i));
            async move {
                match i {
                    4 => drop(step_up.verify_otp(&old, "SMS", RIGHT).await),
                    _ => drop(step_up.transfer(&old, &new).await),
                }
            }
        })
        .await;
        let mut elevated = 0;
        for session in 0..4 {
            elevated += usize::from(passes(&step_up, &caller(&user, session)).await);
        }
        assert!(elevated <= 1, "round {round}: {elevated}");
        assert!(round % 2 != 0 || elevated == 1, "round {round}: it was lost");
        assert!(!passes(&step_up, &old).await, "round {round}: the old id keeps a grant");
    }
}
