//! Keypoint schemes by name, and whether weights are of one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use star_data::Scheme;
use star_model::checkpoint::Folder;

/// Name of the scheme of the registry's synthetic faces, which no data set of star-data has.
const ANIME: &str = "anime28";

/// A scheme by built-in name, or from a TOML file.
///
/// # Errors
/// When there is no such name or file, listing the names there are; for an alias, the name.
pub fn scheme(name: &str) -> Result<Scheme> {
    let path = Path::new(name);
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Ok(Scheme::from_toml_file(path)?);
    }
    if name == ANIME {
        return anime();
    }
    Ok(Scheme::asked(name)?)
}

/// The scheme that a folder holds, else the one of the name that it holds.
pub(super) fn of(folder: &Folder) -> Result<Scheme> {
    let Some(stored) = &folder.config.keypoint_scheme else {
        let name = &folder.config.scheme;
        return Scheme::named(name).or_else(|_| scheme(name));
    };
    let mut stored: Scheme = serde_json::from_value(stored.clone()).context("keypoint_scheme")?;
    // Written when the built-in scheme had another name.
    if let Ok(known) = Scheme::named(&stored.name)
        && (&known.edges, known.keypoints) == (&stored.edges, stored.keypoints)
    {
        stored.name = known.name;
    }
    stored.validate().context("keypoint_scheme")?;
    Ok(stored)
}

/// Keeps a whole scheme in a folder.
///
/// # Errors
/// When it cannot be said as JSON, which finite numbers always can.
pub fn keep(folder: &mut Folder, scheme: &Scheme) -> Result<()> {
    folder.config.scheme = scheme.name.clone();
    folder.config.keypoint_scheme = Some(serde_json::to_value(scheme)?);
    Ok(())
}

fn anime() -> Result<Scheme> {
    let scheme: Scheme = toml::from_str(include_str!("../../schemes/anime28.toml")).context(ANIME)?;
    scheme.validate()?;
    Ok(scheme)
}

/// The built-in scheme with `keypoints` points.
pub(super) fn by_count(keypoints: usize) -> Result<Scheme> {
    let fits = |scheme: &Scheme| scheme.keypoints == keypoints;
    match Scheme::built_in().into_iter().chain([anime()?]).find(fits) {
        Some(scheme) => Ok(scheme),
        None => bail!("no built-in scheme has {keypoints} keypoints: name one (--scheme)"),
    }
}

/// Checks that `folder` was made for `scheme`: number of keypoints and edges.
pub(super) fn check(folder: &Folder, scheme: &Scheme) -> Result<()> {
    let keypoints = folder.config.architecture.keypoints();
    if keypoints != scheme.keypoints {
        bail!(
            "the weights have {keypoints} keypoints, scheme `{}` has {}: these weights are of another scheme",
            scheme.name,
            scheme.keypoints
        )
    }
    let sets = |edges: &[Vec<usize>]| -> Vec<BTreeSet<usize>> {
        edges.iter().map(|edge| edge.iter().copied().collect()).collect()
    };
    if let Some(edges) = folder.config.architecture.edges()
        && sets(edges) != sets(&scheme.edge_points())
    {
        bail!(
            "the weights' edges are not those of scheme `{}`: these weights are of another scheme",
            scheme.name
        )
    }
    Ok(())
}
