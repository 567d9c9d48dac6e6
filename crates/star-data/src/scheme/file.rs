//! Schemes in TOML files: alone, or in the file that describes data of one's own.

use std::path::Path;

use super::Scheme;
use crate::formats::own;
use crate::{Error, Result};

/// A field by which a scheme is told from other TOML: each needs it.
const MARK: &str = "keypoints";

impl Scheme {
    /// A scheme of one's own from TOML: the fields of this struct, of which `name` and `keypoints` are needed, or the file of data of
    /// one's own ([`own`]), whose scheme it is then.
    ///
    /// # Errors
    /// [`Error::SchemeFile`] with line and field, or as [`Scheme::validate`]; for data of one's own as [`own::scheme`].
    pub fn from_toml_file(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(path, error))?;
        match table.contains_key("scheme") && !table.contains_key(MARK) {
            true => own::scheme(path),
            false => Self::alone(path, &text, table.contains_key("scheme")),
        }
    }

    /// A scheme from a file that holds nothing else.
    pub(crate) fn from_file_of_its_own(path: &Path) -> Result<Self> {
        let text = read(path)?;
        Self::alone(path, &text, false)
    }

    fn alone(path: &Path, text: &str, nested: bool) -> Result<Self> {
        let scheme: Self = toml::from_str(text).map_err(|error| match nested {
            true => wrong(
                path,
                format!(
                    "{}; a scheme's own file has its edges as [[edges]], not [[scheme.edges]]",
                    error.to_string().trim_end()
                ),
            ),
            false => wrong(path, error),
        })?;
        scheme.validate()?;
        Ok(scheme)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::io(path, source))
}

fn wrong(path: &Path, reason: impl ToString) -> Error {
    Error::SchemeFile { path: path.to_path_buf(), reason: reason.to_string() }
}

/// What to do about a field of a scheme that stands beside `[scheme]` in a file of data; nothing where there is none.
pub(crate) fn misplaced(text: &str) -> &'static str {
    let fields = [MARK, "edges", "flip_pairs", "names", "name"];
    match toml::from_str::<toml::Table>(text) {
        Ok(table) if fields.iter().any(|field| table.contains_key(*field)) => {
            "; a file of data has its scheme below [scheme], and edges as [[scheme.edges]]"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: &str =
        "name = 'paw'\nkeypoints = 2\n[[edges]]\nname = 'sole'\nclosed = false\npoints = [0, 1]\n";

    fn of(text: &str) -> Result<Scheme> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.toml");
        std::fs::write(dir.path().join("paw.toml"), ALONE).unwrap();
        std::fs::write(&path, text).unwrap();
        Scheme::from_toml_file(&path)
    }

    #[test]
    fn a_file_of_data_is_a_scheme_by_what_it_gives_or_names() {
        let alone = of(ALONE).unwrap();
        assert_eq!((alone.keypoints, alone.edge_points()), (2, vec![vec![0, 1]]));
        let inline = ALONE.replace("name = 'paw'", "images = 'photos'\n[scheme]\nname = 'paw'");
        assert_eq!(of(&inline.replace("[[edges]]", "[[scheme.edges]]")).unwrap(), alone);
        assert_eq!(of("points = 'a.csv'\nscheme = 'paw.toml'\n").unwrap(), alone);
        assert_eq!(of("scheme = 'cofw29'\n").unwrap().keypoints, 29);
    }

    #[test]
    fn edges_in_the_spelling_of_the_other_file_are_told_the_right_one() {
        let message = of(&ALONE.replace("[[edges]]", "[[scheme.edges]]")).unwrap_err().to_string();
        assert!(message.contains("data.toml") && message.contains("as [[edges]]"), "{message}");
        let data =
            "[scheme]\nname = 'paw'\nkeypoints = 2\n[[edges]]\nname = 'a'\nclosed = false\npoints = [0]\n";
        let message = of(data).unwrap_err().to_string();
        assert!(message.contains("data.toml") && message.contains("as [[scheme.edges]]"), "{message}");
        // A file of data that names a file of data, be it itself, is no endless reading.
        let message = of("scheme = 'data.toml'\n").unwrap_err().to_string();
        assert!(message.contains("unknown field `scheme`"), "{message}");
    }
}
