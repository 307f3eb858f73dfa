//! What a guard costs over HTTP, beside a layer that does nothing and beside its peers, and what it costs in process
//! when the caches are cold. `docs/performance.md` says what is measured, how, and what came out.
//!
//! `cargo bench --manifest-path benches/http/Cargo.toml`, and after `--`: `--quick` for a short look, `--http` or
//! `--cold` for one of the two, `--write` to put the results into `docs/performance.md` and `docs/performance/`.

mod chart;
mod cold;
mod load;
mod machine;
mod peers;
mod random;
mod report;
mod rounds;
mod server;
mod stats;

use std::{fmt::Write as _, fs, path::Path};

use rounds::{Mode, Plan};

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [command, sessions, used] = &args[..]
        && command == server::COMMAND
    {
        return server::run(sessions.parse().unwrap(), used.parse().unwrap());
    }
    let given = |flag: &str| args.iter().any(|arg| arg == flag);
    let (quick, all) = (given("--quick"), given("--http") == given("--cold"));

    let mut text = machine::describe();
    let measured: Vec<_> = if all || given("--http") {
        let plan = if quick { Plan::QUICK } else { Plan::FULL };
        [Mode::Hot, Mode::Rotating].map(|mode| (mode, rounds::measure(mode, plan))).into()
    } else {
        Vec::new()
    };
    if !measured.is_empty() {
        report::http(&mut text, &measured);
    }
    if all || given("--cold") {
        report::cold(&mut text, &cold::measure(if quick { 15 } else { 101 }));
    }
    println!("{text}");
    if given("--write") {
        assert!(all, "--write needs both measurements");
        write(&text, &measured);
    }
}

/// Replaces what is between the two marks of the page, and writes the picture and the rounds beside it.
fn write(text: &str, measured: &[(Mode, rounds::Rounds)]) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let (begin, end) = ("<!-- measured -->\n", "<!-- end -->");
    let page = fs::read_to_string(docs.join("performance.md")).unwrap();
    let (before, rest) = page.split_once(begin).expect("the page has the mark `measured`");
    let (_, after) = rest.split_once(end).expect("the page has the mark `end`");
    let mut new = String::from(before);
    let _ = write!(new, "{begin}{text}{end}{after}");
    fs::create_dir_all(docs.join("performance")).unwrap();
    fs::write(docs.join("performance.md"), new).unwrap();
    fs::write(docs.join("performance/http.svg"), chart::draw(measured)).unwrap();
    fs::write(docs.join("performance/http.csv"), report::csv(measured)).unwrap();
}
