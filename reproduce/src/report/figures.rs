//! Figures, which templates draw by calling `curves`, `bars`, `intervals` and `cumulative`.

use std::sync::{Arc, Mutex};

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use star_eval::{Ced, Interval, Page};

/// Curves by their labels.
type Series<T> = Vec<(String, Vec<(f64, T)>)>;

/// What a template drew: the paragraph that it left in the Markdown, and the figure as markup.
#[derive(Clone, Default)]
pub(super) struct Figures(Arc<Mutex<Vec<(String, String)>>>);

impl Figures {
    /// Every figure, in order.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner()).clone()
    }

    /// Gives the templates of `environment` the functions that draw. Each takes the caption first; a number that is not there leaves
    /// a gap, in an error curve it is a face without a prediction.
    pub(super) fn add(&self, environment: &mut Environment<'static>) {
        let figures = self.clone();
        let curves = move |caption: String, axes: Serde<[String; 2]>, series: Serde<Series<Option<f64>>>| {
            let finite: Series<f64> = series
                .0
                .into_iter()
                .map(|(label, points)| (label, points.into_iter().map(or_gap).collect()))
                .collect();
            figures.keep(&caption, Page::curves(&caption, borrowed_axes(&axes), &borrowed(&finite)))
        };
        environment.add_function("curves", curves);
        let figures = self.clone();
        let bars = move |caption: String, axes: Serde<[String; 2]>, values: Serde<Vec<Option<f64>>>| {
            let values: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            figures.keep(&caption, Page::bars(&caption, borrowed_axes(&axes), &values))
        };
        environment.add_function("bars", bars);
        let figures = self.clone();
        let intervals = move |caption: String, axes: Serde<[String; 2]>, series: Serde<Series<Interval>>| {
            figures.keep(&caption, Page::intervals(&caption, borrowed_axes(&axes), &borrowed(&series)))
        };
        environment.add_function("intervals", intervals);
        let figures = self.clone();
        let cumulative = move |caption: String, curves: Serde<Vec<(String, Vec<Option<f64>>)>>, max: f64| {
            figures.keep(&caption, cumulative_curves(&caption, &curves, max))
        };
        environment.add_function("cumulative", cumulative);
    }

    fn keep(&self, caption: &str, figure: star_eval::Result<String>) -> Result<String, Error> {
        let figure = figure.map_err(|error| {
            Error::new(ErrorKind::InvalidOperation, format!("figure `{caption}`: {error}"))
        })?;
        let paragraph = format!("(figure in index.html: {caption})");
        self.0.lock().unwrap_or_else(|broken| broken.into_inner()).push((paragraph.clone(), figure));
        Ok(paragraph)
    }
}

fn cumulative_curves(
    caption: &str,
    curves: &[(String, Vec<Option<f64>>)],
    max: f64,
) -> star_eval::Result<String> {
    let errors = |values: &[Option<f64>]| values.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    let curves: Vec<(&str, Ced)> = curves
        .iter()
        .map(|(label, values)| Ok((label.as_str(), Ced::new(errors(values))?)))
        .collect::<star_eval::Result<_>>()?;
    let curves: Vec<(&str, &Ced)> = curves.iter().map(|(label, ced)| (*label, ced)).collect();
    Page::cumulative(caption, &curves, max)
}

fn or_gap((x, y): (f64, Option<f64>)) -> (f64, f64) {
    (x, y.unwrap_or(f64::NAN))
}

fn borrowed_axes(axes: &[String; 2]) -> [&str; 2] {
    [&axes[0], &axes[1]]
}

fn borrowed<T>(series: &Series<T>) -> Vec<(&str, &[(f64, T)])> {
    series.iter().map(|(label, points)| (label.as_str(), points.as_slice())).collect()
}
