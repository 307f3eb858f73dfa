//! Tables in Markdown, and every sample as CSV.

use std::fmt::Write as _;

use crate::{
    cold::Cold,
    rounds::{Mode, Rounds, Sample, VARIANTS},
    stats::{self, Summary},
};

/// The figures of a variant, round by round.
pub(crate) fn nanos(rounds: &Rounds, name: &str) -> Vec<f64> {
    let index = VARIANTS.iter().position(|variant| variant.name == name).expect("the name of a variant");
    rounds[index].iter().map(Sample::nanos).collect()
}

pub(crate) fn http(out: &mut String, measured: &[(Mode, Rounds)]) {
    let _ = writeln!(out, "\n| ratio of server CPU a request, round by round | sessions | median | quartiles | goal |");
    let _ = writeln!(out, "|---|---|---|---|---|");
    for (mode, rounds) in measured {
        let ratio = |one, other| stats::paired(&nanos(rounds, one), &nanos(rounds, other), |one, other| one / other);
        let goal = if let Mode::Hot = mode { "≤ 1.02" } else { "≤ 1.06" };
        let (guard, noise) = (ratio("guard", "noop"), ratio("bare2", "bare"));
        let _ = writeln!(out, "| **guard / layer that does nothing** | {} | {} | {goal} |", mode.name(), ratios(guard));
        let _ = writeln!(out, "| bare again / bare (the noise) | {} | {} | |", mode.name(), ratios(noise));
    }
    for (mode, rounds) in measured {
        let _ = writeln!(out, "\n### {}\n", mode.title());
        variants(out, rounds);
        additions(out, rounds);
    }
}

fn variants(out: &mut String, rounds: &Rounds) {
    let bare = nanos(rounds, "bare");
    let _ = writeln!(out, "| route | server CPU a request, µs | of bare | quartiles | requests a second |");
    let _ = writeln!(out, "|---|---|---|---|---|");
    for (variant, samples) in VARIANTS.iter().zip(rounds) {
        let own = nanos(rounds, variant.name);
        let ratio = stats::paired(&own, &bare, |own, bare| own / bare);
        let micros = stats::summary(own).median / 1e3;
        let rate = stats::summary(samples.iter().map(Sample::per_second)).median;
        let _ = writeln!(out, "| {} | {micros:.2} | {} | {rate:.0} |", variant.title, ratios(ratio));
    }
    let busy = stats::summary(rounds[0].iter().map(|sample| sample.cpu.as_secs_f64() / sample.wall.as_secs_f64()));
    let _ = writeln!(
        out,
        "\nMedians of {} rounds. The server used {:.0} % of its core while it served the bare route.",
        rounds[0].len(),
        busy.median * 100.0
    );
}

/// What each variant adds, against what the guard adds.
fn additions(out: &mut String, rounds: &Rounds) {
    let over = |one, other| stats::paired(&nanos(rounds, one), &nanos(rounds, other), |one, other| one - other);
    let guard = over("guard", "noop");
    let with_authentication = over("guard", "bare");
    let _ = writeln!(out, "\n| what | adds, ns | quartiles | times the guard | times guard and authentication |");
    let _ = writeln!(out, "|---|---|---|---|---|");
    let mut row = |title: &str, added: Summary| {
        let Summary { low, median, high } = added;
        let (own, all) = (times(added, guard), times(added, with_authentication));
        let _ = writeln!(out, "| {title} | {median:+.0} | {low:+.0} to {high:+.0} | {own} | {all} |");
    };
    row("the guard, over the layer that does nothing", guard);
    row("the refusal, over the layer that does nothing", over("refused", "noop"));
    row("authentication and the guard, over bare", with_authentication);
    for name in ["jwt", "tower_sessions", "session_guard", "axum_login"] {
        let title = VARIANTS.iter().find(|variant| variant.name == name).expect("a variant").title;
        row(&format!("{title}, over bare"), over(name, "bare"));
    }
}

pub(crate) fn cold(out: &mut String, measured: &[Cold]) {
    let _ = writeln!(out, "\n### One call in process, 200,000 sessions\n");
    let _ = writeln!(
        out,
        "| caches | layer that does nothing, ns | guard passes, adds | quartiles | guard refuses, adds |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|");
    for Cold { caches, no_op, passes, refuses } in measured {
        let Summary { low, median, high } = passes;
        let (title, no_op, refuses) = (caches.title(), no_op.median, refuses.median);
        let _ = writeln!(out, "| {title} | {no_op:.0} | {median:+.0} | {low:+.0} to {high:+.0} | {refuses:+.0} |");
    }
}

fn ratios(Summary { low, median, high }: Summary) -> String {
    format!("{median:.3} | {low:.3} to {high:.3}")
}

/// How many times the other one is, or nothing if the noise is as large as what is divided by.
fn times(one: Summary, other: Summary) -> String {
    if other.low <= 0.0 { "–".into() } else { format!("{:.1}", one.median / other.median) }
}

/// Every sample of every round.
pub(crate) fn csv(measured: &[(Mode, Rounds)]) -> String {
    let mut out = String::from("sessions,round,route,requests,server_cpu_ns,wall_ns\n");
    for (mode, rounds) in measured {
        for (variant, samples) in VARIANTS.iter().zip(rounds) {
            for (round, Sample { requests, cpu, wall }) in samples.iter().enumerate() {
                let (mode, name, cpu, wall) = (mode.name(), variant.name, cpu.as_nanos(), wall.as_nanos());
                let _ = writeln!(out, "{mode},{},{name},{requests},{cpu},{wall}", round + 1);
            }
        }
    }
    out
}
