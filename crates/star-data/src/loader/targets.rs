//! The target maps of a batch, drawn straight into its memory: nearly all of them is 0, and zeros that nobody wrote cost no traffic.

use super::LoaderConfig;
use super::item::Item;
use crate::Scheme;
use crate::target::{edgemap, pointmap};

/// Point maps `[B, K, M, M]`.
pub(super) fn pointmaps(items: &[Item], config: &LoaderConfig, scheme: &Scheme) -> Vec<f32> {
    let (size, m) = (config.image_size, config.map_size);
    let mut maps = vec![0f32; items.len() * scheme.keypoints * m * m];
    let points = items.iter().flat_map(|item| &item.pixels);
    for (map, &point) in maps.chunks_exact_mut(m * m).zip(points) {
        pointmap(point, size, map, m);
    }
    maps
}

/// Edge maps `[B, E, M, M]`.
pub(super) fn edgemaps(items: &[Item], config: &LoaderConfig, scheme: &Scheme) -> Vec<f32> {
    let (size, m) = (config.image_size, config.map_size);
    let mut maps = vec![0f32; items.len() * scheme.edges.len() * m * m];
    let edges = items.iter().flat_map(|item| scheme.edges.iter().map(move |edge| (item, edge)));
    for (map, (item, edge)) in maps.chunks_exact_mut(m * m).zip(edges) {
        let along: Vec<[f32; 2]> = edge.points.iter().map(|&k| item.pixels[k]).collect();
        edgemap(&along, edge.ends(), size, map, m);
    }
    maps
}
