//! The life of a code and of what it opens, on a stepped clock.

use crate::app::{App, RIGHT, WRONG};
use crate::script::{Card, Delete, Line, Login, Logout, Millis, Right, Start, Status, Transfer, Wait, Wrong, play};

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
        "five tries; the right code is too late afterwards",
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
        "the right code on the fifth try",
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
        "a start while the code is alive inherits its tries",
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
        "and so does the one after it",
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
        "inherited tries leave the last one to the right code",
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
        "a start that is refused changes nothing",
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
        "the full number after it died",
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
        "the full number after it expired",
        &[
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            (0, Millis(5 * MINUTE * 1000 + 1), ""),
            (0, Start, "204"),
            (0, Wrong, INVALID),
            (0, Wrong, INVALID),
            // The fifth in a row since the last success: a lock-out, whatever this code has left.
            (0, Wrong, "429 5 30"),
            (0, Wait(30), ""),
            (0, Wrong, INVALID),
            (0, Wrong, ONE_LEFT),
            (0, Right, "204"),
        ],
    ),
    (
        "the full number after it was verified",
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
            // What was verified before stays open.
            (0, Card, "200"),
        ],
    ),
    (
        "each session has tries of its own; the user's failures are one count",
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
async fn tries() {
    for (name, lines) in TRIES {
        play(name, &["alice", "alice"], lines).await;
    }
}

const LIFE: u64 = 5 * MINUTE * 1000;
const TIME: [(&str, &[Line]); 11] = [
    ("alive to the last", &[(0, Start, "204"), (0, Millis(LIFE - 1), ""), (0, Right, "204"), (0, Card, "200")]),
    (
        "and no longer",
        &[(0, Start, "204"), (0, Millis(LIFE + 1), ""), (0, Right, EXPIRED), (0, Wrong, EXPIRED), (0, Card, MISSING)],
    ),
    (
        "T19: a guess prolongs nothing",
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
        "a new start begins a new life",
        &[(0, Start, "204"), (0, Wait(299), ""), (0, Start, "204"), (0, Wait(299), ""), (0, Right, "204")],
    ),
    (
        "expired is said for an hour",
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
        "already verified is said for an hour",
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
        "a new code ends what is said of the old one",
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
        "a grant lives ten minutes",
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
        "a transfer asks for one of the last two minutes",
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
        "using it prolongs nothing, and neither does a failure or a mere start",
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
        "a second step-up begins ten minutes of its own",
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
        play(name, &["alice"], lines).await;
    }
}

/// `DELETE` and logout drop grants and pending challenges, never tries, start stamps or counts.
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
            "not the tries",
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
            "not the tries, however often",
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
            "not the user's count: logout gives a new session its tries, and the user no more of them",
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
            "nobody else's",
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
        play(name, &["alice", "alice"], lines).await;
    }
}

/// After success and after expiry, right and wrong codes get the same bytes.
#[tokio::test]
async fn what_is_over_tells_nothing() {
    for (wait, told) in [(0, DONE), (5 * MINUTE, DONE), (2 * HOUR, DEAD)] {
        let app = App::demo();
        let alice = app.login("alice").await;
        alice.step_up().await;
        app.wait(wait);
        let (right, wrong) = (alice.verify(RIGHT).await, alice.verify(WRONG).await);
        assert_eq!(right.says(), told);
        assert_eq!(right.bytes(), wrong.bytes());
    }
    for (wait, told) in [(5 * MINUTE + 1, EXPIRED), (3 * HOUR, DEAD)] {
        let app = App::demo();
        let alice = app.login("alice").await;
        assert_eq!(alice.start().await.says(), "204");
        app.wait(wait);
        let (right, wrong) = (alice.verify(RIGHT).await, alice.verify(WRONG).await);
        assert_eq!(right.says(), told);
        assert_eq!(right.bytes(), wrong.bytes());
    }
}
