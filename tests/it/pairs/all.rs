//! Every pair of operations, with a third operation that ends the elevation: the first is stopped at each of its store
//! operations, the second and the third run to their ends, and then the first continues.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use serde_json::Value;
use testkit::FaultyStore;
use tower_step_up::{
    Caller, ChallengeError, Grant, ManualClock, Policy, Proof, PushReply, Requirement, SendBudget, StepUp,
};

use super::{Act, Engine, interleave, to_the_end};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    StartOtp,
    VerifyRight,
    VerifyWrong,
    CancelOtp,
    StartPush,
    Approve,
    Decline,
    CancelPush,
    Grant,
    Transfer,
    Spend,
    Restore,
    Revoke,
    RevokeAll,
    Lock,
}

use Operation::{
    Approve, CancelOtp, CancelPush, Decline, Lock, Restore, Revoke, RevokeAll, Spend, StartOtp, StartPush, Transfer,
    VerifyRight, VerifyWrong,
};

const ALL: [Operation; 15] = [
    StartOtp,
    VerifyRight,
    VerifyWrong,
    CancelOtp,
    StartPush,
    Approve,
    Decline,
    CancelPush,
    Operation::Grant,
    Transfer,
    Spend,
    Restore,
    Revoke,
    RevokeAll,
    Lock,
];

/// Operations that may leave a grant or compare a code; only these are combined with a third, to save time.
const MAY_GRANT: [Operation; 8] =
    [StartOtp, VerifyRight, VerifyWrong, StartPush, Approve, Operation::Grant, Transfer, Restore];

/// The third operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Injected {
    Nothing,
    Revocation,
    RevocationOfAll,
    Lock,
    /// Sixteen other sessions displace this one from the list.
    Displacement,
}

/// A store operation takes three polls, and is applied in the second.
const A_STEP: usize = 2;

/// A user with a live and a consumed grant, a code and, unless the pair starts one, a push.
struct World {
    nodes: [Engine; 2],
    store: FaultyStore,
    clock: ManualClock,
    here: Caller,
    next: Caller,
    push: Option<String>,
    spent: Grant,
    /// Operations that succeeded.
    succeeded: RefCell<Vec<Operation>>,
    /// Number of compared wrong codes.
    compared: Cell<usize>,
}

impl World {
    async fn new(pair: [Operation; 2]) -> Self {
        let (clock, store) = (ManualClock::new(), FaultyStore::default());
        let policy = Policy::new()
            // Long, so that a busy machine does not look like a store that is down.
            .store_deadline(Duration::from_secs(10))
            .send_budget(SendBudget::new().per_5_minutes(1000).per_10_minutes(1000).per_hour(1000).per_day(1000))
            .pushes(100)
            .live_challenges(10);
        let node = || {
            let builder = StepUp::builder().sandbox().otp("SMS", tower_step_up::discard);
            let builder = builder.push("BIO", tower_step_up::discard).proof("PASSKEY");
            store.on(builder.clock(clock.clone()).policy(policy.clone())).build().unwrap()
        };
        let nodes = [node(), node()];
        let [here, next] = ["here", "next"].map(|session| Caller::user("alice").session(session));
        nodes[0].record_proof(&here, Proof::new("PASSKEY")).await.unwrap();
        nodes[0].record_proof(&here, Proof::new("PASSKEY").purpose(Some("pay"))).await.unwrap();
        let spent = nodes[0].authorize(&here, &Requirement::new().scope("pay").once()).await.unwrap();
        nodes[0].start_otp(&here, "SMS", None).await.unwrap();
        let answers = pair.iter().any(|operation| matches!(operation, Approve | Decline | CancelPush));
        let push = if answers || !pair.contains(&StartPush) {
            Some(nodes[0].start_push(&here, "BIO", None).await.unwrap().id)
        } else {
            None
        };
        if pair.contains(&Transfer) {
            // Keeps the session's record when it is revoked.
            nodes[0].start_otp(&next, "SMS", None).await.unwrap();
        }
        // The resend interval has passed.
        clock.advance(Duration::from_secs(15));
        let (succeeded, compared) = Default::default();
        Self { nodes, store, clock, here, next, push, spent, succeeded, compared }
    }

    fn act(&self, operation: Operation, node: usize) -> Act<'_> {
        let node = &self.nodes[node];
        Box::pin(async move {
            let answer = |answer| node.answer_push("alice", self.push.as_deref().unwrap_or_default(), answer);
            let done = match operation {
                StartOtp => node.start_otp(&self.here, "SMS", None).await.is_ok(),
                VerifyRight => node.verify_otp(&self.here, "SMS", "123456").await.is_ok(),
                VerifyWrong => {
                    use ChallengeError::{ChallengeLimitExceeded, CodeInvalid, OneTryRemaining};
                    let verified = node.verify_otp(&self.here, "SMS", "000000").await;
                    if matches!(verified, Err(CodeInvalid | OneTryRemaining | ChallengeLimitExceeded)) {
                        self.compared.set(self.compared.get() + 1);
                    }
                    verified.is_ok()
                }
                StartPush => node.start_push(&self.here, "BIO", None).await.is_ok(),
                Approve => answer(PushReply::Approve).await.is_ok(),
                Decline => answer(PushReply::Decline).await.is_ok(),
                CancelOtp => node.cancel_otp(&self.here, "SMS").await.is_ok(),
                CancelPush => {
                    let id = self.push.as_deref().unwrap_or_default();
                    node.cancel_push(&self.here, "BIO", id).await.is_ok()
                }
                Operation::Grant => node.record_proof(&self.here, Proof::new("PASSKEY")).await.is_ok(),
                Transfer => node.transfer(&self.here, &self.next).await.is_ok(),
                Spend => {
                    let once = Requirement::new().channels(["PASSKEY"]).once();
                    node.authorize(&self.here, &once).await.is_ok()
                }
                Restore => self.spent.restore().await == Ok(true),
                Revoke => node.revoke(&self.here).await.is_ok(),
                RevokeAll => node.revoke_all("alice").await.is_ok(),
                Lock => node.lock("alice").await.is_ok(),
            };
            if done {
                self.succeeded.borrow_mut().push(operation);
            }
        })
    }

    fn inject(&self, injected: Injected) {
        let node = &self.nodes[0];
        match injected {
            Injected::Nothing => {}
            Injected::Revocation => to_the_end(node.revoke(&self.here)).unwrap(),
            Injected::RevocationOfAll => to_the_end(node.revoke_all("alice")).unwrap(),
            Injected::Lock => to_the_end(node.lock("alice")).unwrap(),
            Injected::Displacement => {
                for i in 0..16 {
                    self.clock.advance(Duration::from_millis(1));
                    // A locked user has no listed sessions.
                    let _ = to_the_end(node.record_proof(
                        &Caller::user("alice").session(format_args!("other {i}")),
                        Proof::new("PASSKEY"),
                    ));
                }
            }
        }
    }

    fn records(&self, kind: &str) -> Vec<Value> {
        self.store.records(kind)
    }

    /// The ids and generations of the grants in the store, and whether each is unconsumed.
    fn grants(&self) -> Vec<(u64, u64, bool)> {
        let number = |grant: &Value, name: &str| grant[name].as_u64().unwrap();
        let unspent = |grant: &Value| matches!(grant["usage"].as_str(), Some("Fresh" | "Restored"));
        let sessions = self.records("Session");
        let grants = sessions.iter().flat_map(|session| session["grants"].as_array().unwrap());
        grants.map(|grant| (number(grant, "id"), number(grant, "generation"), unspent(grant))).collect()
    }

    fn alive(&self) -> usize {
        self.grants().iter().filter(|(_, _, unspent)| *unspent).count()
    }

    fn passes(&self, caller: &Caller) -> bool {
        let requirements = [Requirement::new(), Requirement::new().scope("pay")];
        requirements.iter().any(|requirement| to_the_end(self.nodes[1].authorize(caller, requirement)).is_ok())
    }

    fn succeeded(&self, operation: Operation) -> usize {
        self.succeeded.borrow().iter().filter(|done| **done == operation).count()
    }

    /// What must hold for every order; `known` are the earlier grants.
    fn check(&self, run: &Run, known: &BTreeSet<u64>) {
        let user = &self.records("Subject")[0];
        let generation = user["generation"].as_u64().unwrap();
        let old = self.grants().iter().any(|(_, of, unspent)| *unspent && *of != generation);
        assert!(!old, "a grant of an older generation is alive: {run:?}");

        // Every compared wrong code is counted.
        let compared = self.compared.get();
        let rare = &user["rare"];
        assert!(rare["wrong"].as_array().map_or(0, Vec::len) >= compared, "{run:?}: {user}");
        if self.succeeded(VerifyRight) == 0 {
            let failed = rare["failures"][0]["attempts"].as_array().map_or(0, Vec::len);
            assert!(failed >= compared, "{run:?}: {user}");
        }
        for once in [VerifyRight, Approve, Spend, Restore] {
            // Another proof creates another grant.
            let again = once == Spend && run.pair.contains(&Operation::Grant);
            assert!(self.succeeded(once) <= 1 || again, "{once:?} twice: {run:?}");
        }

        // What was cancelled has granted nothing, and what has granted something was not cancelled.
        for session in self.records("Session") {
            let cancelled = [(&session["otp"][0], "Dropped"), (&session["push"], "Cancelled")];
            let is = |state: &Value, name: &str| state == name || state.get(name).is_some();
            for (challenge, _) in cancelled.into_iter().filter(|(challenge, state)| is(&challenge["state"], state)) {
                let granted =
                    session["grants"].as_array().unwrap().iter().any(|grant| grant["id"] == challenge["challenge_id"]);
                assert!(!granted, "{run:?}: {session}");
            }
        }

        let ended = |operation, injected| run.pair[1] == operation || run.injected == injected;
        if run.under_way && run.has_read() {
            let last_is = |operation, injected| {
                run.injected == injected || (run.injected == Injected::Nothing && run.pair[1] == operation)
            };
            if last_is(Revoke, Injected::Revocation) {
                assert!(!self.passes(&self.here), "granted after the session was revoked: {run:?}");
            }
            if last_is(RevokeAll, Injected::RevocationOfAll) {
                assert_eq!(self.alive(), 0, "granted after all was revoked: {run:?}");
            }
            if ended(Lock, Injected::Lock) {
                let new = self.grants().into_iter().find(|(id, _, unspent)| *unspent && !known.contains(id));
                assert_eq!(new, None, "granted after a lock: {run:?}");
            }
        }
        to_the_end(self.nodes[1].revoke_all("alice")).unwrap();
        assert_eq!(self.alive(), 0, "revoking all leaves a grant: {run:?}");
    }
}

/// One order.
#[derive(Debug)]
struct Run {
    pair: [Operation; 2],
    node: usize,
    injected: Injected,
    polls: usize,
    under_way: bool,
}

impl Run {
    /// Whether the first operation had read anything; otherwise it counts as begun after the others.
    fn has_read(&self) -> bool {
        self.polls >= A_STEP
    }
}

async fn all_orders(firsts: &[Operation], seconds: &[Operation], injected: Injected, nodes: &[usize]) {
    let mut orders = 0;
    for &first in firsts {
        for &second in seconds {
            for &node in nodes {
                for polls in (0..).step_by(A_STEP) {
                    let world = World::new([first, second]).await;
                    let mut run = Run { pair: [first, second], node, injected, polls, under_way: false };
                    let mut known: BTreeSet<_> = world.grants().into_iter().map(|(id, ..)| id).collect();
                    run.under_way = interleave(polls, world.act(first, run.node), || {
                        to_the_end(world.act(second, 0));
                        world.inject(injected);
                        known.extend(world.grants().into_iter().map(|(id, ..)| id));
                    });
                    world.check(&run, &known);
                    orders += 1;
                    if !run.under_way {
                        break;
                    }
                }
            }
        }
    }
    println!("{injected:?}: {orders} orders");
    assert!(orders > 150, "{orders} orders");
}

#[tokio::test]
async fn of_two_operations() {
    all_orders(&ALL, &ALL, Injected::Nothing, &[0, 1]).await;
}

#[tokio::test]
async fn of_two_operations_and_a_revocation() {
    all_orders(&MAY_GRANT, &ALL, Injected::Revocation, &[1]).await;
}

#[tokio::test]
async fn of_two_operations_and_a_revocation_of_all() {
    all_orders(&MAY_GRANT, &ALL, Injected::RevocationOfAll, &[1]).await;
}

#[tokio::test]
async fn of_two_operations_and_a_lock() {
    all_orders(&MAY_GRANT, &ALL, Injected::Lock, &[1]).await;
}

#[tokio::test]
async fn of_two_operations_and_a_displacement() {
    all_orders(&MAY_GRANT, &[StartOtp, VerifyRight, Operation::Grant, Transfer], Injected::Displacement, &[1]).await;
}
