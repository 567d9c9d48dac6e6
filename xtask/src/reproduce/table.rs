//! The table, beside the paper's figures, as Markdown and JSON, and the plots.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use star_cli::output;
use star_eval::{Ced, ced_svg, curves_svg};

use super::measure::{RunResult, THRESHOLD};
use super::plan::{self, Method, Plan};

/// The paper's table (published with its code) on WFLW test, full, inter-ocular: NME %, FR@0.10 %, AUC@0.10.
const PAPER: [(&str, &str); 3] = [
    ("STAR (smooth-L1), WFLW photographs", "4.02 | 2.32 | 0.605"),
    ("same network, ADNet's loss, WFLW photographs", "4.14 | 2.72 | 0.602"),
    ("same network, plain smooth-L1, WFLW photographs", "not available | not available | not available"),
];

/// The whole outcome, for machines.
#[derive(Serialize)]
struct Outcome<'a> {
    profile: &'static str,
    data: &'static str,
    ruler: &'static str,
    threshold: f64,
    strength: f64,
    train_faces: usize,
    test_faces: usize,
    plan: &'a Plan,
    runs: &'a [RunResult],
    /// Mean over seeds of (STAR - smooth-L1), and the standard error of that mean; negative is better for STAR.
    nme_difference: f64,
    nme_difference_standard_error: Option<f64>,
}

/// Writes everything into `out`; returns the Markdown.
pub(crate) fn write(plan: &Plan, results: &[RunResult], out: &Path) -> Result<String> {
    let differences = paired(results, |r| r.nme);
    let (difference, error) = mean_and_error(&differences);
    let text = markdown(plan, results, difference, error)?;
    let outcome = Outcome {
        profile: "offline",
        data: "synthetic",
        ruler: "inter-ocular",
        threshold: THRESHOLD,
        strength: plan::STRENGTH,
        train_faces: plan::TRAIN_FACES,
        test_faces: plan::TEST_FACES,
        plan,
        runs: results,
        nme_difference: difference,
        nme_difference_standard_error: error,
    };
    output::write_renamed(&out.join("report.json"), serde_json::to_string_pretty(&outcome)?.as_bytes())?;
    output::write_renamed(&out.join("report.md"), text.as_bytes())?;
    plots(results, out)?;
    Ok(text)
}

/// STAR less smooth-L1 under each seed.
fn paired(results: &[RunResult], figure: impl Fn(&RunResult) -> f64) -> Vec<f64> {
    let of = |method: Method, seed: u64| {
        results.iter().find(|r| r.method == method && r.seed == seed).map(&figure)
    };
    let seeds = results.iter().filter(|r| r.method == Method::Star).map(|r| r.seed);
    seeds.filter_map(|seed| Some(of(Method::Star, seed)? - of(Method::SmoothL1, seed)?)).collect()
}

/// Mean, and from two values on the standard error of the mean.
fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()))
}

fn markdown(plan: &Plan, results: &[RunResult], difference: f64, error: Option<f64>) -> Result<String> {
    let mut text = format!(
        "# Offline profile: *synthetic* faces\n\n\
         Generated faces, 98 points. Training labels are ambiguous (strength {}): noise along a landmark's edge, little \
         across it. Scores are against the exact truth of {} unseen faces. Same network, data, budget ({} epochs of {} \
         faces) and seeds; only the landmark term of the loss differs. NME is in % of the inter-ocular distance, FR and \
         AUC at {THRESHOLD:.2}.\n\n\
         | loss, synthetic faces | seed | NME % | FR % | AUC | contour NME % | rest NME % | contour error along / across % | \
         axis off tangent | eigenvalue ratio |\n|---|---|---|---|---|---|---|---|---|---|\n",
        plan::STRENGTH,
        plan::TEST_FACES,
        plan.epochs,
        plan::TRAIN_FACES
    );
    for method in Method::ALL {
        let runs: Vec<&RunResult> = results.iter().filter(|r| r.method == method).collect();
        for run in &runs {
            row(&mut text, method.name(), &run.seed.to_string(), std::slice::from_ref(run))?;
        }
        row(&mut text, &format!("**{}**", method.name()), "mean", &runs)?;
    }
    let spread =
        error.map_or("one seed, no spread".to_string(), |e| format!("standard error {:.3}", 100.0 * e));
    writeln!(
        text,
        "\nSTAR less smooth-L1: {:+.3} points of NME ({spread}, {} paired seeds). Negative means STAR is better.\n",
        100.0 * difference,
        plan.seeds
    )?;
    text.push_str(
        "The paper's own figures, for orientation only: real photographs and the full-size network.\n\n\
         | paper, WFLW test full, inter-ocular | NME % | FR@0.10 % | AUC@0.10 |\n|---|---|---|---|\n",
    );
    for (name, figures) in PAPER {
        writeln!(text, "| {name} | {figures} |")?;
    }
    Ok(text)
}

/// One line of the table: the mean of `runs`.
fn row(text: &mut String, name: &str, seed: &str, runs: &[&RunResult]) -> Result<()> {
    let mean =
        |figure: &dyn Fn(&RunResult) -> f64| runs.iter().map(|r| figure(r)).sum::<f64>() / runs.len() as f64;
    let percent = |figure: &dyn Fn(&RunResult) -> f64| 100.0 * mean(figure);
    writeln!(
        text,
        "| {name} | {seed} | {:.3} | {:.2} | {:.4} | {:.3} | {:.3} | {:.2} / {:.2} | {:.0}° | {:.1} |",
        percent(&|r| r.nme),
        percent(&|r| r.failure_rate),
        mean(&|r| r.auc),
        percent(&|r| r.contour),
        percent(&|r| r.rest),
        percent(&|r| r.along),
        percent(&|r| r.across),
        mean(&|r| r.axis_angle),
        mean(&|r| r.elongation),
    )?;
    Ok(())
}

fn plots(results: &[RunResult], out: &Path) -> Result<()> {
    let label = |run: &RunResult| format!("{}, seed {}", run.method.name(), run.seed);
    let labels: Vec<String> = results.iter().map(label).collect();
    let curves = |figure: fn(&RunResult) -> &[(f64, f64)]| -> Vec<(&str, &[(f64, f64)])> {
        labels.iter().map(String::as_str).zip(results.iter().map(figure)).collect()
    };
    let loss = curves_svg("Loss (synthetic faces)", "step", "mean total loss", &curves(|r| &r.loss_curve))?;
    output::write_renamed(&out.join("loss.svg"), loss.as_bytes())?;
    let validation = curves_svg(
        "Validation on ambiguous labels (synthetic faces)",
        "step",
        "NME in % of inter-ocular",
        &curves(|r| &r.validation_curve),
    )?;
    output::write_renamed(&out.join("validation.svg"), validation.as_bytes())?;
    let pooled: Vec<(Method, Ced)> = Method::ALL
        .into_iter()
        .map(|method| {
            let errors =
                results.iter().filter(|r| r.method == method).flat_map(|r| r.per_face.clone()).collect();
            Ok((method, Ced::new(errors)?))
        })
        .collect::<Result<_>>()?;
    let named =
        |(method, ced): (Method, Ced)| (format!("{}, synthetic faces, inter-ocular", method.name()), ced);
    let pooled: Vec<(String, Ced)> = pooled.into_iter().map(named).collect();
    let curves: Vec<(&str, &Ced)> = pooled.iter().map(|(label, ced)| (label.as_str(), ced)).collect();
    output::write_renamed(&out.join("ced.svg"), ced_svg(&curves, 0.15)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_pair_runs_of_one_seed() {
        // (3 - 5) and (8 - 7): mean -0.5, deviations 1.5 each, so sqrt(4.5 / 1 / 2)
        let (mean, error) = mean_and_error(&[-2.0, 1.0]);
        assert_eq!((mean, error), (-0.5, Some(1.5)));
        assert_eq!(mean_and_error(&[4.0]), (4.0, None));
    }
}
