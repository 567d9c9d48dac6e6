//! `star data view`: which faces go onto which page.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use star_data::Dataset;
use star_data::atomic;
use star_predict::files;

use super::inputs;
use super::sheet::{Layout, Sheet, Tile};
use crate::args::ViewArgs;
use crate::{progress, source};

/// Runs `star data view`.
///
/// # Errors
/// When the data set cannot be read at all, there is no such page, or a page cannot be written.
pub(super) fn run(args: &ViewArgs) -> Result<()> {
    ensure!(
        args.margin.is_finite() && (0.2..=20.0).contains(&args.margin),
        "--margin: expected a number from 0.2 to 20, got {}",
        args.margin
    );
    let opened = source::open_faces(&args.faces)?;
    let dataset = opened.dataset.as_ref();
    for problem in &opened.problems {
        say!("left out: {problem}");
    }
    let layout = Layout { columns: args.columns, rows: args.rows, tile: args.tile };
    let a_page = layout.faces();
    let pages = dataset.len().div_ceil(a_page).max(1);
    ensure!(
        (1..=pages).contains(&args.page),
        "--page: the {} faces take {pages} pages, got {}",
        dataset.len(),
        args.page
    );
    let wanted = if args.all { 1..=pages } else { args.page..=args.page };
    let subset = args.faces.subset.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let name = source::name(&args.faces.source) + &subset;
    let path = |page| if args.all { numbered(&args.out, page, pages) } else { args.out.clone() };
    let written: Vec<_> = wanted.clone().map(&path).collect();
    inputs::claim(&written, &args.faces.source, &["png"])?;
    inputs::claim_images(&written, dataset)?;
    files::make_dir(&star_data::formats::folder_of(&args.out))?;
    let bar = progress::bar(wanted.clone().count(), "pages");
    for page in wanted.clone() {
        let first = (page - 1) * a_page;
        let faces = first..dataset.len().min(first + a_page);
        let title = format!(
            "{name}   faces {} to {} of {}   page {page} of {pages}",
            faces.start + 1,
            faces.end,
            dataset.len()
        );
        let mut sheet = Sheet::new(layout, faces.len(), &title)?;
        for (place, index) in faces.enumerate() {
            draw(&mut sheet, dataset, args, place, index);
        }
        atomic::write(&path(page), &sheet.png()?)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let what = if args.all { format!("{pages} pages") } else { format!("page {} of {pages}", args.page) };
    say!("{what} of {} faces written to {}", dataset.len(), args.out.display());
    Ok(())
}

/// One face onto its place; one that cannot be read is said and leaves a mark.
fn draw(sheet: &mut Sheet, dataset: &dyn Dataset, args: &ViewArgs, place: usize, index: usize) {
    let label = format!("{} {}", index + 1, dataset.source(index).display());
    let read = dataset.annotation(index).and_then(|face| Ok((face, dataset.get(index)?.image)));
    match read {
        Ok((face, image)) => {
            let shown = (!args.whole).then_some(args.margin);
            sheet.draw(place, &Tile { face: &face, image: &image, scheme: dataset.scheme(), shown }, &label);
        }
        Err(error) => {
            say!("face {}: {error}", index + 1);
            sheet.unreadable(place, &label);
        }
    }
}

/// The path of a page: its number before the ending.
fn numbered(path: &Path, page: usize, pages: usize) -> PathBuf {
    let digits = pages.to_string().len();
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("-{page:0digits$}."));
    name.push(path.extension().unwrap_or("png".as_ref()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbered_so_that_they_sort() {
        assert_eq!(numbered(Path::new("a/b.png"), 7, 120), Path::new("a/b-007.png"));
        assert_eq!(numbered(Path::new("sheet"), 1, 9), Path::new("sheet-1.png"));
    }
}
