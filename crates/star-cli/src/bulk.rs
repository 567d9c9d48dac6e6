//! `star predict --input`: faces of millions of images, packed in shards, as Parquet files.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use star_predict::bulk::{BoxSource, Bulk, BulkConfig, BulkProgress, Network, Part};
use star_predict::failure;

use crate::args::PredictArgs;
use crate::{progress, weights};

/// Runs `star predict --input`: exit code 1 where a shard could not be read to its end. Images that cannot be used are rows with an
/// error.
///
/// # Errors
/// When weights, input or output cannot be used.
pub(crate) fn run(args: &PredictArgs) -> Result<ExitCode> {
    let config = config(args)?;
    let bulk = Bulk::open(&config)?;
    let (folder, scheme) = weights::open(&args.predictor.weights)?;
    let start = Instant::now();
    let mut shards = ShardBar { part: config.part, bar: None };
    let confidence = weights::confidence(&args.predictor.weights, &scheme)?;
    let network = Network { folder: &folder, scheme: &scheme, confidence: confidence.as_ref() };
    let summary = bulk.run(&network, &mut shards)?;
    if let Some(bar) = shards.bar {
        bar.finish_and_clear();
    }
    let (seconds, counts) = (start.elapsed().as_secs_f64(), summary.counts);
    say!(
        "{} images, {} faces, {} images that could not be used, in {seconds:.1} s: {:.1} images a second; \
         {} shards were done before",
        counts.images,
        counts.faces,
        counts.unusable,
        counts.images as f64 / seconds.max(f64::MIN_POSITIVE),
        summary.done_before
    );
    if summary.unreadable > 0 {
        say!("{} shards could not be read; their files are not there", summary.unreadable);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn config(args: &PredictArgs) -> Result<BulkConfig> {
    let (Some(input), Some(output)) = (&args.bulk.input, &args.bulk.output) else {
        bail!("--input and --output go together")
    };
    Ok(BulkConfig {
        part: args.bulk.shard,
        boxes: if args.bulk.detect { BoxSource::Detector } else { BoxSource::Input },
        image_column: args.bulk.image_column.clone(),
        min_score: args.predictor.min_score,
        batch_size: args.predictor.weights.batch_size,
        device: args.predictor.weights.device,
        ..BulkConfig::new(input, output)
    })
}

/// A bar over the shards of this part.
struct ShardBar {
    part: Part,
    bar: Option<ProgressBar>,
}

impl BulkProgress for ShardBar {
    fn begin(&mut self, own: usize, all: usize) {
        say!("part {}: {own} of {all} shards", self.part);
        self.bar = Some(progress::bar(own, "shards"));
    }

    fn images(&mut self, shard: &str, images: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{shard}: {images} images"));
        }
    }

    fn unreadable(&mut self, error: &anyhow::Error) {
        if let Some(bar) = &self.bar {
            bar.suspend(|| say!("error: {}", failure::describe(error)));
        }
    }

    fn shard_over(&mut self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }
}
