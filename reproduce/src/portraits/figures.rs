//! The plots of a report on portraits.

use star_eval::Interval;

use super::outcome::{Contrast, Outcome};
use crate::report::Drawn;
use crate::report::svg::{AXIS, Drawing, LEFT, SERIES, Scale, THIN, WIDTH, plain, ticks};

/// Room for names above.
const TOP: f64 = 46.0;
const BOTTOM: f64 = 290.0;
const RIGHT: f64 = WIDTH - 20.0;

/// Every plot whose figures there are.
pub(super) fn plots(outcome: &Outcome) -> Vec<Drawn> {
    let drawn = |name: &str, svg: Option<String>| {
        svg.map(|svg| Drawn { name: name.into(), svg, beside_markdown: true })
    };
    let plots = [
        drawn("differences", differences(outcome)),
        drawn("ratios", ratios(outcome)),
        drawn("agreement", agreement(outcome)),
    ];
    plots.into_iter().flatten().collect()
}

fn ends(interval: &Interval, unit: f64) -> [f64; 3] {
    [interval.low, interval.estimate, interval.high].map(|v| unit * v)
}

/// Room around all of some values and 0.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = values.fold([0.0f64; 2], |[low, high], v| [low.min(v), high.max(v)]);
    let room = 0.08 * (high - low).max(0.1);
    [low - room, high + room]
}

/// Groups of intervals side by side, each under its number; one colour a series.
fn groups(series: &[(&str, Vec<Option<[f64; 3]>>)], what: [&str; 2], label: &str) -> Option<String> {
    let values: Vec<f64> =
        series.iter().flat_map(|(_, values)| values.iter().flatten().flatten().copied()).collect();
    if values.is_empty() {
        return None;
    }
    let [low, high] = range(values.into_iter());
    let scale = Scale { low, high, top: TOP, bottom: BOTTOM };
    let mut drawing = Drawing::new(350.0);
    let names: Vec<(&str, &str)> = series.iter().map(|(name, _)| *name).zip(SERIES).collect();
    drawing.legend([LEFT + 4.0, 16.0], &names);
    scale.grid(&mut drawing, [LEFT, RIGHT], true);
    let count = series.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    let step = (RIGHT - LEFT) / count as f64;
    for place in 0..count {
        let middle = LEFT + (place as f64 + 0.5) * step;
        drawing.words([middle, 310.0], "middle", &format!("{}", place + 1));
        for (i, ((name, colour), (_, values))) in names.iter().zip(series).enumerate() {
            let Some(values) = values.get(place).copied().flatten() else { continue };
            let x = middle + 18.0 * (i as f64 - (series.len() - 1) as f64 / 2.0);
            let [low, estimate, high] = values.map(plain);
            let title = format!("row {}, {name}: {estimate} ({low} to {high})", place + 1);
            drawing.interval(x, values.map(|v| scale.at(v)), colour, &title);
        }
    }
    drawing.words([(LEFT + WIDTH) / 2.0, 335.0], "middle", what[0]);
    drawing.upwards(168.0, what[1]);
    Some(drawing.finish(label))
}

/// Differences across and along, row by row of the table.
fn differences(outcome: &Outcome) -> Option<String> {
    let of = |figure: fn(&Contrast) -> &Option<Interval>| -> Vec<Option<[f64; 3]>> {
        outcome.contrasts.iter().map(|c| figure(c).as_ref().map(|i| ends(i, 100.0))).collect()
    };
    let series = [("across the edges", of(|c| &c.across)), ("along them", of(|c| &c.along))];
    groups(&series, ["row of the table", "first - second, points"], "Differences across and along the edges")
}

/// Correlations with the detectors' disagreement, row by row of the table.
fn agreement(outcome: &Outcome) -> Option<String> {
    let own = outcome.agreement.iter().map(|a| Some([a.of_mean.spearman; 3])).collect();
    let shuffled = outcome.agreement.iter().map(|a| {
        let null = &a.nulls[1];
        Some([null.mean.spearman, null.mean.spearman, null.spearman_95])
    });
    let series =
        [("mean covariance of all seeds", own), ("shuffled within parts, up to 95 %", shuffled.collect())];
    groups(
        &series,
        ["row of the table", "Spearman's correlation"],
        "Correlation of eigenvalue ratios with the detectors'",
    )
}

/// Log ratios of networks over those of the detectors, a point a landmark: smooth-L1 and STAR.
fn ratios(outcome: &Outcome) -> Option<String> {
    let landmarks = &outcome.landmarks;
    let chosen = [landmarks.losses.first()?, landmarks.losses.last()?];
    let finite = |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).collect::<Vec<_>>();
    let across = finite(&landmarks.annotators).into_iter().fold(0.0, f64::max);
    let [low, high] = range(chosen.iter().flat_map(|(_, values)| finite(values)));
    if !(across > 0.0 && high > low) {
        return None;
    }
    let scale = Scale { low, high, top: TOP, bottom: BOTTOM };
    let x = |value: f64| LEFT + value / (1.05 * across) * (RIGHT - LEFT);
    let mut drawing = Drawing::new(350.0);
    let names: Vec<(&str, &str)> = chosen.iter().map(|(name, _)| name.as_str()).zip(SERIES).collect();
    drawing.legend([LEFT + 4.0, 16.0], &names);
    scale.grid(&mut drawing, [LEFT, RIGHT], true);
    for tick in ticks(0.0, across, 6) {
        drawing.line([x(tick), TOP], [x(tick), BOTTOM], THIN);
        drawing.words([x(tick), 310.0], "middle", &plain(tick));
    }
    drawing.line([LEFT, BOTTOM], [RIGHT, BOTTOM], AXIS);
    for ((name, colour), (_, values)) in names.iter().zip(chosen) {
        for (k, (annotators, value)) in landmarks.annotators.iter().zip(values).enumerate() {
            if annotators.is_finite() && value.is_finite() {
                let title = format!("{name}, landmark {k}");
                drawing.interval(x(*annotators), [scale.at(*value); 3], colour, &title);
            }
        }
    }
    drawing.words(
        [(LEFT + WIDTH) / 2.0, 335.0],
        "middle",
        "log eigenvalue ratio of the detectors' disagreement",
    );
    drawing.upwards(168.0, "of the network");
    Some(drawing.finish("Log eigenvalue ratio of networks over that of the detectors' disagreement"))
}
