//! The tables of trainings, and the variants that stand in them.

use serde::{Deserialize, Serialize};
use star_train::config::{DistanceName, LossKind};

use super::{Change, Variant};

/// Trainings that are put into one table; the first is what the others are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ablation {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) variants: Vec<Variant>,
}

fn ablation(id: &str, title: &str, variants: Vec<Variant>) -> Ablation {
    Ablation { id: id.to_string(), title: title.to_string(), variants }
}

/// Every distance under every loss.
pub(crate) fn distances() -> Ablation {
    let kinds = [
        (LossKind::Plain, "plain", "plain"),
        (LossKind::StarPerAxis, "star", "STAR per axis"),
        (LossKind::StarWhitened, "whitened", "STAR whitened"),
        (LossKind::Adl, "adl", "ADL"),
    ];
    let distances = [
        (DistanceName::SmoothL1, "smooth-L1"),
        (DistanceName::L1, "L1"),
        (DistanceName::L2, "L2"),
        (DistanceName::Wing, "Wing"),
    ];
    let mut variants = Vec::new();
    for (distance, distance_name) in distances {
        for (kind, slug, name) in kinds {
            // Those that are trained elsewhere too have one name, so that they are not trained twice.
            variants.push(match (kind, distance) {
                (LossKind::Plain, DistanceName::SmoothL1) => Variant::plain(),
                (LossKind::StarPerAxis, DistanceName::SmoothL1) => Variant::star(),
                _ => Variant::new(
                    format!("{slug}-{}", distance_name.to_lowercase()),
                    format!("{name}, {distance_name}"),
                    vec![Change::Loss(kind.into(), distance)],
                ),
            });
        }
    }
    ablation("distances", "Distance and loss", variants)
}

/// Every restriction of the eigenvalues, the value restriction at several weights.
pub(crate) fn restrictions() -> Ablation {
    let mut variants =
        vec![Variant::star(), Variant::plain(), Variant::no_restriction(), Variant::detached()];
    variants.extend([0.1, 0.3, 3.0, 10.0].map(Variant::restricted));
    ablation("restrictions", "Restriction of the eigenvalues (STAR as published: value, weight 1)", variants)
}

/// Both losses with a change each.
fn both(id: &str, title: &str, changes: Vec<(&str, &str, Change)>) -> Ablation {
    let mut variants = vec![Variant::plain(), Variant::star()];
    for (slug, name, change) in changes {
        variants
            .extend([Variant::plain(), Variant::star()].map(|base| base.with(slug, name, change.clone())));
    }
    ablation(id, title, variants)
}

/// Without the attention branch and its auxiliary maps.
pub(crate) fn attention() -> Ablation {
    both(
        "attention",
        "Attention branch",
        vec![("no-attention", "without attention", Change::Attention(false))],
    )
}

/// The other backbone.
pub(crate) fn backbones(width: usize) -> Ablation {
    both("backbones", "Backbone", vec![("hrnet", "HRNet", Change::HrNet(width))])
}

/// Numbers of stacks beside the base's.
pub(crate) fn stacks(counts: &[usize]) -> Ablation {
    let names: Vec<(String, String)> =
        counts.iter().map(|n| (format!("stacks-{n}"), format!("{n} stacks"))).collect();
    let changes =
        counts.iter().zip(&names).map(|(n, (slug, name))| (slug.as_str(), name.as_str(), Change::Stacks(*n)));
    both("stacks", "Number of stacks", changes.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use star_train::config::TrainConfig;

    use super::*;

    fn all() -> Vec<Ablation> {
        vec![distances(), restrictions(), attention(), backbones(18), stacks(&[1, 2])]
    }

    #[test]
    fn one_slug_is_one_training() {
        let mut known: BTreeMap<String, Variant> = BTreeMap::new();
        for variant in all().into_iter().flat_map(|ablation| ablation.variants) {
            let earlier = known.entry(variant.slug.clone()).or_insert_with(|| variant.clone());
            assert_eq!(*earlier, variant);
        }
        assert_eq!(distances().variants.len(), 16);
    }

    #[test]
    fn every_loss_finds_the_plain_one_beside_it() {
        for (table, partners) in [(distances(), 12), (restrictions(), 7), (backbones(8), 2), (attention(), 2)]
        {
            let partner = |variant: &Variant| table.variants.iter().find(|other| variant.is_plain_of(other));
            let found = table.variants.iter().filter_map(partner);
            assert!(found.clone().all(|plain| plain.slug.starts_with("plain")));
            assert_eq!(found.count(), partners, "{}", table.id);
        }
    }

    #[test]
    fn every_variant_is_a_training_that_can_be_done() {
        let base = TrainConfig::example().unwrap();
        for variant in all().into_iter().flat_map(|ablation| ablation.variants) {
            let mut config: TrainConfig = toml::from_str(&base).unwrap();
            variant.apply(&mut config);
            config.validate().unwrap();
            let scheme = config.scheme(std::path::Path::new(".")).unwrap();
            config.model.architecture(&scheme).unwrap();
        }
    }
}
