//! What a network costs: parameters and multiply-accumulates, stage by stage, from its names and shapes alone.

use candle_core::Result;

use crate::checkpoint::Architecture;
use crate::{HrNetConfig, StackedHourglassConfig};

/// One stage of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCost {
    /// Such as `stem`, `stack 1`, `head`.
    pub name: String,
    /// Trained numbers: weights and biases, no running statistics.
    pub parameters: usize,
    /// Multiply-accumulates of its convolutions for one image.
    pub macs: u64,
}

impl Architecture {
    /// The stages in the order in which an image goes through them.
    ///
    /// # Errors
    /// When the shape is out of range.
    pub fn costs(&self) -> Result<Vec<StageCost>> {
        let mut stages: Vec<(usize, StageCost)> = Vec::new();
        for (name, shape) in self.expected()? {
            if name.ends_with("running_mean") || name.ends_with("running_var") {
                continue;
            }
            let place = match self {
                Self::StackedHourglass(config) => in_hourglass(config, &name),
                Self::SlimHourglass(config) => in_hourglass(&config.hourglass, &name),
                Self::HrNet(config) => in_hrnet(config, &name),
            };
            let elements: usize = shape.iter().product();
            let macs = if shape.len() == 4 { (elements * place.side * place.side) as u64 } else { 0 };
            match stages.iter_mut().find(|(order, _)| *order == place.order) {
                Some((_, stage)) => {
                    stage.parameters += elements;
                    stage.macs += macs;
                }
                None => {
                    stages.push((place.order, StageCost { name: place.stage, parameters: elements, macs }));
                }
            }
        }
        stages.sort_by_key(|(order, _)| *order);
        Ok(stages.into_iter().map(|(_, stage)| stage).collect())
    }
}

/// Where a tensor is at work.
struct Place {
    order: usize,
    stage: String,
    /// Side of its output in pixels.
    side: usize,
}

/// The number at `index` among the parts of a name.
fn number(parts: &[&str], index: usize) -> usize {
    parts.get(index).and_then(|part| part.parse().ok()).unwrap_or(0)
}

fn in_hourglass(config: &StackedHourglassConfig, name: &str) -> Place {
    let parts: Vec<&str> = name.split('.').collect();
    let map = config.map_size();
    if parts[0] == "pre" {
        let side = if number(&parts, 1) <= 1 { 2 * map } else { map };
        return Place { order: 0, stage: "stem".to_string(), side };
    }
    // Each `low2` is half as large as what it lies in; within a level, `low1` and `low3` are half as large as `up1`.
    let halvings = parts.iter().filter(|part| ["low1", "low2", "low3"].contains(part)).count();
    let stack = number(&parts, 1);
    Place { order: 1 + stack, stage: format!("stack {}", stack + 1), side: map >> halvings }
}

fn in_hrnet(config: &HrNetConfig, name: &str) -> Place {
    let parts: Vec<&str> = name.split('.').collect();
    let map = config.map_size();
    let place = |order: usize, stage: String, side: usize| Place { order, stage, side };
    match parts[0] {
        "conv1" | "bn1" => place(0, "stem".to_string(), 2 * map),
        "conv2" | "bn2" => place(0, "stem".to_string(), map),
        "layer1" => place(1, "stage 1".to_string(), map),
        "head" => place(5, "head".to_string(), map),
        // `transitionN.branch` leads into stage N + 1
        first if first.starts_with("transition") => {
            let stage = 1 + first.trim_start_matches("transition").parse().unwrap_or(0);
            place(stage, format!("stage {stage}"), map >> number(&parts, 1))
        }
        // `stageN.module.branches.branch` and `stageN.module.fuse_layers.to.from.step`
        first => {
            let stage = first.trim_start_matches("stage").parse().unwrap_or(0);
            let halvings = match (parts.get(2), number(&parts, 3), number(&parts, 4)) {
                (Some(&"fuse_layers"), to, from) if from < to => from + 1 + number(&parts, 5),
                (Some(&"fuse_layers"), _, from) => from,
                (_, branch, _) => branch,
            };
            place(stage, format!("stage {stage}"), map >> halvings)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published figures are cut to two decimals.
    const PUBLISHED: f64 = 0.01;

    fn total(architecture: &Architecture) -> (f64, f64) {
        let stages = architecture.costs().unwrap();
        let parameters: usize = stages.iter().map(|stage| stage.parameters).sum();
        let macs: u64 = stages.iter().map(|stage| stage.macs).sum();
        (parameters as f64 / 1e6, macs as f64 / 1e9)
    }

    #[test]
    fn the_published_hourglasses_cost_what_the_paper_says() {
        // parameters in millions and convolutions' GMAC of the reference for 98, 68 and 29 points
        for (keypoints, edges, parameters, macs) in
            [(98, 9, 13.48, 17.34), (68, 9, 13.37, 16.90), (29, 7, 13.22, 16.31)]
        {
            let config = StackedHourglassConfig::reference(keypoints, vec![vec![0]; edges]);
            let (p, m) = total(&Architecture::StackedHourglass(config));
            assert!(
                (p - parameters).abs() < PUBLISHED && (m - macs).abs() < PUBLISHED,
                "{keypoints}: {p} M, {m} GMAC"
            );
        }
    }

    #[test]
    fn hrnet_w18_costs_what_its_authors_say() {
        // their page: 9.3 M parameters for the trunk with its head, 4.3 GFLOP (multiply-adds) at 256 px
        let architecture = Architecture::HrNet(HrNetConfig::w18(98));
        let (parameters, macs) = total(&architecture);
        assert!(
            (9.2..9.8).contains(&parameters) && (4.2..4.9).contains(&macs),
            "{parameters} M, {macs} GMAC"
        );
        let names: Vec<String> = architecture.costs().unwrap().into_iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]);
    }

    #[test]
    fn the_named_networks_cost_what_the_front_page_says() {
        let edges = || vec![vec![0]; 9];
        let named = [
            ("lite", Architecture::StackedHourglass(StackedHourglassConfig::lite(98, edges()))),
            ("tiny", Architecture::StackedHourglass(StackedHourglassConfig::tiny(98, edges()))),
            ("w18", Architecture::HrNet(HrNetConfig::w18(98))),
        ];
        let page = include_str!("../README.md");
        let rows = named.map(|(name, architecture)| {
            let (parameters, macs) = total(&architecture);
            let side = architecture.input().image_size;
            format!("::{name}` | {parameters:.2} M | {macs:.2} G | {side} px |")
        });
        let absent: Vec<&String> = rows.iter().filter(|row| !page.contains(*row)).collect();
        assert!(absent.is_empty(), "not on the front page: {absent:?}");
    }

    #[test]
    fn the_place_of_a_tensor_is_read_off_its_name() {
        let config = StackedHourglassConfig::reference(98, vec![vec![0]]);
        let side = |name: &str| in_hourglass(&config, name).side;
        assert_eq!((side("pre.0.conv.weight"), side("pre.3.conv1.conv.weight")), (128, 64));
        assert_eq!((side("hgs.1.up1.conv1.conv.weight"), side("hgs.1.low3.conv1.conv.weight")), (64, 32));
        assert_eq!(
            (side("hgs.0.low2.up1.x"), side("hgs.0.low2.low1.x"), side("hgs.0.low2.low2.low2.low2.x")),
            (32, 16, 4)
        );
        let config = HrNetConfig::w18(98);
        let side = |name: &str| in_hrnet(&config, name).side;
        assert_eq!((side("conv1.weight"), side("transition2.2.0.0.weight")), (128, 16));
        assert_eq!(
            (side("stage3.1.fuse_layers.0.2.0.weight"), side("stage4.0.fuse_layers.3.1.1.0.weight")),
            (16, 8)
        );
    }
}
