//! `star inspect`: what a folder or file of weights holds and what its network costs.

use std::path::Path;

use anyhow::{Context, Result};
use star_model::ChannelOrder;
use star_model::checkpoint::{Folder, Tensors, Which};

use crate::args::InspectArgs;
use crate::progress::FetchBar;
use crate::{output, weights};

/// Runs `star inspect`.
///
/// # Errors
/// When the weights cannot be opened.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let (folder, scheme) = weights::open_named(&args.weights, &args.hints)?;
    let which = if args.hints.ema { Which::Ema } else { Which::Net };
    let (source, stored) = star_predict::weights::stored(&args.weights, which, &mut FetchBar::default())?;
    let text = report(&folder, &scheme.name, &source, &stored).context("summing up the network")?;
    output::write_text(Path::new("-"), &text)
}

fn report(folder: &Folder, scheme: &str, source: &str, stored: &Tensors) -> Result<String> {
    let config = &folder.config;
    let input = &config.input;
    let stages = config.architecture.costs()?;
    let parameters: usize = stages.iter().map(|stage| stage.parameters).sum();
    let macs: u64 = stages.iter().map(|stage| stage.macs).sum();
    let order = match input.order {
        ChannelOrder::Bgr => "BGR",
        ChannelOrder::Rgb => "RGB",
    };
    let size = input.image_size;
    let mut lines = vec![
        format!("file          {source}"),
        format!("architecture  {}", config.architecture),
        format!("scheme        {scheme}, {} keypoints", config.architecture.keypoints()),
        format!(
            "input         {order} {size}x{size}, mean {:?}, deviation {:?}, face over {} of the side",
            input.mean, input.std, input.face_scale
        ),
        format!("maps          {0}x{0}", input.map_size),
        format!("weights       {} of {}", config.provenance.which, config.provenance.source),
        format!("stored        {}", storage(stored)),
        format!("spreads       {}", calibration(folder)),
        format!("parameters    {:.2} M", parameters as f64 / 1e6),
        format!("MACs          {:.2} G an image", macs as f64 / 1e9),
        String::new(),
        format!("{:<10}{:>14}{:>16}", "stage", "parameters", "MACs"),
    ];
    lines.extend(
        stages.iter().map(|stage| format!("{:<10}{:>14}{:>16}", stage.name, stage.parameters, stage.macs)),
    );
    lines.push(format!("{:<10}{parameters:>14}{macs:>16}", "total"));
    Ok(lines.join("\n") + "\n")
}

/// How the spreads of the landmarks are calibrated.
fn calibration(folder: &Folder) -> String {
    folder.config.calibration.as_ref().map_or_else(
        || "as the heatmaps have them, not calibrated".into(),
        |calibration| format!("calibrated on {}", calibration.fitted_on),
    )
}

/// Number types of a file's tensors with how many numbers each holds, unused ones among them.
fn storage(tensors: &Tensors) -> String {
    let mut kinds: Vec<(String, usize, usize)> = Vec::new();
    for tensor in tensors.values() {
        let name = tensor.dtype().as_str();
        match kinds.iter_mut().find(|(kind, ..)| kind == name) {
            Some((_, count, numbers)) => {
                *count += 1;
                *numbers += tensor.elem_count();
            }
            None => kinds.push((name.to_string(), 1, tensor.elem_count())),
        }
    }
    kinds.sort_by_key(|&(_, _, numbers)| std::cmp::Reverse(numbers));
    let kind = |(name, count, numbers): &(String, usize, usize)| {
        format!("{name}: {count} tensors, {:.2} M numbers", *numbers as f64 / 1e6)
    };
    kinds.iter().map(kind).collect::<Vec<_>>().join("; ")
}
