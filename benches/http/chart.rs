//! The picture: server CPU of a request, as bars with the quartiles.

use std::fmt::Write as _;

use crate::{
    report,
    rounds::{Mode, Rounds, VARIANTS},
    stats::{self, Summary},
};

const LEFT: f64 = 330.0;
const WIDTH: f64 = 430.0;
const ROW: f64 = 24.0;

/// One panel for each mode, below one another.
pub(crate) fn draw(measured: &[(Mode, Rounds)]) -> String {
    let panel = ROW * f64::from(u8::try_from(VARIANTS.len()).expect("few")) + 64.0;
    let height = panel * f64::from(u8::try_from(measured.len()).expect("few"));
    let total = LEFT + WIDTH + 70.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<title>Server CPU of a request, by route</title>\n\
         <rect width=\"{total}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let quartile = |(_, rounds): &(Mode, Rounds)| VARIANTS.map(|variant| figures(rounds, variant.name).high);
    let highest = measured.iter().flat_map(quartile);
    let scale = WIDTH / highest.fold(1.0, f64::max);
    let mut top = 0.0;
    for (mode, rounds) in measured {
        let _ = writeln!(
            out,
            "<text x=\"12\" y=\"{}\" font-weight=\"bold\">{}: server CPU of a request, µs</text>",
            top + 26.0,
            mode.title()
        );
        rows(&mut out, top + 40.0, scale, rounds);
        top += panel;
    }
    out + "</svg>\n"
}

fn figures(rounds: &Rounds, name: &str) -> Summary {
    stats::summary(report::nanos(rounds, name))
}

fn rows(out: &mut String, mut top: f64, scale: f64, rounds: &Rounds) {
    let bare = figures(rounds, "bare").median * scale;
    for variant in &VARIANTS {
        let figures = figures(rounds, variant.name);
        let (width, low, high) = (figures.median * scale, figures.low * scale, figures.high * scale);
        let color = if let "guard" | "refused" = variant.name { "#1a7f37" } else { "#8c959f" };
        let middle = top + ROW / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"{color}\"/>\n\
             <path d=\"M{:.1} {middle}H{:.1}\" stroke=\"#24292f\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{:.2}</text>",
            LEFT - 8.0,
            middle + 5.0,
            variant.title.replace('`', ""),
            top + 3.0,
            ROW - 6.0,
            LEFT + low,
            LEFT + high,
            LEFT + width.max(high) + 8.0,
            middle + 5.0,
            figures.median / 1e3,
        );
        top += ROW;
    }
    let x = LEFT + bare;
    let _ = writeln!(
        out,
        "<path d=\"M{x:.1} {}V{top}\" stroke=\"#24292f\" stroke-dasharray=\"3 3\"/>",
        top - ROW * f64::from(u8::try_from(VARIANTS.len()).expect("few"))
    );
}
