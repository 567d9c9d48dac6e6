//! Opening annotated faces as the command line names them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use star_data::formats::{Format, Opened, Source, Split};
use star_data::{Dataset, Error, Scheme};
use star_predict::weights;

use crate::args::{FacesArgs, SourceArgs};

/// Problems that are printed one by one where rows are left out.
const SHOWN: usize = 5;

/// What the arguments name.
///
/// # Errors
/// For a split that the format does not have.
pub fn source(args: &SourceArgs, scheme: Option<Scheme>, subset: Option<&str>) -> Result<Source> {
    let format = args.format;
    let (split, own_split) = split(format, args.split.as_deref())?;
    Ok(Source {
        images: args.images.clone(),
        split,
        own_split,
        subset: subset.map(str::to_string),
        category: args.category.clone(),
        scheme,
        map: args.map.map(|map| map.detail()),
        crop: args.crop.map(|crop| crop.rule()),
        compat: args.compat.compat(),
        ..Source::new(format, &args.annotations)
    })
}

/// A split by name: a published one, or for one's own data any word.
///
/// # Errors
/// For a name that the format does not have.
pub fn split(format: Format, name: Option<&str>) -> Result<(Option<Split>, Option<String>)> {
    let Some(name) = name else { return Ok((None, None)) };
    if format == Format::Own {
        return Ok((None, Some(name.to_string())));
    }
    let splits = format.splits();
    let found = splits.iter().find(|split| split.to_string().eq_ignore_ascii_case(name));
    let Some(found) = found else {
        let known: Vec<String> = splits.iter().map(ToString::to_string).collect();
        match known.is_empty() {
            true => bail!("--split: format {format} has no splits, got `{name}`"),
            false => bail!("--split: expected {} for format {format}, got `{name}`", known.join(", ")),
        }
    };
    Ok((Some(*found), None))
}

/// Opens what the arguments name; the whole of it.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub fn open(args: &SourceArgs, scheme: &Scheme) -> Result<Arc<dyn Dataset>> {
    Ok(open_subset(args, scheme, None)?.dataset)
}

/// Opens what the arguments name. A subset of a format without published subsets may be no more than a name for figures: where no face
/// carries it as a tag, all faces are taken.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub fn open_subset(args: &SourceArgs, scheme: &Scheme, subset: Option<&str>) -> Result<Opened> {
    let wanted = source(args, Some(scheme.clone()), subset)?;
    let only_a_name = subset.is_some() && args.format.splits().is_empty();
    let opened = match wanted.open() {
        Err(Error::Empty { .. }) if only_a_name => Source { subset: None, ..wanted }.open()?,
        opened => opened?,
    };
    usable(opened, lenient(args))
}

/// Opens what `star data` is given, with every row that can be used and everything wrong with the others.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub fn open_faces(args: &FacesArgs) -> Result<Opened> {
    let scheme = args.scheme.as_deref().map(weights::scheme).transpose()?;
    Ok(source(&args.source, scheme, args.subset.as_deref())?.open()?)
}

/// Whether rows that cannot be used are left out: in 300VW some always are.
pub fn lenient(args: &SourceArgs) -> bool {
    args.lenient || args.format == Format::Face300vw
}

/// The faces, if nothing is wrong or that may be; what is left out is said on standard error.
///
/// # Errors
/// The first problem, where none may be.
pub fn usable(mut opened: Opened, lenient: bool) -> Result<Opened> {
    if opened.problems.is_empty() {
        return Ok(opened);
    }
    if !lenient {
        let more = opened.problems.len() - 1;
        let first = opened.problems.swap_remove(0);
        return Err(match more {
            0 => first.into(),
            _ => anyhow::Error::from(first)
                .context(format!("{} rows cannot be used (--lenient leaves them out), the first", more + 1)),
        });
    }
    let count = opened.problems.len();
    for problem in opened.problems.iter().take(SHOWN) {
        eprintln!("left out: {problem}");
    }
    if count > SHOWN {
        eprintln!("left out: {} more; `star data check` names them all", count - SHOWN);
    }
    opened.notes.push(format!("{count} rows that cannot be used are left out"));
    opened.problems.clear();
    Ok(opened)
}

/// The name of a data set to print beside figures: the published one with its split, or folder and file.
pub fn name(args: &SourceArgs) -> String {
    let format = args.format;
    if format.splits().is_empty() {
        let path = &args.annotations;
        let file = path.file_name().unwrap_or(path.as_os_str());
        let dir = path.parent().and_then(Path::file_name);
        let both = dir.map_or(Path::new(file).to_path_buf(), |dir| Path::new(dir).join(file));
        return both.to_string_lossy().into_owned();
    }
    let split = args.split.as_deref().unwrap_or("test");
    format!("{} {split}", format.to_string().to_uppercase())
}
