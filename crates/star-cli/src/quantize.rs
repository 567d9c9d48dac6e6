//! `star quantize`: which convolutions may be products of bytes, and of which ranges, kept in the weights' folder.

use anyhow::{Context, Result};
use star_model::checkpoint::{CONFIG_FILE, WEIGHTS_FILE};
use star_predict::confidence::CONFIDENCE_FILE;
use star_predict::weights::keep_scheme;
use star_train::evaluate;

use crate::args::QuantizeArgs;
use crate::{data, output, progress, source, weights};

/// Runs `star quantize`.
///
/// # Errors
/// When weights or data cannot be read, or the result cannot be written.
pub(crate) fn run(args: &QuantizeArgs) -> Result<()> {
    let inputs = data::inputs::files(&args.source)?;
    output::claim_in(&args.out, &[WEIGHTS_FILE, CONFIG_FILE, CONFIDENCE_FILE], &inputs)?;
    let (mut folder, scheme) = weights::open(&args.weights)?;
    let confidence = weights::confidence(&args.weights, &scheme)?;
    let dataset = source::open(&args.source, &scheme)?;
    let name = format!("{} faces of {}", dataset.len(), source::name(&args.source));
    let bar = progress::spinner();
    let found =
        evaluate::quantize(&folder, &scheme, &dataset, &name, &mut |now| bar.set_message(now.to_string()))?;
    bar.finish_and_clear();
    let [before, after] = found.nme_fractions.map(|nme| 100.0 * nme);
    let told = format!(
        "{} convolutions of bytes; NME {before:.3} % before, {after:.3} % after, on {name}; landmarks move by {:.3} % of the normalizer",
        found.ranges.len(),
        100.0 * found.shift_fraction
    );
    folder.config.quantization = Some(found);
    keep_scheme(&mut folder, &scheme)?;
    folder.save(&args.out).with_context(|| format!("writing {}", args.out.display()))?;
    if let Some(model) = confidence {
        model.save(&args.out)?;
    }
    say!("{}: written; {told}", args.out.display());
    Ok(())
}
