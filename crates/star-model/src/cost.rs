//! What a network costs: parameters and multiply-accumulates, part by part, counted on its graph.

use candle_core::Result;

use crate::checkpoint::Architecture;
use crate::init::is_statistic;

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
        let graph = self.graph()?;
        let empty = |name: &String| StageCost { name: name.clone(), parameters: 0, macs: 0 };
        let mut stages: Vec<StageCost> = graph.sections.iter().map(empty).collect();
        for node in &graph.nodes {
            let stage = &mut stages[node.section];
            for (name, shape) in graph.tensors_of(node) {
                if !is_statistic(&name) {
                    stage.parameters += shape.iter().product::<usize>();
                }
            }
            stage.macs += graph.macs(node);
        }
        Ok(stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HrNetConfig, LightPyramidConfig, StackedHourglassConfig};

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
            ("standard", Architecture::LightPyramid(LightPyramidConfig::standard(98))),
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
}
