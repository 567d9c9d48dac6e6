//! `star data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{OWN_DATA, PackArgs, SourceArgs};

/// The subcommands of `star data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read a whole data set and report what is wrong with it: rows, images, points, counts
    #[command(after_long_help = OWN_DATA)]
    Check(CheckArgs),
    /// Write a data set down in another format
    Convert(ConvertDataArgs),
    /// Pack a data set into shards that stream from a disk or from object storage: for sets too big for a folder
    Pack(PackArgs),
    /// Draw faces with points, edges and boxes onto contact sheets
    View(ViewArgs),
}

/// A data set, or a part of it, with the scheme its points follow.
#[derive(Debug, Args)]
pub struct FacesArgs {
    /// The data set.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Subset of the split, such as blur, common, category1; for other formats a tag that faces must have
    #[arg(long, value_name = "NAME")]
    pub subset: Option<String>,
    /// Keypoint scheme by name, or a TOML file with one or of own data [default: the format's; needed for tsv, pts, hrnet, imglab and ljson]
    #[arg(long)]
    pub scheme: Option<String>,
}

/// Arguments of `star data check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The faces.
    #[command(flatten)]
    pub faces: FacesArgs,
}

/// What a data set is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Rows as the method's reference reads them
    Tsv,
    /// COCO keypoints, JSON
    Coco,
    /// A TOML file with the scheme, and a CSV file
    Own,
}

/// Arguments of `star data convert`.
#[derive(Debug, Args)]
pub struct ConvertDataArgs {
    /// The faces.
    #[command(flatten)]
    pub faces: FacesArgs,
    /// Format to write
    #[arg(long, value_enum, default_value_t = Target::Tsv)]
    pub to: Target,
    /// File to write; for own the TOML file, the CSV file goes beside it
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Folder to copy the images into, from which paths then start [default: only where they have no files of their own, into
    /// `images` beside the output]
    #[arg(long, value_name = "DIR")]
    pub copy_images: Option<PathBuf>,
    /// Begin a TSV file with the names of its columns; published files do not
    #[arg(long)]
    pub header: bool,
}

/// Arguments of `star data view`.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// The faces.
    #[command(flatten)]
    pub faces: FacesArgs,
    /// PNG file to write; with --all the page's number goes before its ending
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Page to write, counted from 1
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "all")]
    pub page: usize,
    /// Write every page
    #[arg(long)]
    pub all: bool,
    /// Faces in a row
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=40))]
    pub columns: u32,
    /// Rows of a page
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=40))]
    pub rows: u32,
    /// Side of a face's tile in pixels
    #[arg(long, default_value_t = 240, value_name = "N", value_parser = clap::value_parser!(u32).range(48..=1024))]
    pub tile: u32,
    /// Side of what a tile shows, in sides of the face's box
    #[arg(long, default_value_t = 1.5, value_name = "X", conflicts_with = "whole")]
    pub margin: f32,
    /// Show whole images instead of faces
    #[arg(long)]
    pub whole: bool,
}
