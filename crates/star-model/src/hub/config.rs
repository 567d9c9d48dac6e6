//! Where the Hub and its cache are, read from the environment.

use std::path::PathBuf;
use std::time::Duration;

use candle_core::{Result, bail};

/// The Hub's address where `HF_ENDPOINT` is not set.
pub(super) const ENDPOINT: &str = "https://huggingface.co";

/// Times that a download is taken up again after a failure that may pass.
const RETRIES: usize = 4;

/// Wait before the first of them; each further wait is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// How the Hub is reached and where its files are kept.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Address of the server, `HF_ENDPOINT`.
    pub endpoint: String,
    /// Folder of the token and, beside it, of everything that is kept: `HF_HOME`.
    pub home: PathBuf,
    /// Folder of the files, `HF_HUB_CACHE` or `hub` inside `home`.
    pub cache: PathBuf,
    /// What private and gated repositories ask for: `HF_TOKEN`, or the file `token` inside `home`.
    pub token: Option<String>,
    /// Never reach for the network: `HF_HUB_OFFLINE`.
    pub offline: bool,
    /// Times that a download is taken up again.
    pub retries: usize,
    /// Wait before the first of them.
    pub pause: Duration,
}

impl HubConfig {
    /// The configuration that the environment describes, as the Hub's own tools read it.
    ///
    /// # Errors
    /// When nothing names a folder to keep files in.
    pub fn from_env() -> Result<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let below = |folder: PathBuf| folder.join("huggingface");
        let home = set("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| below(folder.into())))
            .or_else(|| std::env::home_dir().map(|home| below(home.join(".cache"))));
        let Some(home) = home else { bail!("no folder to keep downloads in: set HF_HOME to one") };
        let token = set("HF_TOKEN").or_else(|| std::fs::read_to_string(home.join("token")).ok());
        let is_yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        Ok(Self {
            endpoint: set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string()),
            cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: token.map(|token| token.trim().to_string()).filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(is_yes),
            home,
            retries: RETRIES,
            pause: PAUSE,
        })
    }
}
