//! Opening annotated faces as the command line names them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use star_data::dataset::Subset;
use star_data::formats::{Format, Opened, Source};
use star_data::scheme_map::{Mapped, SchemeMap};
use star_data::synthetic::{Labels, Subject};
use star_data::{Dataset, Error, Scheme};
use star_predict::weights;
use star_train::config::{self, Problems};

use crate::args::{CompatName, DataFormat, FacesArgs, SourceArgs};

/// What the arguments name.
///
/// # Errors
/// For a split that the format does not have.
fn source(args: &SourceArgs, format: Format, scheme: Option<Scheme>, subset: Option<&str>) -> Result<Source> {
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
        ..Source::new(format, args.place())
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
    let DataFormat::Files(format) = checked(args)? else { return synthetic(args, Some(scheme), subset) };
    let wanted = source(args, format, Some(scheme.clone()), subset)?;
    let only_a_name = subset.is_some() && format.splits().is_empty();
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
    let subset = args.subset.as_deref();
    match checked(&args.source)? {
        DataFormat::Files(format) => Ok(source(&args.source, format, scheme, subset)?.open()?),
        DataFormat::Synthetic => synthetic(&args.source, scheme.as_ref(), subset),
    }
}

/// The format, if the arguments beside it are some that it has.
///
/// # Errors
/// Names the first that it has not.
fn checked(args: &SourceArgs) -> Result<DataFormat> {
    if args.format != DataFormat::Synthetic {
        ensure!(args.synthetic.is_none(), "--synthetic: expected --format synthetic beside it");
        return Ok(args.format);
    }
    let places = [("--annotations", args.annotations.is_some()), ("--images", args.images.is_some())];
    if let Some(name) = first_given(places.into_iter().chain(of_annotations(args))) {
        bail!("{name}: of annotations on disk alone; what is drawn is said by --synthetic count=200,seed=9")
    }
    Ok(args.format)
}

/// The folder of photographs that `--images` names where there are no annotations, for commands that need none.
///
/// # Errors
/// Names the first option beside it that is about annotations.
pub(crate) fn photographs(args: &SourceArgs) -> Result<Option<&Path>> {
    let (None, Some(folder), DataFormat::Files(_)) = (&args.annotations, &args.images, args.format) else {
        return Ok(None);
    };
    let others = [("--synthetic", args.synthetic.is_some()), ("--map-98-to-68", args.map.is_some())];
    if let Some(name) = first_given(of_annotations(args).into_iter().chain(others)) {
        bail!("{name}: of annotated images; without --annotations --images is a folder of photographs")
    }
    Ok(Some(folder))
}

/// Options about annotations on disk, beside where they lie, and whether they were given.
fn of_annotations(args: &SourceArgs) -> [(&'static str, bool); 6] {
    [
        ("--split", args.split.is_some()),
        ("--category", args.category.is_some()),
        ("--crop", args.crop.is_some()),
        ("--compat", args.compat != CompatName::None),
        ("--strip-prefix", args.strip_prefix.is_some()),
        ("--basename", args.basename),
    ]
}

fn first_given(options: impl IntoIterator<Item = (&'static str, bool)>) -> Option<&'static str> {
    options.into_iter().find_map(|(name, given)| given.then_some(name))
}

/// The images that are drawn, of 98 points mapped to 68 where that was asked for.
///
/// # Errors
/// When their keypoints are others than those of `scheme`, or none is of `subset`.
fn synthetic(args: &SourceArgs, scheme: Option<&Scheme>, subset: Option<&str>) -> Result<Opened> {
    let drawn: Arc<dyn Dataset> = star_data::synthetic::open(args.synthetic.clone().unwrap_or_default())?;
    let dataset = match args.map {
        Some(map) => Arc::new(Mapped::new(drawn, SchemeMap::wflw_to_300w(map.detail())?)?),
        None => drawn,
    };
    let own = dataset.scheme();
    if let Some(wanted) = scheme.filter(|wanted| wanted.keypoints != own.keypoints) {
        let hint = match (own.keypoints, wanted.keypoints) {
            (98, 68) => "; --map-98-to-68 blend makes 68 of them",
            (_, 21) => "; --synthetic subject=hand draws hands",
            _ => "",
        };
        bail!(
            "--format synthetic: expected {} points of scheme `{}`, got {} of `{}`{hint}",
            wanted.keypoints,
            wanted.name,
            own.keypoints,
            own.name
        )
    }
    let dataset = match subset {
        Some(name) => tagged(dataset, name)?,
        None => dataset,
    };
    Ok(Opened { dataset, problems: Vec::new(), notes: Vec::new(), published: None })
}

/// The images that are drawn with something special, such as `pose`.
///
/// # Errors
/// Names what there is where none is with `name`.
fn tagged(drawn: Arc<dyn Dataset>, name: &str) -> Result<Arc<dyn Dataset>> {
    let (mut kept, mut known) = (Vec::new(), BTreeSet::new());
    for i in 0..drawn.len() {
        let tags = drawn.annotation(i)?.tags;
        if tags.iter().any(|tag| tag.eq_ignore_ascii_case(name)) {
            kept.push(i);
        }
        known.extend(tags);
    }
    ensure!(
        !kept.is_empty(),
        "--subset: expected {} of the synthetic images, got `{name}`",
        known.into_iter().collect::<Vec<_>>().join(", ")
    );
    Ok(Arc::new(Subset::new(drawn, kept)))
}

/// The samples that `args` name, if nothing is wrong with them or that may be; what is left out is said on standard error. In 300VW some
/// rows always are.
///
/// # Errors
/// The first problem, where none may be.
pub(crate) fn usable(opened: Opened, args: &SourceArgs) -> Result<Opened> {
    let problems = match args.lenient || args.format == DataFormat::Files(Format::Face300vw) {
        true => Problems::LeaveOut,
        false => Problems::Refuse,
    };
    config::usable(opened, problems, &mut |text| say!("{text}"))
}

/// The name of a data set to print beside figures: the published one with its split, or folder and file.
pub(crate) fn name(args: &SourceArgs) -> String {
    let format = match args.format {
        DataFormat::Files(format) => format,
        DataFormat::Synthetic => {
            let config = args.synthetic.clone().unwrap_or_default();
            let subject = match config.subject {
                Subject::Face => "faces",
                Subject::Hand => "hands",
                Subject::Leaf => "leaves",
            };
            let labels = match config.labels {
                Labels::Annotated => "annotated",
                Labels::Exact => "exact",
            };
            return format!("synthetic {subject}, seed {}, {labels}", config.seed);
        }
    };
    if format.splits().is_empty() {
        let path = args.place();
        let file = path.file_name().unwrap_or(path.as_os_str());
        let dir = path.parent().and_then(Path::file_name);
        let both = dir.map_or(Path::new(file).to_path_buf(), |dir| Path::new(dir).join(file));
        return both.to_string_lossy().into_owned();
    }
    let split = args.split.as_deref().unwrap_or("test");
    format!("{} {split}", format.to_string().to_uppercase())
}
