//! Opening annotated faces as the command line names them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use star_data::formats::{Format, Opened, Source};
use star_data::{Dataset, Error, Scheme};
use star_predict::weights;
use star_train::config::{self, Problems};

use crate::args::{FacesArgs, SourceArgs};

/// What the arguments name.
///
/// # Errors
/// For a split that the format does not have.
pub(crate) fn source(args: &SourceArgs, scheme: Option<Scheme>, subset: Option<&str>) -> Result<Source> {
    let format = args.format;
    let (split, own_split) = config::split(format, args.split.as_deref())?;
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
        strip_prefix: args.strip_prefix.clone(),
        basename: args.basename,
        ..Source::new(format, &args.annotations)
    })
}

/// Opens what the arguments name; the whole of it.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub(crate) fn open(args: &SourceArgs, scheme: &Scheme) -> Result<Arc<dyn Dataset>> {
    Ok(open_subset(args, scheme, None)?.dataset)
}

/// Opens what the arguments name. A subset of a format without published subsets may be no more than a name for figures: where no face
/// carries it as a tag, all faces are taken.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub(crate) fn open_subset(args: &SourceArgs, scheme: &Scheme, subset: Option<&str>) -> Result<Opened> {
    let wanted = source(args, Some(scheme.clone()), subset)?;
    let only_a_name = subset.is_some() && args.format.splits().is_empty();
    let opened = match wanted.open() {
        Err(Error::Empty { .. }) if only_a_name => Source { subset: None, ..wanted }.open()?,
        opened => opened?,
    };
    usable(opened, args)
}

/// Opens what `star data` is given, with every row that can be used and everything wrong with the others.
///
/// # Errors
/// When the annotations cannot be read or are none.
pub(crate) fn open_faces(args: &FacesArgs) -> Result<Opened> {
    let scheme = args.scheme.as_deref().map(weights::scheme).transpose()?;
    Ok(source(&args.source, scheme, args.subset.as_deref())?.open()?)
}

/// The samples that `args` name, if nothing is wrong with them or that may be; what is left out is said on standard error. In 300VW some
/// rows always are.
///
/// # Errors
/// The first problem, where none may be.
pub(crate) fn usable(opened: Opened, args: &SourceArgs) -> Result<Opened> {
    let problems = match args.lenient || args.format == Format::Face300vw {
        true => Problems::LeaveOut,
        false => Problems::Refuse,
    };
    config::usable(opened, problems, &mut |text| say!("{text}"))
}

/// The name of a data set to print beside figures: the published one with its split, or folder and file.
pub(crate) fn name(args: &SourceArgs) -> String {
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
