//! Figures, which templates draw by calling `bars`, `cumulative` and `drawing`.

use std::sync::{Arc, Mutex};

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use star_eval::{Ced, Page};

use super::Drawn;
use super::svg::escape;

/// What a template drew: the paragraph that it left in the Markdown, and the figure as markup.
#[derive(Clone, Default)]
pub(super) struct Figures {
    placed: Arc<Mutex<Vec<(String, String)>>>,
    drawn: Arc<Vec<Drawn>>,
}

impl Figures {
    /// Those that were drawn beforehand, none of them placed.
    pub(super) fn of(drawn: Vec<Drawn>) -> Self {
        Self { drawn: Arc::new(drawn), ..Self::default() }
    }

    /// Every figure, in order.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.placed.lock().unwrap_or_else(|broken| broken.into_inner()).clone()
    }

    /// Gives the templates of `environment` the functions that draw. Each takes the caption first; a number that is not there leaves
    /// a gap, in an error curve it is a face without a prediction.
    pub(super) fn add(&self, environment: &mut Environment<'static>) {
        let figures = self.clone();
        let bars = move |caption: String, axes: Serde<[String; 2]>, values: Serde<Vec<Option<f64>>>| {
            let values: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            figures.keep(&caption, Page::bars(&caption, borrowed_axes(&axes), &values))
        };
        environment.add_function("bars", bars);
        let figures = self.clone();
        let cumulative = move |caption: String, curves: Serde<Vec<(String, Vec<Option<f64>>)>>, max: f64| {
            figures.keep(&caption, cumulative_curves(&caption, &curves, max))
        };
        environment.add_function("cumulative", cumulative);
        let figures = self.clone();
        let drawing = move |name: String, caption: String| {
            let Some(drawn) = figures.drawn.iter().find(|drawn| drawn.name == name) else {
                return Ok(String::new());
            };
            let paragraph = match drawn.beside_markdown {
                true => format!("![{caption}]({})", drawn.file()),
                false => format!("(figure in index.html: {caption})"),
            };
            let caption = escape(&caption);
            figures.place(
                paragraph,
                format!(
                    "<figure><div class=\"scroll\">{}</div><figcaption>{caption}</figcaption></figure>\n",
                    drawn.svg
                ),
            )
        };
        environment.add_function("drawing", drawing);
    }

    fn keep(&self, caption: &str, figure: star_eval::Result<String>) -> Result<String, Error> {
        let figure = figure.map_err(|error| {
            Error::new(ErrorKind::InvalidOperation, format!("figure `{caption}`: {error}"))
        })?;
        let paragraph = format!("(figure in index.html: {caption})");
        self.place(paragraph, figure)
    }

    fn place(&self, paragraph: String, figure: String) -> Result<String, Error> {
        self.placed.lock().unwrap_or_else(|broken| broken.into_inner()).push((paragraph.clone(), figure));
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

fn borrowed_axes(axes: &[String; 2]) -> [&str; 2] {
    [&axes[0], &axes[1]]
}
