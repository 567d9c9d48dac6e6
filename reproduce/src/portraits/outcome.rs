//! What a run on portraits found: means over seeds, paired differences, and agreement with the annotators.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_eval::{Covariance, Interval, runs};

use super::annotators::ANNOTATORS;
use super::design::{Design, Labels};
use super::measure::{Errors, Measured};
use super::spread::{self, Agreement, Null};
use crate::variant::Variant;

/// Share of intervals that would hold the truth.
const LEVEL: f64 = 0.95;
/// A landmark at which the annotators' eigenvalue ratio is below this is not ambiguous in a direction.
const DIRECTED: f64 = 1.5;

/// The whole outcome. Lengths are fractions of the inter-ocular distance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) profile: String,
    pub(super) design: Design,
    /// Seeds of which every training is there.
    pub(super) seeds: u64,
    pub(super) annotators: Vec<String>,
    pub(super) primary: [Primary; 2],
    pub(super) gates: [Gate; 2],
    pub(super) rows: Vec<Row>,
    pub(super) contrasts: Vec<Contrast>,
    pub(super) agreement: Vec<AgreementRow>,
    pub(super) landmarks: Landmarks,
    pub(super) pilots: Vec<Pilot>,
    /// The weights in the program on the same people.
    pub(super) builtin: Errors,
    pub(super) runs: Vec<Run>,
}

/// An outcome that was registered before the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Primary {
    pub(super) difference: Interval,
    pub(super) p: f64,
    /// Corrected by Holm for both.
    pub(super) p_holm: f64,
    /// Confirmed, refuted, undecided, or not a test.
    pub(super) verdict: String,
}

/// What must hold for the run to be a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Gate {
    pub(super) value: f64,
    pub(super) interval: Option<Interval>,
    pub(super) passed: bool,
}

/// One loss under one kind of labels, means over seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) labels: Labels,
    pub(super) loss: String,
    pub(super) human: Errors,
    pub(super) consensus: Errors,
    pub(super) builtin: Errors,
    pub(super) dlib: Option<Errors>,
    pub(super) scatter: Scatter,
}

/// Standard deviation of a landmark over seeds on people of the second half, root mean square over landmarks on edges and people.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Scatter {
    pub(super) along: f64,
    pub(super) across: f64,
}

/// The first loss minus the second, paired by seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contrast {
    pub(super) name: String,
    pub(super) nme: Option<Interval>,
    pub(super) along: Option<Interval>,
    pub(super) across: Option<Interval>,
    pub(super) consensus_nme: Option<Interval>,
    pub(super) consensus_across: Option<Interval>,
    pub(super) builtin_nme: Option<Interval>,
    pub(super) builtin_across: Option<Interval>,
    pub(super) dlib_nme: Option<Interval>,
    pub(super) dlib_across: Option<Interval>,
    /// Of the scatter, by the jackknife over seeds.
    pub(super) scatter_along: Option<Interval>,
    pub(super) scatter_across: Option<Interval>,
    pub(super) spearman: Option<Interval>,
    pub(super) angle: Option<Interval>,
}

/// How one loss' covariances agree with the annotators' disagreement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AgreementRow {
    pub(super) labels: Labels,
    pub(super) loss: String,
    /// With the disagreement as it is: mean over seeds of a training's own, and of the mean covariance of all seeds.
    pub(super) spearman: Option<Interval>,
    pub(super) angle: Option<Interval>,
    pub(super) of_mean: Agreement,
    /// With the disagreement without what each annotator does on every face.
    pub(super) without_bias: Agreement,
    /// Shuffled over all landmarks, and within the parts of the face.
    pub(super) nulls: [Null; 2],
    /// Median eigenvalue ratio over landmarks.
    pub(super) ratio: f64,
}

/// Natural logarithms of eigenvalue ratios landmark by landmark: of the annotators, and of each loss under their labels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Landmarks {
    pub(super) annotators: Vec<f64>,
    pub(super) losses: Vec<(String, Vec<f64>)>,
    /// Root mean square disagreement over landmarks.
    pub(super) disagreement: f64,
}

/// A pilot: what a weight was chosen by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pilot {
    pub(super) slug: String,
    pub(super) loss: String,
    pub(super) seeds: usize,
    /// On the first half of the people, means over pilot seeds.
    pub(super) tuning: Errors,
}

/// One training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) seconds: f64,
    pub(super) validation: f64,
    pub(super) human: Errors,
    pub(super) consensus: Errors,
    pub(super) builtin: Errors,
    pub(super) dlib: Option<Errors>,
    pub(super) agreement: [Agreement; 2],
}

/// The trainings of one loss under one kind of labels, by seed.
struct Cell<'a> {
    labels: Labels,
    loss: Variant,
    runs: Vec<&'a Measured>,
}

impl Outcome {
    /// Of the trainings that are there, seeds of which one is missing left out.
    ///
    /// # Errors
    /// With fewer than two complete seeds.
    pub(super) fn new(
        design: &Design,
        measured: &[Measured],
        disagreement: &[Vec<Covariance>; 2],
        builtin: Errors,
    ) -> Result<Self> {
        let find = |labels: Labels, loss: &Variant, seed: u64| {
            measured.iter().find(|m| m.job.labels == labels && m.job.variant == *loss && m.job.seed == seed)
        };
        let kinds: Vec<(Labels, Variant)> = Labels::ALL
            .iter()
            .flat_map(|labels| design.losses_under(*labels).into_iter().map(|loss| (*labels, loss)))
            .collect();
        let complete = |seed: &u64| kinds.iter().all(|(labels, loss)| find(*labels, loss, *seed).is_some());
        let seeds: Vec<u64> = (0..design.seeds).filter(complete).collect();
        ensure!(seeds.len() > 1, "expected two complete seeds, got {}; train with --resume", seeds.len());
        let cells: Vec<Cell<'_>> = kinds
            .iter()
            .map(|(labels, loss)| Cell {
                labels: *labels,
                loss: loss.clone(),
                runs: seeds.iter().filter_map(|seed| find(*labels, loss, *seed)).collect(),
            })
            .collect();
        let [plain, restricted, isotropic, star] = design.losses();
        let cell = |labels: Labels, loss: &Variant| {
            let found = cells.iter().find(|cell| cell.labels == labels && cell.loss == *loss);
            found.with_context(|| format!("{} is not in the design", loss.name))
        };
        let under = |loss: &Variant| cell(Labels::Annotator, loss);
        let contrasts = vec![
            contrast(under(&star)?, under(&restricted)?),
            contrast(under(&star)?, under(&plain)?),
            contrast(under(&star)?, under(&isotropic)?),
            contrast(under(&isotropic)?, under(&restricted)?),
            contrast(under(&restricted)?, under(&plain)?),
            contrast(cell(Labels::Consensus, &star)?, cell(Labels::Consensus, &restricted)?),
            contrast(under(&restricted)?, cell(Labels::Consensus, &restricted)?),
            contrast(under(&star)?, cell(Labels::Consensus, &star)?),
        ];
        let gates = gates(under(&restricted)?, cell(Labels::Consensus, &restricted)?, &disagreement[0]);
        let across = differences(under(&star)?, under(&restricted)?, |m| m.human.across);
        let spearman = differences(under(&star)?, under(&plain)?, |m| m.agreement[0].spearman);
        let rows = cells.iter().map(row).collect();
        let agreement = cells.iter().map(|cell| agreement(cell, disagreement)).collect();
        let losses = cells.iter().filter(|cell| cell.labels == Labels::Annotator);
        let landmarks = Landmarks {
            annotators: spread::log_ratios(&disagreement[0]),
            losses: losses.map(|c| (c.loss.name.clone(), spread::log_ratios(&mean(&c.runs)))).collect(),
            disagreement: (disagreement[0].iter().map(|c| c.xx + c.yy).sum::<f64>()
                / disagreement[0].len() as f64)
                .sqrt(),
        };
        Ok(Self {
            profile: "portraits".to_owned(),
            design: design.clone(),
            seeds: seeds.len() as u64,
            annotators: ANNOTATORS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            primary: primary(&across, &spearman, &gates)?,
            gates,
            rows,
            contrasts,
            agreement,
            landmarks,
            pilots: pilots(measured),
            builtin,
            runs: measured.iter().map(run).collect(),
        })
    }
}

fn differences(first: &Cell<'_>, second: &Cell<'_>, figure: impl Fn(&Measured) -> f64) -> Vec<f64> {
    first.runs.iter().zip(&second.runs).map(|(a, b)| figure(a) - figure(b)).collect()
}

/// Student's intervals and tests; the first is better below 0, the second above.
fn primary(across: &[f64], spearman: &[f64], gates: &[Gate; 2]) -> Result<[Primary; 2]> {
    let p = [runs::t_test(across)?, runs::t_test(spearman)?];
    let holm = star_eval::paired::holm(&p);
    let verdict = |difference: &Interval, p_holm: f64, better: f64, gate: &Gate| {
        let verdict = match difference.estimate * better > 0.0 {
            _ if !gate.passed => "not a test",
            _ if p_holm >= 1.0 - LEVEL => "undecided",
            true => "confirmed",
            false => "refuted",
        };
        verdict.to_owned()
    };
    let of = |values: &[f64], i: usize, better: f64| -> Result<Primary> {
        let difference = runs::mean(values, LEVEL)?;
        let verdict = verdict(&difference, holm[i], better, &gates[i]);
        Ok(Primary { difference, p: p[i], p_holm: holm[i], verdict })
    };
    Ok([of(across, 0, -1.0)?, of(spearman, 1, 1.0)?])
}

/// That drawn labels harm at all, and that the annotators differ in directions.
fn gates(drawn: &Cell<'_>, consensus: &Cell<'_>, disagreement: &[Covariance]) -> [Gate; 2] {
    let harm = runs::mean(&differences(drawn, consensus, |m| m.human.nme), LEVEL).ok();
    let ratios = spread::log_ratios(disagreement);
    let directed = ratios.iter().filter(|r| **r >= DIRECTED.ln()).count() as f64 / ratios.len() as f64;
    [
        Gate {
            value: harm.map_or(f64::NAN, |i| i.estimate),
            interval: harm,
            passed: harm.is_some_and(|i| i.low > 0.0),
        },
        Gate { value: directed, interval: None, passed: directed >= 0.5 },
    ]
}

/// Means over trainings; all are on the same faces.
fn means(errors: &[Errors]) -> Option<Errors> {
    let of = |figure: fn(&Errors) -> f64| errors.iter().map(figure).sum::<f64>() / errors.len() as f64;
    let first = errors.first()?;
    Some(Errors { nme: of(|e| e.nme), along: of(|e| e.along), across: of(|e| e.across), ..*first })
}

fn row(cell: &Cell<'_>) -> Row {
    let of = |set: fn(&Measured) -> Errors| -> Errors {
        let all: Vec<Errors> = cell.runs.iter().map(|m| set(m)).collect();
        means(&all).unwrap_or_else(|| set(cell.runs[0]))
    };
    let dlib: Vec<Errors> = cell.runs.iter().filter_map(|m| m.dlib).collect();
    Row {
        labels: cell.labels,
        loss: cell.loss.name.clone(),
        human: of(|m| m.human),
        consensus: of(|m| m.consensus),
        builtin: of(|m| m.builtin),
        dlib: means(&dlib),
        scatter: scatter(&cell.runs),
    }
}

/// The scatter of several trainings, along and across.
fn scatter(runs: &[&Measured]) -> Scatter {
    let count = runs.len() as f64;
    let all: Vec<Vec<[f64; 2]>> = runs.iter().map(|m| m.errors().collect()).collect();
    let landmarks = all.iter().map(Vec::len).min().unwrap_or(0);
    let variance = |axis: usize| {
        let at = |k: usize| {
            let mean = all.iter().map(|errors| errors[k][axis]).sum::<f64>() / count;
            all.iter().map(|errors| (errors[k][axis] - mean).powi(2)).sum::<f64>() / (count - 1.0)
        };
        (0..landmarks).map(at).sum::<f64>() / landmarks as f64
    };
    let [along, across] = [0, 1].map(|axis| variance(axis).sqrt());
    Scatter { along, across }
}

fn contrast(first: &Cell<'_>, second: &Cell<'_>) -> Contrast {
    let of = |figure: fn(&Measured) -> f64| runs::mean(&differences(first, second, figure), LEVEL).ok();
    let dlib = |figure: fn(&Errors) -> f64| {
        let values: Option<Vec<f64>> = (first.runs.iter().zip(&second.runs))
            .map(|(a, b)| Some(figure(a.dlib.as_ref()?) - figure(b.dlib.as_ref()?)))
            .collect();
        runs::mean(&values?, LEVEL).ok()
    };
    let jackknife = |axis: fn(&Scatter) -> f64| {
        let apart = |out: Option<usize>| {
            let [a, b] = [first, second].map(|cell| {
                let kept = cell.runs.iter().enumerate().filter(|(i, _)| Some(*i) != out);
                axis(&scatter(&kept.map(|(_, run)| *run).collect::<Vec<_>>()))
            });
            a - b
        };
        let left_out: Vec<f64> = (0..first.runs.len()).map(|i| apart(Some(i))).collect();
        runs::jackknife(apart(None), &left_out, LEVEL).ok()
    };
    let side = |cell: &Cell<'_>| format!("{} ({})", cell.loss.name, cell.labels.name());
    Contrast {
        name: format!("{} - {}", side(first), side(second)),
        nme: of(|m| m.human.nme),
        along: of(|m| m.human.along),
        across: of(|m| m.human.across),
        consensus_nme: of(|m| m.consensus.nme),
        consensus_across: of(|m| m.consensus.across),
        builtin_nme: of(|m| m.builtin.nme),
        builtin_across: of(|m| m.builtin.across),
        dlib_nme: dlib(|e| e.nme),
        dlib_across: dlib(|e| e.across),
        scatter_along: jackknife(|s| s.along),
        scatter_across: jackknife(|s| s.across),
        spearman: of(|m| m.agreement[0].spearman),
        angle: of(|m| m.agreement[0].angle),
    }
}

/// Mean covariance over trainings, landmark by landmark.
fn mean(runs: &[&Measured]) -> Vec<Covariance> {
    let mut mean = spread::MeanCovariances::default();
    runs.iter().for_each(|run| mean.add(run.predicted()));
    mean.mean()
}

fn agreement(cell: &Cell<'_>, disagreement: &[Vec<Covariance>; 2]) -> AgreementRow {
    let over = |figure: fn(&Agreement) -> f64| {
        let values: Vec<f64> = cell.runs.iter().map(|m| figure(&m.agreement[0])).collect();
        runs::mean(&values, LEVEL).ok()
    };
    let mean = mean(&cell.runs);
    let mut ratios = spread::log_ratios(&mean);
    ratios.sort_by(f64::total_cmp);
    AgreementRow {
        labels: cell.labels,
        loss: cell.loss.name.clone(),
        spearman: over(|a| a.spearman),
        angle: over(|a| a.angle),
        of_mean: spread::agreement(&mean, &disagreement[0]),
        without_bias: spread::agreement(&mean, &disagreement[1]),
        nulls: spread::nulls(&mean, &disagreement[0]),
        ratio: ratios.get(ratios.len() / 2).map_or(f64::NAN, |r| r.exp()),
    }
}

fn pilots(measured: &[Measured]) -> Vec<Pilot> {
    let mut slugs: Vec<&str> = Vec::new();
    let of = || measured.iter().filter(|m| m.job.is_pilot());
    for run in of() {
        if !slugs.contains(&run.job.variant.slug.as_str()) {
            slugs.push(&run.job.variant.slug);
        }
    }
    let pilot = |slug: &&str| {
        let runs: Vec<&Measured> = of().filter(|m| m.job.variant.slug == **slug).collect();
        let tuning: Vec<Errors> = runs.iter().map(|m| m.tuning).collect();
        Some(Pilot {
            slug: (*slug).to_owned(),
            loss: runs.first()?.job.variant.name.clone(),
            seeds: runs.len(),
            tuning: means(&tuning)?,
        })
    };
    slugs.iter().filter_map(pilot).collect()
}

fn run(m: &Measured) -> Run {
    Run {
        id: m.job.id(),
        seconds: m.seconds,
        validation: m.validation,
        human: m.human,
        consensus: m.consensus,
        builtin: m.builtin,
        dlib: m.dlib,
        agreement: m.agreement,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::design::Job;
    use super::*;

    fn errors(nme: f64, across: f64) -> Errors {
        Errors { faces: 51, nme, along: 0.04, across, on_edges: 2, left_out: 0 }
    }

    /// A training whose errors follow from loss, labels and seed.
    pub(in super::super) fn measured(job: &Job, ratio: f64) -> Measured {
        let wobble = 0.0004 * (job.seed % 3) as f64;
        let star = job.variant.name == "STAR";
        let worse = if job.labels == Labels::Annotator { 0.004 } else { 0.0 };
        let across = if star { 0.02 } else { 0.025 } + worse + wobble;
        let covariances: Vec<[f64; 3]> = (0..68)
            .map(|k| {
                let strength = if star { f64::from(k) } else { f64::from((k * 29) % 68) };
                let c = Covariance::from_axes(
                    (1.0 + ratio * strength / 20.0 + wobble).sqrt(),
                    1.0,
                    7.0 * f64::from(k),
                );
                [c.xx, c.xy, c.yy]
            })
            .collect();
        let mut measured = Measured {
            job: job.clone(),
            weights: "hash".into(),
            scored: "hash".into(),
            seconds: 1.0,
            validation: 0.05,
            human: errors(0.04 + worse + 0.5 * wobble, across),
            tuning: errors(0.05, 0.03),
            consensus: errors(0.04, 0.02),
            builtin: errors(0.03, 0.02),
            dlib: Some(errors(0.07, 0.05)),
            agreement: [Agreement { spearman: 0.0, angle: 45.0 }; 2],
            covariances,
            // One landmark is the same in all trainings, the other moves by a hundredth a seed, along alone.
            residuals: vec![[1000, -500], [1000 * (job.seed % 3) as i32, 200]],
        };
        measured.agreement = [spread::agreement(&measured.predicted(), &reference()); 2];
        measured
    }

    /// Annotators whose ratio grows with the landmark's number.
    pub(in super::super) fn reference() -> Vec<Covariance> {
        (0..68)
            .map(|k| Covariance::from_axes((2.0 + f64::from(k) / 10.0).sqrt(), 1.0, 7.0 * f64::from(k)))
            .collect()
    }

    fn outcome(ratio: f64) -> Outcome {
        let design = Design::new(true, Some(3), None);
        let all: Vec<Measured> = design.jobs().iter().map(|job| measured(job, ratio)).collect();
        Outcome::new(&design, &all, &[reference(), reference()], errors(0.03, 0.02)).unwrap()
    }

    #[test]
    fn primary_outcomes_follow_from_paired_seeds_and_gates() {
        let found = outcome(1.0);
        assert_eq!((found.seeds, found.rows.len(), found.pilots.len()), (3, 6, 9));
        // 0.024 against 0.029 under every seed.
        assert!((found.primary[0].difference.estimate + 0.005).abs() < 1e-9);
        assert_eq!(found.primary[0].verdict, "confirmed");
        // STAR's ratios grow with those of the annotators, the others' are in another order.
        assert!(found.primary[1].difference.estimate > 0.5 && found.primary[1].verdict == "confirmed");
        assert!(found.gates.iter().all(|gate| gate.passed) && (found.gates[0].value - 0.004).abs() < 1e-9);
        assert!(found.primary.iter().all(|p| p.p_holm >= p.p));
    }

    #[test]
    fn a_gate_that_fails_makes_its_outcome_no_test() {
        let design = Design::new(false, Some(3), None);
        let all: Vec<Measured> = design
            .jobs()
            .iter()
            .map(|job| Measured { human: errors(0.04, 0.02 + 1e-5 * job.seed as f64), ..measured(job, 1.0) })
            .collect();
        let isotropic = vec![Covariance { xx: 1.0, xy: 0.0, yy: 1.0 }; 68];
        let found = Outcome::new(&design, &all, &[isotropic.clone(), isotropic], errors(0.03, 0.02)).unwrap();
        assert_eq!(found.primary.map(|p| p.verdict), ["not a test", "not a test"]);
    }

    #[test]
    fn scatter_is_the_deviation_over_seeds_and_needs_more_than_one() {
        let found = outcome(1.0);
        // Positions 0, 0.01 and 0.02 along at one of two landmarks: a deviation of 0.01, so the root of 1e-4 / 2.
        let scatter = found.rows[0].scatter;
        assert!((scatter.along - (0.5e-4f64).sqrt()).abs() < 1e-9 && scatter.across < 1e-12);
        let design = Design::new(false, Some(3), None);
        let one: Vec<Measured> =
            design.jobs().iter().filter(|job| job.seed == 0).map(|job| measured(job, 1.0)).collect();
        let message =
            Outcome::new(&design, &one, &[reference(), reference()], errors(0.03, 0.02)).unwrap_err();
        assert!(message.to_string().contains("two complete seeds, got 1"), "{message}");
    }
}
