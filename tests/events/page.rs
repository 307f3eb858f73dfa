//! `docs/events.md` lists exactly the events and reasons of the code.

use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../docs/events.md");

/// The strings that a function of the source returns; the function is found by its first line.
fn words(source: &'static str, function: &str) -> Vec<&'static str> {
    let (_, body) = source.split_once(function).unwrap_or_else(|| panic!("no {function}"));
    let (body, _) = body.split_once("\n    }\n").unwrap();
    body.split('"').skip(1).step_by(2).collect()
}

pub(crate) fn names_in_the_code() -> BTreeSet<String> {
    let names = words(include_str!("../../src/engine/event.rs"), "pub const fn name(&self) -> &'static str {");
    names.into_iter().map(str::to_owned).collect()
}

/// The reasons of each event that has some.
fn reasons_in_the_code() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let event = include_str!("../../src/engine/event.rs");
    let of_event = words(event, "pub const fn reason(&self) -> Option<&'static str> {");
    let one_of = |all: &[&'static str]| all.iter().copied().collect();
    let (locked, rest) = of_event.split_at(3);
    let (answered, revoked) = rest.split_at(2);
    let unmet =
        words(include_str!("../../src/rules/requirement/unmet.rs"), "pub const fn as_str(self) -> &'static str {");
    BTreeMap::from([
        ("send_failed", one_of(&words(event, "const fn as_str(self) -> &'static str {"))),
        ("refused", one_of(&words(include_str!("../../src/rules/error.rs"), "/// One word, for logs and metrics."))),
        ("locked", one_of(locked)),
        ("push_answered", one_of(answered)),
        ("revoked", one_of(revoked)),
        ("guard_refused", one_of(&unmet)),
        ("would_refuse", one_of(&unmet)),
        (
            "store_warning",
            one_of(&words(include_str!("../../src/store/warning.rs"), "/// One word, for logs and metrics.")),
        ),
        (
            "store_failed",
            one_of(&words(include_str!("../../src/store/error.rs"), "/// One word, for logs and metrics.")),
        ),
    ])
}

/// The text between backticks in a part of the page.
fn code(part: &str) -> Vec<&str> {
    part.split('`').skip(1).step_by(2).collect()
}

/// The cells of the table under a heading, by row.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.skip(1).map(|row| row.split(" | ").collect()).collect()
}

/// The levels of each event.
pub(crate) fn levels() -> BTreeMap<&'static str, &'static str> {
    rows("## Events").into_iter().map(|row| (code(row[0])[0], row[1])).collect()
}

#[test]
fn the_page_names_every_event_with_its_level() {
    let names: BTreeSet<_> = rows("## Events").iter().map(|row| code(row[0])[0].to_owned()).collect();
    assert_eq!(names, names_in_the_code());
    let levels: BTreeSet<_> = rows("## Events").iter().map(|row| row[1]).collect();
    assert_eq!(levels, BTreeSet::from(["debug", "info", "info, debug", "warn", "error", "error, debug"]));
}

#[test]
fn the_page_names_every_reason() {
    let named = rows("## Reasons");
    let named: BTreeMap<_, BTreeSet<_>> =
        named.iter().map(|row| (code(row[0])[0], code(row[1]).into_iter().collect())).collect();
    assert_eq!(named, reasons_in_the_code());
}

/// E11: logging is on by default.
#[test]
fn logs_are_on_by_default() {
    assert!(include_str!("../../Cargo.toml").contains("\ndefault = [\"tracing\"]\n"));
    assert!(PAGE.contains("the feature `tracing`, which is on by default"));
}

#[test]
fn the_page_names_the_counter_and_the_target() {
    for (source, name) in [
        (include_str!("../../src/engine/telemetry.rs"), "step_up_events_total"),
        (include_str!("../../src/engine/telemetry.rs"), "tower_step_up"),
    ] {
        assert!(source.contains(&format!("= \"{name}\";")) && PAGE.contains(&format!("`{name}`")), "{name}");
    }
}
