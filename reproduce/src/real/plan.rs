//! What a run on published data sets does, and what each training of it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_data::formats::{Compat, Format, Split};
use star_predict::device::DeviceName;
use star_train::config::{FilesSection, SourceSection, TrainConfig};

use super::sets::{Located, RealSet};
use crate::args::{Args, Origin, Profile};
use crate::variant::Variant;
use crate::variant::tables::{self, Ablation};

/// Faces of a step, and of the batch norms' statistics, which the reference sums over its four cards.
const BATCH: usize = 128;
/// Width of the HRNet of the ablation: that of the published landmark checkpoints.
const HRNET_WIDTH: usize = 18;

/// Everything that a folder's results belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RealPlan {
    pub(crate) profile: Profile,
    pub(crate) from: Origin,
    pub(crate) data: Option<PathBuf>,
    /// Weights instead of the published ones, by set; the key is empty where one name stands for the only set.
    pub(crate) weights: Vec<(String, String)>,
    pub(crate) seeds: u64,
    pub(crate) compat: Compat,
    pub(crate) device: DeviceName,
    pub(crate) ablations: bool,
    /// Settings that replace those of every training.
    pub(crate) overrides: Option<toml::Table>,
}

impl RealPlan {
    /// What the options ask for.
    ///
    /// # Errors
    /// When the file of overrides cannot be read, or `--weights` names no set of the profile.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let sets = RealSet::of(args.profile);
        let mut weights = Vec::new();
        for text in &args.weights {
            match text.split_once('=') {
                Some((key, name)) if sets.iter().any(|set| set.key == key) => {
                    weights.push((key.to_string(), name.to_string()));
                }
                None if sets.len() == 1 => weights.push((sets[0].key.to_string(), text.clone())),
                _ => {
                    let keys: Vec<&str> = sets.iter().map(|set| set.key).collect();
                    bail!("--weights: expected SET=WEIGHTS with SET one of {}, got `{text}`", keys.join(", "))
                }
            }
        }
        let overrides = match &args.overrides {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                Some(text.parse::<toml::Table>().with_context(|| path.display().to_string())?)
            }
            None => None,
        };
        if let Some(loss) = overrides.as_ref().and_then(|table| table.get("loss")?.as_table())
            && let Some(name) = ["kind", "distance"].into_iter().find(|name| loss.contains_key(*name))
        {
            bail!(
                "--override: loss.{name} is what a training is named by, and stays; --ablations trains the other losses, `star train` \
                 any of them"
            )
        }
        Ok(Self {
            profile: args.profile,
            from: args.origin(),
            data: args.data.clone(),
            weights,
            seeds: args.seeds.unwrap_or(1),
            compat: args.compat.compat(),
            device: args.device,
            ablations: args.ablations,
            overrides,
        })
    }

    /// Whether this differs from `other` by its number of seeds alone.
    pub(crate) fn is_but_for_seeds(&self, other: &Self) -> bool {
        Self { seeds: other.seeds, ..self.clone() } == *other
    }

    /// Weights for a set: those given, else those published.
    pub(crate) fn weights(&self, set: &RealSet) -> Option<String> {
        let given = self.weights.iter().find(|(key, _)| key == set.key).map(|(_, name)| name.clone());
        given.or_else(|| set.weights.map(str::to_string))
    }

    /// Tables of ablations; none unless asked for.
    pub(crate) fn ablations(&self) -> Vec<Ablation> {
        if !self.ablations {
            return Vec::new();
        }
        vec![
            tables::distances(),
            tables::restrictions(),
            tables::attention(),
            tables::backbones(HRNET_WIDTH),
            tables::stacks(&[1, 2]),
        ]
    }

    /// Every training of a set once, the paper's first.
    pub(crate) fn variants(&self) -> Vec<Variant> {
        let mut variants = vec![Variant::star()];
        for variant in self.ablations().into_iter().flat_map(|table| table.variants) {
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        variants
    }

    /// Names of all trainings of a set.
    pub(crate) fn trainings(&self, set: &RealSet) -> Vec<String> {
        let variants = self.variants();
        variants.iter().flat_map(|v| (0..self.seeds).map(|seed| Self::slug(set, v, seed))).collect()
    }

    /// Name of a training's folder and of its scores.
    pub(crate) fn slug(set: &RealSet, variant: &Variant, seed: u64) -> String {
        format!("{}-{}-{seed}", set.key, variant.slug)
    }

    /// A training: the recipe of the published models, then what the person overrides, then the variant.
    ///
    /// # Errors
    /// When an override is no setting of a training.
    pub(crate) fn config(
        &self,
        set: &RealSet,
        found: &Located,
        variant: &Variant,
        seed: u64,
    ) -> Result<TrainConfig> {
        let section = |split: Split| -> Result<SourceSection> {
            let dir = std::path::absolute(&found.dir)?;
            let tsv = found.format() == Format::Tsv;
            let files = FilesSection {
                annotations: if tsv { dir.join(format!("{split}.tsv")) } else { dir },
                split: (!tsv).then(|| split.to_string()),
                compat: self.compat,
                ..Default::default()
            };
            Ok(SourceSection::Files(found.format(), files))
        };
        let mut config: TrainConfig = toml::from_str(&TrainConfig::example()?)?;
        config.scheme = set.scheme.to_string();
        config.seed = seed;
        (config.batch_size, config.accumulate) = (BATCH, 1);
        config.device = self.device;
        config.data.train = section(Split::Train)?;
        // The reference chooses the best epoch on the test set; the honest default holds out training faces.
        config.data.validation =
            if self.compat == Compat::Reference { Some(section(Split::Test)?) } else { None };
        if let Some(overrides) = &self.overrides {
            let mut table = toml::Table::try_from(&config)?;
            merge(&mut table, overrides);
            config = table.try_into().context("--override: not a setting of a training file")?;
        }
        // After them: what a training is about stays what it is about.
        variant.apply(&mut config);
        config.validate().context("--override")?;
        Ok(config)
    }

    /// Where a missing folder was looked for.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

/// Replaces settings by those of the same name; tables are gone into.
fn merge(table: &mut toml::Table, overrides: &toml::Table) {
    for (name, value) in overrides {
        match (table.get_mut(name), value) {
            // A decay of another kind has other fields: it is replaced whole.
            (Some(toml::Value::Table(inner)), toml::Value::Table(new)) if !new.contains_key("kind") => {
                merge(inner, new);
            }
            _ => {
                table.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_go_into_tables_and_leave_the_rest() {
        let mut table: toml::Table = "a = 1\n[b]\nc = 2\nd = 3\n[e]\nkind = 'x'\nf = 1".parse().unwrap();
        let new: toml::Table = "[b]\nc = 5\n[e]\nkind = 'y'".parse().unwrap();
        merge(&mut table, &new);
        let wanted: toml::Table = "a = 1\n[b]\nc = 5\nd = 3\n[e]\nkind = 'y'".parse().unwrap();
        assert_eq!(table, wanted);
    }

    #[test]
    fn seeds_alone_may_differ_between_runs_in_one_folder() {
        let plan = |seeds: u64, device: &str| -> RealPlan {
            let text = format!(
                r#"{{"profile": "cofw", "from": "scratch", "data": "d", "weights": [], "seeds": {seeds}, "compat": "none",
                "device": "{device}", "ablations": false, "overrides": null}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        assert!(
            plan(3, "cpu").is_but_for_seeds(&plan(1, "cpu"))
                && plan(1, "cpu").is_but_for_seeds(&plan(3, "cpu"))
        );
        assert!(!plan(3, "cuda").is_but_for_seeds(&plan(3, "cpu")));
    }
}
