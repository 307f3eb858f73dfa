//! The lifetime of codes and grants, on a stepped clock.

use crate::app::{App, RIGHT, WRONG};
use crate::script::{
    Card, Delete, Line, Login, Logout, Millis, Right, Start, Status, Transfer, Wait, Wrong, run_script,
};

const INVALID: &str = "409 VERIFICATION_CODE_INVALID";
const ONE_LEFT: &str = "409 ONE_CHALLENGE_LIMIT_REMAINING";
const LIMIT: &str = "409 CHALLENGE_LIMIT_EXCEEDED";
const DEAD: &str = "409 STATE_INVALID";
const EXPIRED: &str = "409 VERIFICATION_CODE_EXPIRED";
const DONE: &str = "409 ALREADY_VERIFIED";
const MISSING: &str = "403 STEP_UP_REQUIRED missing";
const GONE: &str = "403 STEP_UP_REQUIRED expired";
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

const TRIES: [(&str, &[Line]); 10] = [
    (
        "five attempts; afterwards the right code fails, too",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Wrong, LIMIT),
            (0, Right, DEAD),
            (0, Wrong, DEAD),
            (0, Card, MISSING),
        ],
    ),
    (
        "the right code on the fifth attempt",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
            (0, Card, "200"),
        ],
    ),
    (
        "a start while the code is live inherits its attempts",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Wait(15), ""),
            (0, Start, "204"),
            (0, Wrong, LIMIT),
            (0, Right, DEAD),
        ],
    ),
    (
        "and so does the next one",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wait(15), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wait(15), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
        ],
    ),
    (
        "the right code succeeds on the last inherited attempt",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Wait(15), ""),
            (0, Start, "204"),
            (0, Right, "204"),
        ],
    ),
    (
        "a refused start changes nothing",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Start, "409 RETRY_IN_15SEC 15"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
        ],
    ),
    (
        "all attempts again after it was exhausted",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Wrong, LIMIT),
            (0, Wait(30), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
        ],
    ),
    (
        "all attempts again after it expired",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Millis(5 * MINUTE * 1000 + 1), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            // The fifth in a row since the last success: a lockout, although this code has attempts left.
            (0, Wrong, "429 5 30"),
            (0, Wait(30), ""),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
        ],
    ),
    (
        "all attempts again after it was verified",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
            (0, Wait(15), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Wrong, LIMIT),
            (0, Right, DEAD),
            // The earlier grant stays valid.
            (0, Card, "200"),
        ],
    ),
    (
        "attempts are per session; failures are counted per user",
        &[
            (0, Start, "204"),
            (1, Start, "204"),
            (0, Wrong, INVALID),
            (1, Wrong, INVALID),
            (0, Wrong, INVALID),
            (1, Wrong, INVALID),
            (0, Wrong, INVALID),
            (1, Right, "429 5 30"),
            (0, Right, "429 5 30"),
            (0, Wait(30), ""),
            (0, Wrong, ONE_LEFT),
            (1, Wrong, INVALID),
            (1, Wrong, ONE_LEFT),
        ],
    ),
];

#[tokio::test]
async fn attempts() {
    for (name, lines) in TRIES {
        run_script(name, &["alice", "alice"], lines).await;
    }
}

const LIFE: u64 = 5 * MINUTE * 1000;
const TIME: [(&str, &[Line]); 11] = [
    (
        "valid until its last millisecond",
        &[(0, Start, "204"), (0, Millis(LIFE - 1), ""), (0, Right, "204"), (0, Card, "200")],
    ),
    (
        "and expired afterwards",
        &[(0, Start, "204"), (0, Millis(LIFE + 1), ""), (0, Right, EXPIRED), (0, Wrong, EXPIRED), (0, Card, MISSING)],
    ),
    (
        "T19: an attempt prolongs nothing",
        &[
            (0, Start, "204"),
            (0, Wait(200), ""),
            (0, Wrong, INVALID),
            (0, Status, "200 STANDARD"),
            (0, Wait(99), ""),
            (0, Wrong, INVALID),
            (0, Millis(1001), ""),
            (0, Right, EXPIRED),
        ],
    ),
    (
        "a new start has its own lifetime",
        &[(0, Start, "204"), (0, Wait(299), ""), (0, Start, "204"), (0, Wait(299), ""), (0, Right, "204")],
    ),
    (
        "CODE_EXPIRED for an hour",
        &[
            (0, Start, "204"),
            (0, Wait(5 * MINUTE + 1), ""),
            (0, Right, EXPIRED),
            (0, Wait(59 * MINUTE), ""),
            (0, Right, EXPIRED),
            (0, Wrong, EXPIRED),
            (0, Wait(2 * MINUTE), ""),
            (0, Right, DEAD),
            (0, Wrong, DEAD),
        ],
    ),
    (
        "ALREADY_VERIFIED for an hour",
        &[
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Right, DONE),
            (0, Wait(5 * MINUTE), ""),
            (0, Right, DONE),
            (0, Wait(54 * MINUTE), ""),
            (0, Right, DONE),
            (0, Wait(2 * MINUTE), ""),
            (0, Right, DEAD),
        ],
    ),
    (
        "a new code replaces the state of the old one",
        &[
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Wait(15), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wait(5 * MINUTE + 1), ""),
            (0, Right, EXPIRED),
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Right, DONE),
        ],
    ),
    (
        "a grant is valid for ten minutes",
        &[
            (0, Start, "204"),
            (0, Wait(60), ""),
            (0, Right, "204"),
            (0, Millis(600_000 - 1), ""),
            (0, Card, "200"),
            (0, Millis(2), ""),
            (0, Card, GONE),
            (0, Transfer, GONE),
            (0, Status, "200 STANDARD"),
        ],
    ),
    (
        "a transfer requires one of the last two minutes",
        &[
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Millis(120_000), ""),
            (0, Transfer, "201"),
            (0, Millis(1), ""),
            (0, Transfer, "403 STEP_UP_REQUIRED too_old"),
            (0, Card, "200"),
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Transfer, "201"),
        ],
    ),
    (
        "neither use, nor a failure, nor a start prolongs it",
        &[
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Wait(599), ""),
            (0, Card, "200"),
            (0, Status, "200 STEPPED_UP"),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Millis(1001), ""),
            (0, Card, GONE),
            (0, Right, "204"),
            (0, Card, "200"),
        ],
    ),
    (
        "a second step-up has its own ten minutes",
        &[
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Wait(300), ""),
            (0, Start, "204"),
            (0, Right, "204"),
            (0, Wait(301), ""),
            (0, Card, "200"),
            (0, Wait(298), ""),
            (0, Card, "200"),
            (0, Wait(2), ""),
            (0, Card, GONE),
        ],
    ),
];

#[tokio::test]
async fn time() {
    for (name, lines) in TIME {
        run_script(name, &["alice"], lines).await;
    }
}

/// `DELETE` and logout drop grants and pending challenges, but never attempts, start times or counts.
#[tokio::test]
async fn dropping() {
    let cases: [(&str, &[Line]); 7] = [
        ("nothing to drop", &[(0, Delete, "204"), (0, Delete, "204")]),
        (
            "the grant",
            &[
                (0, Start, "204"),
                (0, Right, "204"),
                (0, Card, "200"),
                (0, Delete, "204"),
                (0, Status, "200 STANDARD"),
                (0, Card, MISSING),
            ],
        ),
        (
            "the pending code",
            &[(0, Start, "204"), (0, Delete, "204"), (0, Right, DEAD), (0, Wrong, DEAD), (0, Card, MISSING)],
        ),
        (
            "not the attempts",
            &[
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, ONE_LEFT),
                (0, Delete, "204"),
                (0, Wait(15), ""),
                (0, Start, "204"),
                (0, Wrong, LIMIT),
                (0, Right, DEAD),
            ],
        ),
        (
            "not the attempts, if repeated either",
            &[
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Delete, "204"),
                (0, Delete, "204"),
                (0, Wait(15), ""),
                (0, Start, "204"),
                (0, Delete, "204"),
                (0, Wait(15), ""),
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, ONE_LEFT),
                (0, Right, "204"),
            ],
        ),
        (
            "not the user's count: a session after a logout has new attempts, but the user has no more of them",
            &[
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, INVALID),
                (0, Wrong, ONE_LEFT),
                (0, Logout, "204"),
                (0, Login, ""),
                (0, Wait(15), ""),
                (0, Start, "204"),
                (0, Wrong, INVALID),
                (0, Right, "429 5 30"),
            ],
        ),
        (
            "of this session only",
            &[
                (0, Start, "204"),
                (0, Right, "204"),
                (1, Start, "204"),
                (1, Right, "204"),
                (1, Delete, "204"),
                (1, Card, MISSING),
                (0, Card, "200"),
                (0, Delete, "204"),
                (1, Wait(15), ""),
                (1, Start, "204"),
                (0, Delete, "204"),
                (1, Right, "204"),
            ],
        ),
    ];
    for (name, lines) in cases {
        run_script(name, &["alice", "alice"], lines).await;
    }
}

/// After success and after expiry, the responses to right and wrong codes are identical.
#[tokio::test]
async fn finished_codes_reveal_nothing() {
    for (wait, expected) in [(0, DONE), (5 * MINUTE, DONE), (2 * HOUR, DEAD)] {
        let app = App::demo();
        let alice = app.login("alice").await;
        alice.step_up().await;
        app.wait(wait);
        let (right, wrong) = (alice.verify(RIGHT).await, alice.verify(WRONG).await);
        assert_eq!(right.summary(), expected);
        assert_eq!(right.bytes(), wrong.bytes());
    }
    for (wait, expected) in [(5 * MINUTE + 1, EXPIRED), (3 * HOUR, DEAD)] {
        let app = App::demo();
        let alice = app.login("alice").await;
        assert_eq!(alice.start().await.summary(), "204");
        app.wait(wait);
        let (right, wrong) = (alice.verify(RIGHT).await, alice.verify(WRONG).await);
        assert_eq!(right.summary(), expected);
        assert_eq!(right.bytes(), wrong.bytes());
    }
}
