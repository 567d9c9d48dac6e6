//! `star data pack`: a data set as shards that stream from a disk or from object storage.

use std::process::ExitCode;

use anyhow::Result;
use star_data::loader::Unreadable;
use star_data::region::Region;
use star_data::shards::{Encoding, PackConfig, pack};
use star_predict::weights;

use crate::args::PackArgs;
use crate::{STOPPED, output, progress, source, stop_on_ctrl_c};

/// What the arguments ask for.
fn config(args: &PackArgs) -> PackConfig {
    PackConfig {
        per_shard: args.per_shard,
        region: args.reach.map(|reach| Region { reach, largest_face: args.largest_face.unwrap_or_default() }),
        encoding: args.jpeg.map_or(Encoding::Png, Encoding::Jpeg),
        shuffle: args.shuffle,
        unreadable: if args.skip_unreadable { Unreadable::Skip } else { Unreadable::Fail },
    }
}

/// Runs `star data pack`.
///
/// # Errors
/// When the data set cannot be read, or the shards not written; whole shards stay, and the same command goes on after them.
pub(crate) fn run(args: &PackArgs) -> Result<ExitCode> {
    let scheme = weights::scheme(&args.scheme)?;
    let faces = source::open(&args.source, &scheme)?;
    let stop = stop_on_ctrl_c()?;
    let bar = progress::bar(faces.len(), "faces");
    let packed =
        pack(faces.as_ref(), &args.out, &config(args), &stop, &|done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    for (_, trouble) in &packed.unreadable {
        say!("left out: {trouble}");
    }
    if packed.stopped {
        say!("stopped; {} faces are packed. The same command goes on after them", packed.samples);
        return Ok(ExitCode::from(STOPPED));
    }
    let text = format!(
        "{} faces in {} shards, {:.1} MB, in {}; left out: {}\ntrain on them with: [data.train] format = \"shards\", folder = \"{}\"\n",
        packed.samples,
        packed.shards,
        packed.bytes as f64 / 1e6,
        args.out.display(),
        faces.len() - packed.samples,
        args.out.display()
    );
    output::write_text("-".as_ref(), &text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, DataCommand};

    fn parsed(extra: &[&str]) -> PackConfig {
        let words =
            ["star", "data", "pack", "--annotations", "a.tsv", "--scheme", "wflw98", "--out", "packed"];
        let cli = Cli::try_parse_from(words.iter().chain(extra)).unwrap();
        let Command::Data { command: DataCommand::Pack(args) } = cli.command else { panic!("not pack") };
        config(&args)
    }

    #[test]
    fn whole_images_are_copied_unless_a_region_is_asked_for() {
        assert_eq!(parsed(&[]), PackConfig::default());
        let cut = parsed(&["--reach", "2.5", "--largest-face", "512", "--jpeg", "95", "--skip-unreadable"]);
        assert_eq!(cut.region, Some(Region { reach: 2.5, largest_face: 512 }));
        assert_eq!((cut.encoding, cut.unreadable), (Encoding::Jpeg(95), Unreadable::Skip));
    }
}
