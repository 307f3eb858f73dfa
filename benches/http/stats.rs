//! Medians, with quartiles.

/// The median of some figures, and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// Panics if there are no figures.
pub(crate) fn summary(figures: impl IntoIterator<Item = f64>) -> Summary {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let at = |quarters: usize| {
        // Between two figures, the line between them.
        let (index, rest) = ((figures.len() - 1) * quarters / 4, (figures.len() - 1) * quarters % 4);
        let next = figures[(index + 1).min(figures.len() - 1)];
        figures[index] + (next - figures[index]) * f64::from(u8::try_from(rest).expect("below four")) / 4.0
    };
    Summary { low: at(1), median: at(2), high: at(3) }
}

/// The summary of `f` over pairs of figures that were taken in the same round.
pub(crate) fn paired(one: &[f64], other: &[f64], f: impl Fn(f64, f64) -> f64) -> Summary {
    summary(one.iter().zip(other).map(|(one, other)| f(*one, *other)))
}
