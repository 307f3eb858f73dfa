//! Checks that `docs/sessions.md` names every test of these files, and no others.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../docs/sessions.md");

const TESTS: [&str; 9] = [
    include_str!("lines.rs"),
    include_str!("page.rs"),
    include_str!("single_page.rs"),
    include_str!("with_axum_login.rs"),
    include_str!("with_jwt.rs"),
    include_str!("with_signed_cookie.rs"),
    include_str!("../../../grpc/tests/grpc/page.rs"),
    include_str!("../../../grpc/tests/grpc/with_tonic.rs"),
    include_str!("with_tower_sessions.rs"),
];

/// The names of the functions below a `#[test]` or `#[tokio::test]`.
fn tests() -> BTreeSet<&'static str> {
    let attributes = TESTS.iter().flat_map(|file| file.split("test]\n").skip(1));
    attributes.filter_map(|after| after.split_once("fn ")?.1.split_once('(')).map(|(name, _)| name).collect()
}

/// Words in backticks that look like a test's name.
fn named() -> BTreeSet<&'static str> {
    let code = PAGE.split('`').skip(1).step_by(2);
    let names = code.map(|code| code.rsplit("::").next().unwrap_or(code));
    names.filter(|name| name.matches('_').count() >= 3 && !name.contains('/')).collect()
}

#[test]
fn each_claim_has_its_test_and_each_test_its_claim() {
    let named = named();
    assert!(named.len() > 15, "{named:?}");
    let missing: Vec<_> = named.difference(&tests()).copied().collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
    let mut unnamed: BTreeSet<_> = tests().difference(&named).copied().collect();
    unnamed.remove("every_line_that_names_this_crate_is_marked");
    assert!(unnamed.is_empty(), "tests without a claim: {unnamed:?}");
}
