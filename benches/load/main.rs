//! Load that does not fit: many requests of one session at once, many records that expire at once, and a full store
//! under churn; each with its longest request. `cargo bench -p benches --bench load`; add `-- --quick` for a look, or
//! `-- storms`, `expiry` or `churn` for one part. `-- churn 60` churns for 60 seconds instead of ten minutes.
//!
//! A busy machine delays any request, so figures are compared within one run, and the longest request is also given in
//! CPU time of its thread, which no other thread can add to.

mod churn;
mod expiry;
mod figures;
mod heap;
mod storms;
mod world;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok());
    let parts: Vec<_> = ["storms", "expiry", "churn"]
        .into_iter()
        .filter(|part| arguments.iter().any(|argument| argument == part))
        .collect();
    let runs = |part: &str| parts.is_empty() || parts.contains(&part);
    if runs("storms") {
        storms::run(if quick { 5 } else { 21 });
    }
    if runs("expiry") {
        expiry::run(if quick { &[(100_000, 3)] } else { &[(100_000, 9), (1_000_000, 3)] });
    }
    if runs("churn") {
        churn::run(seconds.unwrap_or(if quick { 20 } else { 600 }));
    }
}
