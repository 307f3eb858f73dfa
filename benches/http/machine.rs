//! The machine, in general terms, and the date.

use std::{env::consts, fs, process::Command, time::SystemTime};

use tower_step_up::Timestamp;

/// Date, compiler, processor, caches, system, and how busy it is, as a paragraph of Markdown.
pub(crate) fn describe() -> String {
    let date = Timestamp::from(SystemTime::now()).to_string();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rustc = Command::new("rustc").arg("--version").output().ok();
    let rustc = rustc.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = match load.split(' ').next().and_then(|load| load.parse::<f64>().ok()) {
        Some(load) if load < 0.5 => "\nThe machine did nothing else.".into(),
        Some(load) => format!("\nThe machine was busy with other work (load average {load:.1}), so expect noise."),
        None => String::new(),
    };
    format!(
        "\nMeasured on {} with {}, on {} cores ({}, {}; caches: L2 {} MiB, last level {} MiB).{busy}\n",
        &date[..10],
        rustc.split(" (").next().unwrap_or("rustc"),
        cores,
        consts::ARCH,
        consts::OS,
        cache(2).unwrap_or(0) >> 20,
        last_level_cache() >> 20,
    )
}

/// Bytes of the level-two cache of one core; a guess where the system does not say.
pub(crate) fn level_two_cache() -> usize {
    cache(2).unwrap_or(2 << 20)
}

/// Bytes of the largest cache; a guess where the system does not say.
pub(crate) fn last_level_cache() -> usize {
    cache(3).or_else(|| cache(2)).unwrap_or(64 << 20)
}

/// Bytes of the first core's cache of a level.
fn cache(level: u8) -> Option<usize> {
    let size = fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?.flatten().find_map(|index| {
        let read = |file| fs::read_to_string(index.path().join(file)).ok();
        read("level").filter(|found| found.trim() == level.to_string()).and_then(|_| read("size"))
    })?;
    let kib: usize = size.trim().strip_suffix('K')?.parse().ok()?;
    Some(kib << 10)
}

/// The two processes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Server,
    Load,
}

/// Pins the thread to the first core, or to the last. Where that is not possible, says so and goes on.
pub(crate) fn pin(side: Side) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let core = if let Side::Server = side { cores.first() } else { cores.last() };
    if cores.len() < 2 || !core.is_some_and(|core| core_affinity::set_for_current(*core)) {
        eprintln!("{side:?} is not pinned to a core of its own: the figures mean little");
    }
}
