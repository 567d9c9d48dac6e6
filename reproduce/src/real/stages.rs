//! The work of the stages on photographs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_cli::progress::{FetchBar, TrainBar};
use star_data::Scheme;
use star_data::formats::{Compat, Format, Split};
use star_eval::{Case, Group, Results, Setting};
use star_model::CompileOptions;
use star_model::checkpoint::{Folder, WEIGHTS_FILE};
use star_predict::Predictor;
use star_predict::files;
use star_predict::weights::{self, Hints};
use star_train::Outcome;
use star_train::config::Options;
use star_train::evaluate::{self, Labels, Scored, metric_set as measures, videos};
use star_train::state;

use super::outcome::{Scores, SetOutcome};
use super::plan::RealPlan;
use super::sets::{Located, RealSet};
use crate::args::{Origin, Profile};
use crate::machine::sha256;
use crate::spread::spread;
use crate::variant::Variant;

/// Faces that go through the network together in scoring.
const BATCH: usize = 8;

/// Marks a training that is finished.
const DONE: &str = "done";

/// A set with where it was found, or why it has no figures.
pub(crate) struct Candidate {
    pub(crate) set: &'static RealSet,
    pub(crate) found: Result<Located, String>,
}

/// Looks for every set of the plan.
///
/// # Errors
/// When none of them is there and faces are `needed`, saying where each was looked for and what it must look like.
pub(crate) fn candidates(plan: &RealPlan, needed: bool) -> Result<Vec<Candidate>> {
    let look = |set: &'static RealSet| Candidate {
        set,
        found: set.locate(plan.data(), plan.compat).ok_or_else(|| set.missing(plan.data())),
    };
    let all: Vec<Candidate> = RealSet::of(plan.profile).into_iter().map(look).collect();
    let missing: Vec<&str> =
        all.iter().filter_map(|candidate| candidate.found.as_ref().err().map(String::as_str)).collect();
    if needed && missing.len() == all.len() {
        bail!("{}", missing.join("\n"))
    }
    for text in missing.iter().filter(|_| needed) {
        println!("{text}");
    }
    Ok(all)
}

/// What the check found of a set, kept for the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) faces: usize,
    pub(crate) published: Option<usize>,
    pub(crate) notes: Vec<String>,
}

/// Looks at every picture and row of the splits that are needed, and hashes them.
///
/// # Errors
/// Names the first problem of a set, and `star data check` for the others.
pub(crate) fn check(
    plan: &RealPlan,
    all: &[Candidate],
    dir: &Path,
    hashes: &mut BTreeMap<String, String>,
) -> Result<()> {
    for Candidate { set, found } in all {
        let Ok(found) = found else { continue };
        let mut splits = vec![Split::Test];
        if plan.from == Origin::Scratch {
            splits.push(Split::Train);
        }
        for split in splits {
            let opened = found
                .open(set, split, plan.compat)
                .with_context(|| format!("{} {split}; `star data check` names every problem", set.name))?;
            let report = star_data::check::check(opened.dataset.as_ref(), &|_| ());
            let faces = opened.dataset.len();
            let published = set.published(split, "full");
            println!(
                "{} {split}: {faces} faces{}, {} pictures",
                set.name,
                published.filter(|p| *p != faces).map(|p| format!(" (published: {p})")).unwrap_or_default(),
                report.images
            );
            let mut notes = opened.notes;
            if let Some(problem) = report.problems.first() {
                notes.push(format!(
                    "{} problems in the pictures, the first: {problem}; `star data check` names them all",
                    report.problems.len()
                ));
            }
            hashes.insert(hash_name(set, split), report.hash);
            if split == Split::Test {
                if plan.compat == Compat::Reference && found.format() != Format::Tsv {
                    notes.push(
                        "compat reference: only the published test.tsv tells which row the reference loses; every row is scored"
                            .to_string(),
                    );
                }
                let checked = Checked { faces, published, notes };
                let path = dir.join(format!("{}.json", set.key));
                files::write_atomic(&path, serde_json::to_string_pretty(&checked)?.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// What the hash of a split is called in `run.json`.
fn hash_name(set: &RealSet, split: Split) -> String {
    format!("{} {split}", set.name)
}

/// Fetches weights for every set that is there and keeps them as folders below `dir`; a reason where there are none.
///
/// # Errors
/// Where a single set is asked for and has no weights.
pub(crate) fn fetch(
    plan: &RealPlan,
    all: &[Candidate],
    dir: &Path,
    hashes: &mut BTreeMap<String, String>,
) -> Result<()> {
    for set in all.iter().filter(|candidate| candidate.found.is_ok()).map(|candidate| candidate.set) {
        let (folder, reason) = (dir.join(set.key), dir.join(format!("{}.txt", set.key)));
        if !folder.is_dir() {
            let fetched = match plan.weights(set) {
                None => Err(anyhow::anyhow!(
                    "no published weights are known for {}: give your own with --weights {}=FILE, or train with --from scratch",
                    set.name,
                    set.key
                )),
                Some(name) => {
                    keep(&name, set, &folder).with_context(|| format!("weights `{name}` for {}", set.name))
                }
            };
            if let Err(error) = fetched {
                if plan.profile != Profile::All {
                    return Err(error);
                }
                let told = star_predict::failure::describe(&error);
                println!("{}: {told}", set.name);
                files::write_atomic(&reason, told.as_bytes())?;
                continue;
            }
        }
        if reason.exists() {
            std::fs::remove_file(&reason).with_context(|| reason.display().to_string())?;
        }
        hashes.insert(format!("weights for {}", set.name), sha256(&folder.join(WEIGHTS_FILE))?);
    }
    Ok(())
}

fn keep(name: &str, set: &RealSet, folder: &Path) -> Result<()> {
    let hints = Hints { scheme: Some(set.scheme.to_string()), ..Default::default() };
    let (opened, _) = weights::open(Path::new(name), &hints, &mut FetchBar::default())?;
    let config = &opened.config;
    println!("{}: {name} from {} ({})", set.name, config.provenance.source, config.architecture);
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    opened.save(&unfinished)?;
    std::fs::rename(&unfinished, folder)?;
    Ok(())
}

/// Hashes of all faces that a training sees, and chooses its best epoch by; empty where nobody looked.
fn trained_on(plan: &RealPlan, set: &RealSet, hashes: &BTreeMap<String, String>) -> String {
    let splits: &[Split] = match plan.compat {
        Compat::Reference => &[Split::Train, Split::Test],
        Compat::None => &[Split::Train],
    };
    let found = splits.iter().filter_map(|split| hashes.get(&hash_name(set, *split)));
    found.map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Where that is written down, beside the training's folder.
fn seen(place: &Path) -> PathBuf {
    place.with_added_extension("faces")
}

/// That what is trained in `place`, if anything is, has seen the faces that are there now. Nothing is said where nobody looked.
fn same_faces(plan: &RealPlan, set: &RealSet, place: &Path, hashes: &BTreeMap<String, String>) -> Result<()> {
    let (now, then) =
        (trained_on(plan, set, hashes), std::fs::read_to_string(seen(place)).unwrap_or_default());
    if place.exists() && !now.is_empty() && !then.is_empty() && now != then {
        bail!(
            "{}: was trained on other faces than those that the check sees now; remove it, or choose another --out",
            place.display()
        )
    }
    Ok(())
}

/// Whether a training is finished.
pub(crate) fn is_done(out: &Path, slug: &str) -> bool {
    out.join("train").join(slug).join(DONE).exists()
}

/// Trains every variant and seed of every set that is there; `hashes` are those of the check.
///
/// # Errors
/// When a training fails or is stopped, and when one was done on other faces.
pub(crate) fn trainings(
    plan: &RealPlan,
    all: &[Candidate],
    dir: &Path,
    hashes: &BTreeMap<String, String>,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    for Candidate { set, found } in all {
        let Ok(found) = found else { continue };
        for variant in plan.variants() {
            for seed in 0..plan.seeds {
                let slug = RealPlan::slug(set, &variant, seed);
                let (place, label) =
                    (dir.join(&slug), format!("{}, {}, seed {seed}", set.name, variant.name));
                let done = place.join(DONE);
                same_faces(plan, set, &place, hashes)?;
                if done.exists() {
                    println!("{label}: already trained");
                    continue;
                }
                println!("{label}: training");
                let faces = trained_on(plan, set, hashes);
                // Where nobody looked, what an earlier attempt wrote down stays.
                if !faces.is_empty() {
                    files::write_atomic(&seen(&place), faces.as_bytes())?;
                }
                let options = Options {
                    resume: state::exists(&place),
                    stop: stop.clone(),
                    progress: Box::new(TrainBar::labelled(&label)),
                    ..Default::default()
                };
                if !options.resume && place.exists() {
                    std::fs::remove_dir_all(&place)
                        .with_context(|| format!("removing {}", place.display()))?;
                }
                let config = plan.config(set, found, &variant, seed)?;
                let outcome = config
                    .run(Path::new("."), &place, options)
                    .with_context(|| format!("training {label}"))?;
                if outcome == Outcome::Stopped {
                    bail!("stopped; go on with the same command and --resume");
                }
                files::write_atomic(&done, b"")?;
            }
        }
    }
    Ok(())
}

/// Scores every network on the test split of its set; one that has changed since it was scored, or whose faces have, again. `hashes`
/// are those of the check.
///
/// # Errors
/// When a network or a face cannot be read, and when it is stopped.
pub(crate) fn scores(
    plan: &RealPlan,
    all: &[Candidate],
    [out, dir]: [&Path; 2],
    hashes: &BTreeMap<String, String>,
    stop: &AtomicBool,
) -> Result<()> {
    for Candidate { set, found } in all {
        let Ok(found) = found else { continue };
        let data = hashes.get(&hash_name(set, Split::Test)).cloned().unwrap_or_default();
        let networks: Vec<(String, u64, PathBuf)> = match plan.from {
            Origin::Weights => vec![(Variant::star().slug, 0, out.join("fetch").join(set.key))],
            Origin::Scratch => plan
                .variants()
                .iter()
                .flat_map(|variant| (0..plan.seeds).map(|seed| (variant.clone(), seed)))
                .map(|(variant, seed)| {
                    let place = out.join("train").join(RealPlan::slug(set, &variant, seed)).join("best");
                    (variant.slug, seed, place)
                })
                .collect(),
        };
        for (slug, seed, place) in networks {
            let path = dir.join(format!("{}-{slug}-{seed}.json", set.key));
            if stop.load(Ordering::SeqCst) {
                bail!("stopped; go on with the same command and --resume");
            }
            if plan.from == Origin::Scratch && !place.with_file_name(DONE).exists() {
                // Its best network so far is there, and is not what the recipe makes.
                println!("{}, {slug}, seed {seed}: not scored, its training is not finished", set.name);
                continue;
            }
            if plan.from == Origin::Scratch {
                same_faces(plan, set, place.parent().unwrap_or(&place), hashes)?;
            }
            if !place.is_dir() {
                if plan.from == Origin::Weights && out.join("fetch").join(format!("{}.txt", set.key)).exists()
                {
                    continue;
                }
                let stage = if plan.from == Origin::Weights { "fetch" } else { "train" };
                bail!("{}: no weights there; run without --skip {stage}, with --resume", place.display())
            }
            let hash = sha256(&place.join(WEIGHTS_FILE))?;
            let scored = std::fs::read_to_string(&path).ok();
            let scored = scored.and_then(|text| serde_json::from_str::<Scores>(&text).ok());
            if scored.is_some_and(|scores| scores.weights_hash == hash && scores.data_hash == data) {
                continue;
            }
            println!("{}, {slug}, seed {seed}: scoring", set.name);
            let scores = score(plan, set, found, &place, seed)
                .with_context(|| format!("scoring {} with {}", set.name, place.display()))?;
            let scores = Scores { weights_hash: hash, data_hash: data.clone(), ..scores };
            files::write_atomic(&path, serde_json::to_string(&scores)?.as_bytes())?;
        }
    }
    Ok(())
}

fn score(plan: &RealPlan, set: &RealSet, found: &Located, place: &Path, seed: u64) -> Result<Scores> {
    let folder = Folder::load(place)?;
    let source = folder.config.provenance.source.clone();
    let device = plan.device.open()?;
    let predictor = Predictor::from_folder(&folder, &device, &CompileOptions::default())?;
    let opened = found.open(set, Split::Test, plan.compat)?;
    let dataset = opened.dataset;
    let scheme = set.scheme()?;
    let (normalizer, normalizer_name) = measures::normalizer(&scheme, None)?;
    let bar = star_cli::progress::bar(dataset.len(), "faces");
    let labels = match plan.compat {
        Compat::Reference => Labels::Clamped,
        Compat::None => Labels::AsAnnotated,
    };
    let scored =
        evaluate::run_over(&predictor, &dataset, BATCH, labels, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let case = |face: &Scored| Ok(evaluate::case(face, dataset.annotation(face.index)?));
    let cases: Vec<Case> = scored.iter().map(case).collect::<Result<_>>()?;
    let setting = Setting {
        dataset: format!("{} test", set.name),
        subset: "full".to_string(),
        normalizer_name: normalizer_name.to_string(),
        normalizer,
        thresholds: set.thresholds.to_vec(),
        groups: groups(&scheme),
        notes: opened.notes,
    };
    let mut results = Results::new(&measures::metric_set(&scheme, &setting), &cases)?;
    if set.key == "300vw" {
        results.videos = videos::measure(&cases)?;
    }
    let architecture = &folder.config.architecture;
    let parameters = architecture.costs()?.iter().map(|stage| stage.parameters).sum::<usize>() as f64 / 1e6;
    Ok(Scores { network: architecture.to_string(), parameters, ..Scores::new(seed, source, &results) })
}

/// Parts of a face, and for kind 5 everything but its contour.
fn groups(scheme: &Scheme) -> Vec<Group> {
    let mut groups = measures::groups(scheme);
    if let Some(contour) = groups.iter().find(|group| group.name == "contour") {
        let keypoints = (0..scheme.keypoints).filter(|k| !contour.keypoints.contains(k)).collect();
        groups.push(Group { name: "all but the contour".to_string(), keypoints });
    }
    groups
}

/// What became of every set.
///
/// # Errors
/// When a file that a stage left is not what it should be.
pub(crate) fn outcomes(plan: &RealPlan, all: &[Candidate], out: &Path) -> Result<Vec<SetOutcome>> {
    let mut found = Vec::new();
    for Candidate { set, found: located } in all {
        let mut outcome = SetOutcome {
            key: set.key.to_string(),
            name: set.name.to_string(),
            reason: None,
            faces: None,
            published: set.published(Split::Test, "full"),
            notes: Vec::new(),
            runs: BTreeMap::new(),
            stability: None,
        };
        let checked = out.join("check").join(format!("{}.json", set.key));
        if let Ok(text) = std::fs::read_to_string(&checked) {
            let checked: Checked =
                serde_json::from_str(&text).with_context(|| checked.display().to_string())?;
            (outcome.faces, outcome.notes) = (Some(checked.faces), checked.notes);
        }
        let reason = out.join("fetch").join(format!("{}.txt", set.key));
        for variant in plan.variants() {
            for seed in 0..plan.seeds {
                let path = out.join("eval").join(format!("{}.json", RealPlan::slug(set, &variant, seed)));
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                let scores: Scores =
                    serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                outcome.runs.entry(variant.slug.clone()).or_default().push(scores);
            }
        }
        if outcome.runs.is_empty() {
            outcome.reason = Some(match (std::fs::read_to_string(&reason), located) {
                (Ok(text), _) => text,
                (Err(_), Err(_)) => format!("{} is not below --data", set.name),
                (Err(_), Ok(_)) => "no network of it was scored".to_string(),
            });
        }
        if let Some(star) = outcome.runs.get(&Variant::star().slug) {
            let faces = star.iter().map(|run| run.predicted.len()).min().unwrap_or(0);
            // Of the faces that all found.
            let found =
                |face: usize| star.iter().map(|run| run.predicted[face].as_deref()).collect::<Option<_>>();
            outcome.stability = spread((0..faces).filter_map(found))?;
        }
        outcome.runs.values_mut().flatten().for_each(|scores| scores.predicted.clear());
        found.push(outcome);
    }
    Ok(found)
}
