//! Medians with their range, and percentiles.

use std::{fmt, time::Duration};

/// The median of some figures, with the least and the greatest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    least: f64,
    median: f64,
    greatest: f64,
}

/// Panics if there are no figures.
pub(crate) fn spread(figures: impl IntoIterator<Item = f64>) -> Spread {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    Spread { least: figures[0], median: figures[figures.len() / 2], greatest: figures[figures.len() - 1] }
}

/// The median of some durations in microseconds.
pub(crate) fn micros(durations: impl IntoIterator<Item = Duration>) -> Spread {
    spread(durations.into_iter().map(|duration| duration.as_secs_f64() * 1e6))
}

/// `median (least to greatest)`.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, median, greatest } = self;
        let digits = if *greatest < 10.0 { 2 } else { 0 };
        write!(f, "{median:.digits$} ({least:.digits$} to {greatest:.digits$})")
    }
}

/// Percentiles of one round: the median, the 99th and the longest.
pub(crate) fn percentiles(mut waits: Vec<Duration>) -> [Duration; 3] {
    waits.sort_unstable();
    [50, 99, 100].map(|percent| waits[(waits.len() - 1) * percent / 100])
}
