//! The number of lines to add to an existing app.

const EXAMPLES: [(&str, &str); 5] = [
    ("axum-login", include_str!("../../with_axum_login.rs")),
    ("JWT", include_str!("../../with_jwt.rs")),
    ("signed cookie", include_str!("../../with_signed_cookie.rs")),
    ("tonic", include_str!("../../../grpc/with_tonic.rs")),
    ("tower-sessions", include_str!("../../with_tower_sessions.rs")),
];

/// The number of marked lines: marked at their end or by the line above, which may mark a whole function.
fn ours(example: &str) -> usize {
    let mut in_function = false;
    let mut ours = 0;
    for line in example.lines().filter(|line| !line.starts_with("//!")) {
        if line.starts_with("// + this function") {
            in_function = true;
        } else if in_function || line.contains("// +") {
            ours += 1;
        }
        in_function &= line != "}";
    }
    ours
}

#[test]
fn an_example_is_at_most_60_lines_and_15_of_them_are_ours() {
    for (name, example) in EXAMPLES {
        println!("{name}: {} of {} lines", ours(example), example.lines().count());
        assert!(example.lines().count() <= 60, "{name}");
        assert!((1..=15).contains(&ours(example)), "{name}: {}", ours(example));
    }
}

#[test]
fn a_cookie_beside_a_token_is_11_lines() {
    assert_eq!(ours(include_str!("single_page.rs")), 11);
}

/// Every use of this crate is in a marked line, so the count is complete.
#[test]
fn every_line_that_names_this_crate_is_marked() {
    for (name, example) in EXAMPLES {
        let marked_whole = |part: &&str| part.starts_with("// + this function");
        for part in example.split("\n\n").filter(|part| !marked_whole(part)) {
            let mut above = "";
            for line in part.lines().filter(|line| !line.starts_with("//!")) {
                let names_it =
                    ["tower_step_up", "StepUp", "step_up", "Caller", "Ours"].iter().any(|it| line.contains(it));
                assert!(!names_it || line.contains("// +") || above.starts_with("// +"), "{name}: {line}");
                above = line;
            }
        }
    }
}
