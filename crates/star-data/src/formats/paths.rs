//! Paths of images as annotation tools write them: with the beginning of another machine's path, as bare names, or escaped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::place::{inside, quoted};

/// What becomes of a written path before it is looked for below the image folder.
#[derive(Debug, Default)]
pub(super) struct Paths {
    prefix: Option<String>,
    basename: bool,
    /// The written path that each name was made of, where names alone count.
    taken: RefCell<HashMap<PathBuf, String>>,
}

impl Paths {
    pub(super) fn new(strip_prefix: Option<&str>, basename: bool) -> Self {
        Self { prefix: strip_prefix.map(slashed), basename, taken: RefCell::default() }
    }

    /// The path below the image folder; or what was expected and what is there, where it leads elsewhere or two files become one.
    pub(super) fn find(&self, written: &str) -> Result<PathBuf, (String, String)> {
        let path = slashed(written);
        let path = match self.prefix.as_deref().and_then(|prefix| path.strip_prefix(prefix)) {
            Some(rest) => rest.trim_start_matches('/'),
            None => &path,
        };
        let path = if self.basename { path.rsplit('/').next().unwrap_or(path) } else { path };
        let expected = "a path below the image folder (`strip_prefix` and `basename` cut others)";
        let found = inside(path).ok_or_else(|| (expected.to_string(), quoted(written)))?;
        if self.basename {
            let mut taken = self.taken.borrow_mut();
            let first = taken.entry(found.clone()).or_insert_with(|| written.to_string());
            if first != written {
                let expected = format!("each name once under `basename`, which {} has", quoted(first));
                return Err((expected, quoted(written)));
            }
        }
        Ok(found)
    }
}

fn slashed(path: &str) -> String {
    path.replace('\\', "/")
}

/// The image below `folder` that a path with escapes such as `%20` means, where there is none of the path as written.
pub(super) fn unescaped(folder: &Path, image: &Path) -> Option<PathBuf> {
    let written = image.to_str().filter(|text| text.contains('%'))?;
    let plain = inside(&decoded(written)?)?;
    (!folder.join(image).exists() && folder.join(&plain).is_file()).then_some(plain)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        let escaped = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_cut_in_both_kinds_of_separators_and_others_left() {
        for (prefix, written, found) in [
            ("/datasets/df", "/datasets/df/a/b.png", "a/b.png"),
            ("/datasets/df/", "/datasets/df/a/b.png", "a/b.png"),
            ("C:\\data\\me", "C:\\data\\me\\a\\b.png", "a/b.png"),
            ("C:/data/me/", "C:\\data\\me\\a\\b.png", "a/b.png"),
            ("C:\\data\\me\\", "C:/data/me/a/b.png", "a/b.png"),
            ("/data/local-files/?d=", "/data/local-files/?d=a/b.png", "a/b.png"),
            ("images/", "a/b.png", "a/b.png"),
        ] {
            assert_eq!(Paths::new(Some(prefix), false).find(written), Ok(found.into()), "{prefix} {written}");
        }
    }

    #[test]
    fn what_still_leads_elsewhere_is_refused_with_both_options_named() {
        for (prefix, written) in
            [("/a", "/b/c.png"), ("/a", "/a/../../c.png"), ("/a/b.png", "/a/b.png"), ("D:", "C:\\b.png")]
        {
            let (expected, got) = Paths::new(Some(prefix), false).find(written).unwrap_err();
            assert!(expected.contains("strip_prefix") && expected.contains("basename"), "{expected}");
            assert_eq!(got, format!("`{written}`"));
        }
    }

    #[test]
    fn two_files_of_one_name_are_not_taken_for_one() {
        let paths = Paths::new(None, true);
        assert_eq!(paths.find("C:\\x\\a.png"), Ok("a.png".into()));
        assert_eq!(paths.find("C:\\x\\a.png"), Ok("a.png".into()));
        assert_eq!(paths.find("/y/b.png"), Ok("b.png".into()));
        let (expected, got) = paths.find("/y/a.png").unwrap_err();
        assert!(expected.contains("each name once") && expected.contains("`C:\\x\\a.png`"), "{expected}");
        assert_eq!(got, "`/y/a.png`");
    }

    #[test]
    fn escapes_are_undone_only_where_that_finds_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |image: &str| unescaped(dir.path(), Path::new(image));
        std::fs::create_dir(dir.path().join("sub dir")).unwrap();
        for name in ["sub dir/\u{e9}.png", "50%25.png", "plain.png"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(at("sub%20dir/%C3%A9.png"), Some("sub dir/\u{e9}.png".into()));
        for kept in ["50%25.png", "plain.png", "none%20.png", "%2e%2e/plain.png", "%ff.png", "a%2", "%"] {
            assert_eq!(at(kept), None, "{kept}");
        }
    }
}
