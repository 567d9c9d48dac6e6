//! What the paper reports, from `reproduce/paper-targets.toml`.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The table; facts with their sources.
const TABLE: &str = include_str!("../paper-targets.toml");

/// Everything in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Targets {
    pub(crate) source: Vec<Source>,
    pub(crate) target: Vec<Target>,
    pub(crate) network: Vec<Network>,
    pub(crate) unknown: Vec<Unknown>,
    pub(crate) leader: Vec<Leader>,
}

/// Where figures come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) certain: bool,
}

/// A figure, by what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metric {
    Nme,
    Fr,
    Auc,
}

/// A cell that ours is held against.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) set: String,
    pub(crate) subset: String,
    pub(crate) normalizer: String,
    pub(crate) metric: Metric,
    /// Of failure rate and area, a fraction.
    #[serde(default)]
    pub(crate) threshold: Option<f64>,
    /// In per cent; areas as they are.
    pub(crate) value: f64,
    pub(crate) tolerance: f64,
    pub(crate) source: String,
    /// What a later independent re-run found.
    #[serde(default)]
    pub(crate) rerun: Option<f64>,
    /// Holds for the published weights under the reference's reading only.
    #[serde(default)]
    pub(crate) published_weights: bool,
    /// Faces that were scored, where that differs from the published number.
    #[serde(default)]
    pub(crate) faces: Option<usize>,
    /// Training that it is about; by default the paper's.
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

/// Size of the network for a set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) set: String,
    pub(crate) keypoints: usize,
    /// Millions.
    pub(crate) parameters: f64,
    /// 10^9 multiply-accumulates of convolutions.
    pub(crate) gmac: f64,
}

/// What has no known value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unknown {
    pub(crate) set: String,
    pub(crate) what: String,
}

/// What a method reached; missing figures are not known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leader {
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) backbone: Option<String>,
    #[serde(default)]
    pub(crate) parameters: Option<f64>,
    /// NME, FR@0.10, AUC@0.10, as many as are known.
    #[serde(default)]
    pub(crate) wflw: Vec<f64>,
    #[serde(default)]
    pub(crate) cofw: Option<f64>,
    /// Full, common, challenging.
    #[serde(default)]
    pub(crate) face300w: Vec<f64>,
    /// WFLW: pose, expression, illumination, make-up, occlusion, blur.
    #[serde(default)]
    pub(crate) subsets: Vec<f64>,
    /// Published after the paper.
    #[serde(default)]
    pub(crate) later: bool,
}

impl Targets {
    /// Reads and checks the table.
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub(crate) fn read() -> Result<Self> {
        let targets: Self = toml::from_str(TABLE).context("reproduce/paper-targets.toml")?;
        for target in &targets.target {
            let known = targets.source.iter().any(|source| source.id == target.source);
            ensure!(known, "paper-targets.toml: no source is called `{}`", target.source);
            ensure!(
                (target.metric == Metric::Nme) == target.threshold.is_none(),
                "paper-targets.toml: {} {}: failure rates and areas have a threshold, NME has none",
                target.set,
                target.subset
            );
        }
        Ok(targets)
    }

    /// What a source is.
    pub(crate) fn source(&self, id: &str) -> String {
        match self.source.iter().find(|source| source.id == id) {
            Some(source) if source.certain => source.text.clone(),
            Some(source) => format!("{} (probable)", source.text),
            None => id.to_string(),
        }
    }
}

impl Metric {
    /// Unit and place, such as `FR@0.10 %`.
    pub(crate) fn what(self, threshold: Option<f64>) -> String {
        match self {
            Self::Nme => "NME %".to_string(),
            Self::Fr => format!("FR@{:.2} %", threshold.unwrap_or(f64::NAN)),
            Self::Auc => format!("AUC@{:.2}", threshold.unwrap_or(f64::NAN)),
        }
    }

    /// Digits that papers print.
    pub(crate) fn digits(self) -> usize {
        if self == Self::Auc { 3 } else { 2 }
    }
}

impl Target {
    /// Its unit and place, such as `FR@0.10 %`.
    pub(crate) fn what(&self) -> String {
        self.metric.what(self.threshold)
    }

    /// As many digits as its tolerance speaks of.
    pub(crate) fn digits(&self) -> usize {
        if self.published_weights { 4 } else { self.metric.digits() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_papers_headline_and_says_what_is_not_known() {
        let targets = Targets::read().unwrap();
        let find = |set: &str, subset: &str, normalizer: &str, metric: Metric| {
            let mut found = targets.target.iter().filter(|t| {
                t.set == set
                    && t.subset == subset
                    && t.normalizer == normalizer
                    && t.metric == metric
                    && !t.published_weights
                    && t.variant.is_none()
            });
            (found.next().unwrap().value, found.next().is_none())
        };
        assert_eq!(find("wflw", "full", "inter-ocular", Metric::Nme), (4.02, true));
        assert_eq!(find("300w", "challenging", "inter-ocular", Metric::Nme), (4.32, true));
        assert_eq!(find("cofw", "full", "inter-pupil", Metric::Nme), (4.62, true));
        assert_eq!(targets.leader.len(), 15 + 1 + 6);
        assert!(targets.unknown.iter().any(|u| u.set == "300vw"));
        let wide = targets.leader.iter().all(|l| l.wflw.len() <= 3 && l.face300w.len() <= 3);
        assert!(wide && targets.leader.iter().all(|l| l.subsets.is_empty() || l.subsets.len() == 6));
    }
}
