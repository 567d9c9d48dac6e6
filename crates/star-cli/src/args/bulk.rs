//! `star predict --input`.

use clap::Args;
use star_predict::bulk::Part;

/// Arguments of `star predict` for many images packed together.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// Instead of images: a tar shard or Parquet file, a folder of them, or a URL (file://, with the feature `object-store` also
    /// s3://, gs://, az://, https://)
    #[arg(long, value_name = "PATH|URL", requires = "output", conflicts_with_all = ["images", "boxes", "out", "ellipses", "axes", "confidence", "json", "csv", "crops", "target", "smooth", "turned", "map", "recursive", "precision"])]
    pub input: Option<String>,
    /// Folder, or URL, for a Parquet file of faces a shard of the input; shards that have one are skipped
    #[arg(long, value_name = "DIR|URL", requires = "input")]
    pub output: Option<String>,
    /// Do the I-th of N parts of the shards, I from 0: for a job array
    #[arg(long, value_name = "I/N", requires = "input", default_value_t)]
    pub shard: Part,
    /// Look for faces even where the input has their boxes
    #[arg(long, requires = "input")]
    pub detect: bool,
    /// Of Parquet files, the column with the images: bytes, paths, or a struct of both [default: the first known name]
    #[arg(long, value_name = "NAME", requires = "input")]
    pub image_column: Option<String>,
}
