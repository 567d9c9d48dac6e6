//! `star data check`: every row and image, everything that is wrong, and a failure code where anything is.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use star_data::check::{self, Report};
use star_data::formats::{Format, Split};

use crate::args::{CheckArgs, DataFormat, FacesArgs};
use crate::{output, progress, source};

/// Problems that are named one by one.
const PROBLEMS_SHOWN: usize = 20;

/// Images of equal content that are named.
const SAME_SHOWN: usize = 10;

/// Runs `star data check`.
///
/// # Errors
/// When the annotations cannot be read at all.
pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let opened = source::open_faces(&args.faces)?;
    let bar = progress::bar(opened.dataset.len(), "faces");
    let report = check::check(opened.dataset.as_ref(), &|done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let mut problems: Vec<String> =
        opened.problems.iter().chain(&report.problems).map(ToString::to_string).collect();
    let name = name(&args.faces);
    problems.extend(wrong_counts(&args.faces, &report, opened.published, &name));
    let mut text = String::new();
    for problem in problems.iter().take(PROBLEMS_SHOWN) {
        let _ = writeln!(text, "{problem}");
    }
    if problems.len() > PROBLEMS_SHOWN {
        let _ = writeln!(text, "... and {} more", problems.len() - PROBLEMS_SHOWN);
    }
    for (image, earlier) in report.same.iter().take(SAME_SHOWN) {
        let _ = writeln!(text, "note: {} holds the same bytes as {}", image.display(), earlier.display());
    }
    if report.same.len() > SAME_SHOWN {
        let _ = writeln!(text, "note: {} images in all hold the same bytes as another", report.same.len());
    }
    for note in opened.notes.iter().chain(&report.notes) {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = writeln!(text, "{name}, scheme {}: {}", opened.dataset.scheme().name, summary(&report));
    let _ = writeln!(text, "sha256 {}", report.hash);
    let _ = writeln!(text, "{} faces, {} problems", report.faces, problems.len());
    output::write_text("-".as_ref(), &text)?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Data set, split and subset.
fn name(args: &FacesArgs) -> String {
    let subset = args.subset.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    source::name(&args.source) + &subset
}

fn summary(report: &Report) -> String {
    let mut text = format!("{} images, {} faces with a point outside", report.images, report.outside);
    for (i, (tag, count)) in report.tags.iter().enumerate() {
        let _ = write!(text, "{}{tag} {count}", if i == 0 { "; " } else { ", " });
    }
    text
}

/// Where the numbers of faces are not the published ones: of the whole, and of the subsets that its tags name.
fn wrong_counts(args: &FacesArgs, report: &Report, published: Option<usize>, name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let DataFormat::Files(format) = args.source.format else { return wrong };
    if let Some(count) = published.filter(|count| *count != report.faces) {
        wrong.push(format!(
            "{}: {name}: expected {count} faces, as published, got {}",
            args.source.place().display(),
            report.faces
        ));
    }
    if args.subset.is_none() && !format.splits().is_empty() {
        wrong.extend(format.subsets(split(format, args)).into_iter().filter_map(|subset| {
            let published = format.published(split(format, args), Some(subset))?;
            let got = report.tags.get(subset).copied().unwrap_or(0);
            let wrong = got != published && subset != BROKEN;
            wrong.then(|| {
                format!(
                    "{}: {name} {subset}: expected {published} faces, as published, got {got}",
                    args.source.place().display()
                )
            })
        }));
    }
    wrong
}

/// The subset that 300VW's others do not contain.
const BROKEN: &str = "broken";

fn split(format: Format, args: &FacesArgs) -> Split {
    let named =
        star_train::config::split(format, args.source.split.as_deref()).ok().and_then(|(split, _)| split);
    named.unwrap_or(Split::Test)
}
