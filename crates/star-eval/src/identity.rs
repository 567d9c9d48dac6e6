//! By what figures were made, when, and with which program.

use serde::{Deserialize, Serialize};

/// Letters of a hash that tell it from any other a reader is likely to have.
const BRIEF: usize = 12;

/// What a reader needs to know that figures are those they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The weights that predicted; `None` where predictions came as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsIdentity>,
    /// The file of predictions, where they came as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<String>,
    /// The day in UTC, such as `2026-01-31`.
    pub date: String,
    /// The program and its version, such as `star 0.1.0`.
    pub version: String,
}

/// Which weights predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsIdentity {
    /// Path, name or address, as it was given.
    pub path: String,
    /// The network in words.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: usize,
    /// SHA-256 of the weights file, in hexadecimal.
    pub sha256: String,
}

impl Identity {
    /// What predicted, by the name it was given by.
    pub fn predictor(&self) -> Option<&str> {
        self.weights.as_ref().map(|weights| weights.path.as_str()).or(self.predictions.as_deref())
    }

    /// Names and what is behind them, for a person: `weights`, `made`. Of the hash its first letters where `brief`.
    pub(crate) fn facts(&self, brief: bool) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        if let Some(weights) = &self.weights {
            let hash = weights.sha256.get(..BRIEF).filter(|_| brief);
            let hash = hash.map_or_else(|| weights.sha256.clone(), |start| format!("{start}\u{2026}"));
            facts.push((
                "weights",
                format!(
                    "{}: {}, {} parameters, SHA-256 {hash}",
                    weights.path,
                    weights.architecture,
                    thousands(weights.parameters)
                ),
            ));
        }
        if let Some(file) = &self.predictions {
            facts.push(("predictions", file.clone()));
        }
        facts.push(("made", format!("{} by {}", self.date, self.version)));
        facts
    }
}

/// A number with a comma between every three digits.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_named_with_what_they_are() {
        let weights = WeightsIdentity {
            path: "runs/a".into(),
            architecture: "a network".into(),
            parameters: 1_234_567,
            sha256: "ab12".repeat(16),
        };
        let identity = Identity {
            weights: Some(weights),
            predictions: None,
            date: "2026-01-31".into(),
            version: "star 1".into(),
        };
        assert_eq!(identity.predictor(), Some("runs/a"));
        let facts = identity.facts(false);
        assert_eq!(
            facts[0].1,
            format!("runs/a: a network, 1,234,567 parameters, SHA-256 {}", "ab12".repeat(16))
        );
        assert!(identity.facts(true)[0].1.ends_with("SHA-256 ab12ab12ab12\u{2026}"));
        assert_eq!(facts[1], ("made", "2026-01-31 by star 1".to_owned()));
        assert_eq!([0, 999, 1000].map(thousands), ["0", "999", "1,000"]);
    }
}
