//! `star predict --input`: faces of millions of pictures, packed in shards, as Parquet files.
//!
//! A shard of the input becomes a file of the output, which appears whole. So any number of jobs can share the shards out
//! (`--shard I/N`), and a job that is started again passes over what is done.

mod cells;
mod item;
mod job;
mod ordered;
mod part;
mod place;
mod rows;
#[cfg(feature = "object-store")]
mod store;
mod table;
mod tar;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use star_model::checkpoint::Folder;
use star_predict::failure;

use crate::args::PredictArgs;
use crate::{progress, weights};
use job::Job;
pub use part::Part;
use place::Place;

/// What the files of an output folder were made with. Readers of whole folders pass over names that begin so.
const ABOUT: &str = "_star.json";

/// What must be one for all files of an output.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    scheme: String,
    /// SHA-256 over the weights' names and values.
    weights: String,
    /// Whether boxes of the input were used.
    boxes: bool,
    min_score: f64,
}

/// Runs `star predict --input`: exit code 1 where a shard could not be read to its end. Pictures that cannot be used are rows with an
/// error.
///
/// # Errors
/// When weights, input or output cannot be used.
pub fn run(args: &PredictArgs) -> Result<ExitCode> {
    let (Some(input), Some(output)) = (&args.bulk.input, &args.bulk.output) else {
        bail!("--input and --output go together")
    };
    let (from, names) = place::input(input)?;
    let to = place::output(output)?;
    ensure!(
        !place::same(input, output),
        "--output: expected another place than --input, got {output} for both"
    );
    let shards = shards(names)?;
    let (folder, scheme) = weights::open(&args.weights)?;
    let about = About {
        scheme: scheme.name.clone(),
        weights: digest(&folder)?,
        boxes: !args.bulk.detect,
        min_score: args.min_score,
    };
    agree(to.as_ref(), &about)?;
    let job = Job::new(args, &folder, &about)?;
    drop(folder);
    let own: Vec<_> = shards
        .iter()
        .enumerate()
        .filter(|(place, _)| args.bulk.shard.has(*place))
        .map(|(_, shard)| shard)
        .collect();
    eprintln!("part {}: {} of {} shards", args.bulk.shard, own.len(), shards.len());
    let (start, mut total, mut passed, mut failed) = (Instant::now(), job::Tally::default(), 0, 0);
    let bar = progress::bar(own.len(), "shards");
    for (name, result) in &own {
        if to.has(result)? {
            passed += 1;
        } else {
            match job.shard(from.as_ref(), name, to.as_ref(), result, &bar) {
                Ok(tally) => total += tally,
                // A full disk will be full for the next shard too; a damaged shard is that shard's trouble.
                Err(job::Trouble::Output(error)) => return Err(error),
                Err(job::Trouble::Shard(error)) => {
                    failed += 1;
                    bar.suspend(|| eprintln!("error: {}", failure::describe(&error)));
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "{} pictures, {} faces, {} pictures that could not be used, in {seconds:.1} s: {:.1} pictures a second; \
         {passed} shards were done before",
        total.pictures,
        total.faces,
        total.errors,
        total.pictures as f64 / seconds.max(f64::MIN_POSITIVE)
    );
    if failed > 0 {
        eprintln!("{failed} shards could not be read; their files are not there");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Each shard with the name of its results: its own with the ending `.parquet`.
fn shards(names: Vec<String>) -> Result<Vec<(String, String)>> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut shards = Vec::with_capacity(names.len());
    for name in names {
        let stem = name.strip_suffix(".tar").or_else(|| name.strip_suffix(".parquet")).unwrap_or(&name);
        let result = format!("{stem}.parquet");
        if let Some(other) = taken.insert(result.clone(), name.clone()) {
            bail!(
                "the results of {other} and {name} would both be {result}: rename one, or give them one by one"
            )
        }
        shards.push((name, result));
    }
    Ok(shards)
}

/// Refuses an output that holds results of other weights or settings; says in an empty one what its results are made with.
fn agree(to: &dyn Place, about: &About) -> Result<()> {
    if to.has(ABOUT)? {
        let told = to.told(ABOUT);
        let there: About = serde_json::from_slice(&to.read(ABOUT)?).with_context(|| told.clone())?;
        ensure!(
            there == *about,
            "{told}: the results there were made with other weights or settings ({there:?}, here {about:?}): choose another --output"
        );
        return Ok(());
    }
    let mut file = to.begin()?;
    serde_json::to_writer_pretty(&mut file, about)?;
    to.put(ABOUT, file)
}

fn digest(folder: &Folder) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&folder.config.architecture)?);
    for (name, tensor) in &folder.tensors {
        hash.update(name);
        let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_called_as_their_shards_and_two_of_one_name_are_refused() {
        let names = |names: &[&str]| shards(names.iter().map(|name| name.to_string()).collect());
        let found = names(&["a.parquet", "b.tar"]).unwrap();
        assert_eq!(found[1], ("b.tar".to_string(), "b.parquet".to_string()));
        let message = names(&["a.parquet", "a.tar"]).unwrap_err().to_string();
        assert!(message.contains("a.parquet and a.tar"), "{message}");
    }

    #[test]
    fn an_output_of_other_weights_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let to = place::Folder(dir.path().to_path_buf());
        let about = |weights: &str| About {
            scheme: "wflw98".into(),
            weights: weights.into(),
            boxes: true,
            min_score: 2.0,
        };
        agree(&to, &about("a")).unwrap();
        agree(&to, &about("a")).unwrap();
        let message = agree(&to, &about("b")).unwrap_err().to_string();
        assert!(message.contains("_star.json") && message.contains("another --output"), "{message}");
    }
}
