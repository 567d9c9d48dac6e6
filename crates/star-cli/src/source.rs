//! Opening annotated faces, and `star data check`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use star_data::formats::pts::{self, PtsDataset};
use star_data::formats::tsv::{self, TsvDataset};
use star_data::{Dataset, Scheme};

use crate::args::{CheckArgs, Format, SourceArgs};
use crate::{progress, weights};

/// Opens what the arguments name.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub fn open(args: &SourceArgs, scheme: &Scheme) -> Result<Arc<dyn Dataset>> {
    open_parts(args.format, &args.annotations, args.images.as_deref(), scheme)
}

/// Folder of a file, `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Opens annotations of a format; image paths start from `images`, or from the folder of the annotations.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub fn open_parts(
    format: Format,
    annotations: &Path,
    images: Option<&Path>,
    scheme: &Scheme,
) -> Result<Arc<dyn Dataset>> {
    Ok(match format {
        Format::Tsv => {
            Arc::new(TsvDataset::open(annotations, images.unwrap_or(folder_of(annotations)), scheme.clone())?)
        }
        Format::Pts => {
            let beside = if annotations.is_dir() { annotations } else { folder_of(annotations) };
            Arc::new(PtsDataset::open(annotations, images.unwrap_or(beside), scheme.clone())?)
        }
    })
}

/// Runs `star data check`: every row and picture, everything that is wrong, and a failure code where anything is.
///
/// # Errors
/// When the annotations cannot be read at all.
pub fn check(args: &CheckArgs) -> Result<ExitCode> {
    let scheme = weights::scheme(&args.scheme)?;
    let (faces, problems) = match args.source.format {
        Format::Tsv => check_tsv(&args.source, scheme)?,
        Format::Pts => check_pts(&args.source, &scheme)?,
    };
    for problem in &problems {
        println!("{problem}");
    }
    println!("{faces} faces, {} problems", problems.len());
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_tsv(source: &SourceArgs, scheme: Scheme) -> Result<(usize, Vec<star_data::Error>)> {
    let images = source.images.as_deref().unwrap_or(folder_of(&source.annotations));
    let (set, mut problems) = TsvDataset::open_lenient(&source.annotations, images, scheme)?;
    let bar = progress::bar(set.len(), "faces");
    problems.extend(tsv::check(&set, &source.annotations, || bar.inc(1)));
    bar.finish_and_clear();
    Ok((set.len(), problems))
}

/// Each `.pts` file on its own, so that one that is wrong does not hide the others.
fn check_pts(source: &SourceArgs, scheme: &Scheme) -> Result<(usize, Vec<star_data::Error>)> {
    let files = pts::files(&source.annotations)?;
    let bar = progress::bar(files.len(), "files");
    let (mut faces, mut problems) = (0, Vec::new());
    for file in &files {
        let images = source.images.as_deref().unwrap_or(folder_of(file));
        match PtsDataset::open(file, images, scheme.clone()).and_then(|set| set.get(0)) {
            Ok(_) => faces += 1,
            Err(problem) => problems.push(problem),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((faces, problems))
}
