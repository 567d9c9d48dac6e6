//! The report of an evaluation, for a browser, for a person and for machines.

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use star_data::atomic;
use star_eval::{Case, Results};
use star_predict::files;

use super::gallery;

/// Writes `report.json`, `report.md` and `index.html` with the best and the worst of `cases` into the folder `dir`. `open` decodes the
/// image of a case; how many of those to be shown it could not open.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    dir: &Path,
    results: &Results,
    cases: &[Case],
    open: impl Fn(usize) -> Result<RgbImage>,
) -> Result<usize> {
    let main = results.main()?;
    let nmes: Vec<Option<f64>> = main.per_image.iter().map(|image| image.nme_fraction).collect();
    let (images, unreadable) = gallery::best_and_worst(cases, &nmes, open)?;
    files::make_dir(dir)?;
    let write = |name: &str, text: &str| atomic::write(&dir.join(name), text.as_bytes());
    write("report.json", &results.to_json())?;
    write("report.md", &results.to_markdown()?)?;
    write("index.html", &results.to_html(&images)?)?;
    Ok(unreadable)
}
