//! The weights in the program: this project's own, which everybody may use (`models/default-68/NOTICE.md`).

use std::path::Path;

use anyhow::{Context, Result};
use star_model::checkpoint::Folder;

use crate::confidence::ConfidenceModel;

/// Their name, where weights are named.
pub const BUILTIN: &str = "builtin";

/// Their `model.safetensors`.
pub const BUILTIN_WEIGHTS: &[u8] = include_bytes!("../../models/default-68/model.safetensors");

const CONFIG: &[u8] = include_bytes!("../../models/default-68/config.json");

const CONFIDENCE: &[u8] = include_bytes!("../../models/default-68/confidence.json");

/// Whether `name` means them: a file of that name goes before.
pub(super) fn is_meant(name: &Path) -> bool {
    name == Path::new(BUILTIN) && !name.exists()
}

pub(super) fn folder() -> Result<Folder> {
    Folder::from_bytes(CONFIG, BUILTIN_WEIGHTS).context("the built-in weights")
}

pub(super) fn confidence(keypoints: usize) -> Result<ConfidenceModel> {
    ConfidenceModel::from_bytes(CONFIDENCE, keypoints).context("the confidence of the built-in weights")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// What trained them.
    const RECIPE: &str = include_str!("../../../../recipes/default-68.toml");

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_notice_names_the_embedded_file_and_the_recipe_that_trained_it() {
        let notice = include_str!("../../models/default-68/NOTICE.md");
        for file in [BUILTIN_WEIGHTS, RECIPE.as_bytes()] {
            let hash = sha256(file);
            assert!(notice.contains(&hash), "{hash}");
        }
        assert!(BUILTIN_WEIGHTS.len() <= 4_000_000);
    }

    #[test]
    fn they_have_the_68_points_of_ibug_and_are_calibrated() {
        let folder = folder().unwrap();
        assert_eq!((folder.config.scheme.as_str(), folder.config.architecture.keypoints()), ("ibug68", 68));
        assert!(folder.config.calibration.is_some());
        assert_eq!(confidence(68).unwrap().threshold, 0.05);
    }
}
