//! By what figures are made and when, as reports and JSON name it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use star_eval::{Identity, WeightsIdentity};
use star_model::checkpoint::Folder;
use star_predict::weights::{self, BUILTIN, BUILTIN_WEIGHTS, WRITTEN_BY};

use crate::progress::FetchBar;

/// Of what the weights `name`, opened as `folder`, predict today.
///
/// # Errors
/// When the weights file cannot be read.
pub(crate) fn of_weights(name: &Path, folder: &Folder) -> Result<Identity> {
    let architecture = &folder.config.architecture;
    let parameters = architecture.costs()?.iter().map(|stage| stage.parameters).sum();
    let mut digest = Sha256::new();
    if name == Path::new(BUILTIN) && !name.exists() {
        digest.update(BUILTIN_WEIGHTS);
    } else {
        let path = weights::source_file(name, &mut FetchBar::default())?;
        let read = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut digest));
        read.with_context(|| path.display().to_string())?;
    }
    let weights = WeightsIdentity {
        path: name.display().to_string(),
        architecture: architecture.to_string(),
        parameters,
        sha256: digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    Ok(Identity { weights: Some(weights), ..today() })
}

/// Of predictions that came as a file.
pub(crate) fn of_predictions(path: &Path) -> Identity {
    Identity { predictions: Some(path.display().to_string()), ..today() }
}

fn today() -> Identity {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Identity { date: date(seconds / 86_400), version: WRITTEN_BY.to_string(), ..Identity::default() }
}

/// The date of a day, counted from the first of January 1970, in the Gregorian calendar.
fn date(days: u64) -> String {
    // Years begin in March, so that a leap day is the last of its year; 719,468 days lie between the first of March of year 0 and 1970.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", 400 * era + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date -u -d @SECONDS +%F` of 0, 951782400, 951868800, 1709164800, 1798675200 and 4107542400 seconds.
        let days = [0, 11_016, 11_017, 19_782, 20_818, 47_541];
        let expected = ["1970-01-01", "2000-02-29", "2000-03-01", "2024-02-29", "2026-12-31", "2100-03-01"];
        assert_eq!(days.map(date), expected);
    }
}
