//! Addresses of files on the Hugging Face Hub: `hf:owner/repo[@revision]/file`.

use std::fmt;
use std::str::FromStr;

use candle_core::{Error, Result, bail};

/// How an address begins.
pub const SCHEME: &str = "hf:";

/// Revision meant where none is named.
const MAIN: &str = "main";

/// One file of one repository, at a revision.
///
/// ```
/// use star_model::hub::Address;
///
/// let address: Address = "hf:owner/repo@v1/nets/a.pkl".parse()?;
/// assert_eq!((address.repo.as_str(), address.revision.as_str(), address.file.as_str()), ("owner/repo", "v1", "nets/a.pkl"));
/// assert_eq!("hf:owner/repo/a.pkl".parse::<Address>()?.revision, "main");
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// Path inside the repository.
    pub file: String,
}

impl Address {
    /// Whether `text` is meant as an address.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Whether the revision is a commit, so that the file behind it never changes.
    pub fn is_pinned(&self) -> bool {
        self.revision.len() == 40 && self.revision.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@{}/{}", self.repo, self.revision, self.file)
    }
}

/// Names become paths in a cache, so nothing that could leave it is let in.
fn harmless(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+ ".contains(&b);
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::msg(format!(
                "`{text}`: {what}; expected hf:owner/repo[@revision]/file, such as hf:me/nets/wflw.pkl"
            ))
        };
        let Some(rest) = text.strip_prefix(SCHEME) else { return Err(wrong("not an address on the Hub")) };
        let mut parts = rest.trim_start_matches("//").splitn(3, '/');
        let (Some(owner), Some(repo), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("no file is named"));
        };
        let (name, revision) = repo.split_once('@').unwrap_or((repo, MAIN));
        for (part, what) in [(owner, "the owner"), (name, "the repository"), (revision, "the revision")] {
            if !harmless(part) {
                return Err(wrong(&format!("{what} `{part}` is no name")));
            }
        }
        if !file.split('/').all(harmless) {
            return Err(wrong(&format!("the file `{file}` is no path inside a repository")));
        }
        Ok(Self { repo: format!("{owner}/{name}"), revision: revision.to_string(), file: file.to_string() })
    }
}

/// Refuses a server's name of a file or commit that is no plain name.
///
/// # Errors
/// Quotes the name.
pub(super) fn plain_name(what: &str, name: &str) -> Result<()> {
    if name.contains('/') || !harmless(name) {
        bail!("the server answers with the {what} `{name}`, which is no name; is the endpoint a Hub?")
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["hf:o/r@main/f", "hf:o/r@0123/a/b c.pkl"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let pinned = format!("hf:o/r@{}/f", "a1".repeat(20));
        assert!(pinned.parse::<Address>().unwrap().is_pinned());
        assert_eq!("hf://o/r/f".parse::<Address>().unwrap(), "hf:o/r/f".parse().unwrap());
    }

    #[test]
    fn addresses_that_would_leave_the_cache_or_name_nothing_are_refused() {
        for (text, part) in [
            ("hf:o/r", "no file"),
            ("hf:o//f", "repository"),
            ("hf:o/r@/f", "revision"),
            ("hf:o/r@../f", "revision"),
            ("hf:../r/f", "owner"),
            ("hf:o/r/../../f", "no path"),
            ("hf:o/r/a//f", "no path"),
            ("hf:o/r/a\\..\\f", "no path"),
            ("o/r/f", "not an address"),
        ] {
            let message = text.parse::<Address>().unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("hf:owner/repo"), "{text}: {message}");
        }
    }
}
