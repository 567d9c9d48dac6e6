//! What each part of a recipe gives: short trainings that differ from it in one thing, two seeds each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::atomic;
use star_data::formats::Format;
use star_eval::{Bootstrap, Interval};
use star_model::CompileOptions;
use star_predict::{Predictor, files};
use star_train::config::{FilesSection, LossKind, SourceSection, TrainConfig};
use star_train::state::State;
use star_train::{Cosine, Decay};

use super::sets::{self, TestSet};
use crate::machine::{Machine, Versions};
use crate::pool::Workers;
use crate::runner::{self, Detail, Network, Recipe, Runner, Training};
use crate::{place, report, stop};

/// Seeds of each variant.
const SEEDS: [u64; 2] = [1, 2];

/// Epochs of a short training: 17,852 samples.
const EPOCHS: usize = 2;

/// Faces in a step: what counts in a short training is the number of steps.
const BATCH: usize = 8;

/// Images after which a value's weight in the moving average of the weights has halved.
const HALF_LIFE: f64 = 1500.0;

/// Where to train.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The training file whose parts are taken away
    #[arg(long, value_name = "FILE", default_value = "recipes/hourglass-68.toml")]
    recipe: PathBuf,
    /// Folder of the portraits
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of heads that `default-model heads` drew
    #[arg(long, value_name = "DIR")]
    heads: PathBuf,
    /// Folder of the trainings: what is finished there is kept, what was interrupted goes on
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Variants to train and to put into the table, the recipe first among them [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    variants: Vec<String>,
    /// Folder for ablations.json and ablations.md [default: docs/results/default-model]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
}

/// What a training differs in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Nothing,
    SmoothL1,
    RestrictionWeight(f64),
    /// Side of the images in pixels, and levels, since 96 does not halve as often.
    ImageSize(usize, usize),
    Channels(usize),
    WithoutTierC,
    WithHeads,
}

impl Change {
    const ALL: [Self; 9] = [
        Self::Nothing,
        Self::SmoothL1,
        Self::RestrictionWeight(0.3),
        Self::RestrictionWeight(3.0),
        Self::ImageSize(96, 3),
        Self::ImageSize(192, 4),
        Self::Channels(64),
        Self::WithoutTierC,
        Self::WithHeads,
    ];

    /// Those that are asked for, and the recipe that they are compared with.
    fn wanted(names: &[String]) -> Result<Vec<Self>> {
        let known: Vec<String> = Self::ALL.iter().map(|change| change.slug()).collect();
        if let Some(other) = names.iter().find(|name| !known.contains(name)) {
            bail!("--variants: expected some of {}, got `{other}`", known.join(", "))
        }
        let asked =
            |change: &Self| names.is_empty() || *change == Self::Nothing || names.contains(&change.slug());
        Ok(Self::ALL.into_iter().filter(asked).collect())
    }

    fn slug(self) -> String {
        match self {
            Self::Nothing => "star".into(),
            Self::SmoothL1 => "smooth_l1".into(),
            Self::RestrictionWeight(weight) => format!("weight_{weight}"),
            Self::ImageSize(size, _) => format!("size_{size}"),
            Self::Channels(channels) => format!("channels_{channels}"),
            Self::WithoutTierC => "without_c".into(),
            Self::WithHeads => "with_heads".into(),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Nothing => "STAR, restriction weight 1, 128 px, 128 channels".into(),
            Self::SmoothL1 => "smooth-L1 instead of STAR".into(),
            Self::RestrictionWeight(weight) => format!("restriction weight {weight}"),
            Self::ImageSize(size, levels) => format!("{size} px, {levels} levels"),
            Self::Channels(channels) => format!("{channels} channels"),
            Self::WithoutTierC => "without tier C".into(),
            Self::WithHeads => "with rendered heads".into(),
        }
    }

    /// The training file of one seed; what it needs beside the data is written into `dir`.
    fn config(self, args: &Args, seed: u64, dir: &Path) -> Result<TrainConfig> {
        let mut config = TrainConfig::read(&args.recipe)?;
        config.seed = seed;
        config.epochs = EPOCHS;
        config.batch_size = BATCH;
        config.ema_half_life = HALF_LIFE;
        config.init_from = None;
        config.schedule.warmup_epochs = 0.1;
        config.schedule.decay = Decay::Cosine(Cosine::default());
        let files = |annotations: PathBuf, images: &Path| {
            let images = Some(images.to_path_buf());
            SourceSection::Files(Format::Tsv, FilesSection { annotations, images, ..Default::default() })
        };
        config.data.train = files(args.data.join("train.tsv"), &args.data);
        config.data.validation = Some(files(args.data.join("valid.tsv"), &args.data));
        let mut weights = "image,weight\nt2i_*,3\n".to_string();
        match self {
            Self::Nothing => {}
            Self::SmoothL1 => config.loss.kind = LossKind::Plain,
            Self::RestrictionWeight(weight) => config.loss.restriction_weight = weight,
            Self::ImageSize(size, levels) => (config.model.image_size, config.model.levels) = (size, levels),
            Self::Channels(channels) => config.model.channels = channels,
            Self::WithoutTierC => {
                // As many samples an epoch as with it.
                weights = "image,weight\n*,1.4175\nt2i_*,4.2525\n".into();
                let path = dir.join("without_c.tsv");
                atomic::write(&path, without_tier(&args.data, "C")?.as_bytes())?;
                config.data.train = files(path, &args.data);
            }
            Self::WithHeads => {
                weights = "image,weight\n*,0.825\nt2i_*,2.475\nimages/*.png,1.04\n".into();
                config.data.more = vec![files(args.heads.join("heads.tsv"), &args.heads)];
            }
        }
        let path = dir.join(format!("{}.csv", self.slug()));
        atomic::write(&path, weights.as_bytes())?;
        config.data.weights = Some(path);
        Ok(config)
    }
}

/// The rows of `train.tsv` but those of a tier.
fn without_tier(data: &Path, tier: &str) -> Result<String> {
    let path = data.join("train.tsv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let tiers = sets::tiers(data)?;
    let name = |row: &str| {
        Path::new(row.split('\t').next().unwrap_or_default())
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
    };
    let kept = |row: &&str| name(row).is_none_or(|name| tiers.get(&name).is_none_or(|of| of != tier));
    Ok(text.lines().filter(kept).map(|row| format!("{row}\n")).collect())
}

/// NME of each face under a training, fractions, in the order of the set.
#[derive(Serialize, Deserialize)]
struct Scores {
    weights: String,
    valid: Vec<f64>,
    /// The same of faces in each tier of `valid`.
    tiers: BTreeMap<String, f64>,
    human: Vec<f64>,
}

/// A row of the table.
#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    parameters: usize,
    macs: u64,
    /// Mean NME of `valid` under each seed, a fraction.
    valid: Vec<f64>,
    /// The mean less that of the recipe, over faces each of which is averaged over seeds; none for the recipe itself.
    valid_difference: Option<Interval>,
    human: Vec<f64>,
    human_difference: Option<Interval>,
    /// Mean NME of each tier, over seeds.
    tiers: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize)]
struct Table {
    machine: Machine,
    versions: Versions,
    samples: usize,
    seeds: Vec<u64>,
    rows: Vec<Row>,
}

/// Trains what is left to train, scores it and writes the table.
///
/// # Errors
/// Names what cannot be read or trained.
pub(super) fn run(args: &Args) -> Result<()> {
    let stop = stop::on_ctrl_c()?;
    files::make_dir(&args.out)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runner = Runner { workers: Workers::OneThreadEach(threads), stop: &stop, detail: Detail::Trainings };
    let changes = Change::wanted(&args.variants)?;
    let jobs: Vec<(Change, u64)> =
        SEEDS.iter().flat_map(|seed| changes.iter().map(|change| (*change, *seed))).collect();
    let slug = |(change, seed): &(Change, u64)| format!("{}-{seed}", change.slug());
    let title = |(change, seed): &(Change, u64)| format!("{}, seed {seed}", change.name());
    let trainings: Vec<Training> =
        jobs.iter().map(|job| Training { slug: slug(job), title: title(job), data: String::new() }).collect();
    runner.train(&trainings, &args.out, |i| {
        let (change, seed) = jobs[i];
        Ok(Recipe { config: change.config(args, seed, &args.out)?, control: None })
    })?;
    let networks: Vec<Network> = jobs
        .iter()
        .map(|job| Network {
            slug: slug(job),
            title: title(job),
            weights: args.out.join(slug(job)).join("best"),
        })
        .collect();
    let [valid, human] = [sets::validation(&args.data)?, sets::human(&args.data, false)?];
    let scores_dir = args.out.join("scores");
    files::make_dir(&scores_dir)?;
    runner.score(
        &networks,
        &scores_dir,
        |_, scores: &Scores, hash| scores.weights == hash,
        |i, hash| score(&networks[i].weights, hash, &valid, &human),
    )?;
    let mut rows: Vec<Row> = Vec::new();
    let mut first: Option<[Vec<f64>; 2]> = None;
    for change in changes {
        let read =
            |seed: &u64| runner::read::<Scores>(&scores_dir.join(format!("{}-{seed}.json", change.slug())));
        let scores: Vec<Scores> = SEEDS.iter().map(read).collect::<Result<_>>()?;
        let costs = change.config(args, SEEDS[0], &args.out)?;
        let costs = costs.model.architecture(&star_data::Scheme::named(sets::SCHEME)?)?.costs()?;
        let faces = [faces(&scores, |s| &s.valid), faces(&scores, |s| &s.human)];
        let difference = |set: usize| -> Result<Option<Interval>> {
            let Some(first) = &first else { return Ok(None) };
            let by_face: Vec<f64> = faces[set].iter().zip(&first[set]).map(|(new, old)| new - old).collect();
            Ok(Some(Bootstrap::default().mean(&by_face)?))
        };
        rows.push(Row {
            name: change.name(),
            parameters: costs.iter().map(|stage| stage.parameters).sum(),
            macs: costs.iter().map(|stage| stage.macs).sum(),
            valid: scores.iter().map(|s| mean(&s.valid)).collect(),
            valid_difference: difference(0)?,
            human: scores.iter().map(|s| mean(&s.human)).collect(),
            human_difference: difference(1)?,
            tiers: scores[0]
                .tiers
                .keys()
                .map(|tier| (tier.clone(), mean(&scores.iter().map(|s| s.tiers[tier]).collect::<Vec<_>>())))
                .collect(),
        });
        first.get_or_insert(faces);
    }
    let table = Table {
        machine: Machine::this(),
        versions: Versions::of(&place::root()),
        samples: samples(&args.out.join(&trainings[0].slug))?,
        seeds: SEEDS.to_vec(),
        rows,
    };
    let results = args.results.clone().unwrap_or_else(super::results);
    files::make_dir(&results)?;
    atomic::write(&results.join("ablations.json"), serde_json::to_string(&table)?.as_bytes())?;
    let text = report::text("default_model/ablations.md", &table)?;
    atomic::write(&results.join("ablations.md"), text.as_bytes())?;
    println!("\n{text}");
    Ok(())
}

/// How many samples the training in `folder` saw.
fn samples(folder: &Path) -> Result<usize> {
    Ok(State::load(folder)?.0.position.step * BATCH)
}

fn score(weights: &Path, hash: String, valid: &TestSet, human: &TestSet) -> Result<Scores> {
    let folder = star_model::checkpoint::Folder::load(weights)?;
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
    let results = |set: &TestSet| set.results(&set.cases(&predictor)?);
    let [valid, human] = [results(valid)?, results(human)?];
    let faces = |results: &star_eval::Results| -> Result<Vec<f64>> {
        let nme = |image: &star_eval::report::ImageError| image.nme_fraction;
        results.main()?.per_image.iter().map(|image| nme(image).context("a face without landmarks")).collect()
    };
    let tier = |report: &&star_eval::Report| {
        report.subset.starts_with("tier") && report.normalizer == "inter-ocular"
    };
    let tiers =
        valid.reports.iter().filter(tier).filter_map(|r| Some((r.subset.clone(), r.nme_mean_fraction?)));
    Ok(Scores { weights: hash, tiers: tiers.collect(), valid: faces(&valid)?, human: faces(&human)? })
}

/// Each face's NME, averaged over seeds.
fn faces(scores: &[Scores], of: impl Fn(&Scores) -> &Vec<f64>) -> Vec<f64> {
    let count = scores.first().map_or(0, |scores| of(scores).len());
    (0..count).map(|face| mean(&scores.iter().map(|scores| of(scores)[face]).collect::<Vec<_>>())).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_is_compared_with_the_recipe_and_names_are_checked() {
        assert_eq!(Change::wanted(&[]).unwrap(), Change::ALL);
        let named = ["smooth_l1".to_string()];
        assert_eq!(Change::wanted(&named).unwrap(), [Change::Nothing, Change::SmoothL1]);
        let message = Change::wanted(&["l1".to_string()]).unwrap_err().to_string();
        assert!(message.contains("smooth_l1") && message.contains("`l1`"), "{message}");
    }

    #[test]
    fn the_committed_table_is_what_the_template_makes_of_its_figures() {
        let text = place::read("docs/results/default-model/ablations.json").unwrap();
        let table: Table = serde_json::from_str(&text).unwrap();
        assert_eq!(
            report::text("default_model/ablations.md", &table).unwrap(),
            place::read("docs/results/default-model/ablations.md").unwrap()
        );
    }
}
