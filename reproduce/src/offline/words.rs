//! The report of an offline run: every sentence follows from its numbers.

use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::subject_name;
use super::gain::{Dose, Gain};
use super::measure::THRESHOLD;
use super::outcome::Outcome;
use super::phrase::{difference, percent, place, probability};
use super::{ablation, control, direction, runaway, stability};
use crate::document::{Document, Figure, Section};

/// The report.
pub(crate) fn document(outcome: &Outcome) -> Document {
    let design = &outcome.design;
    let regime = &design.regime;
    let mut sections = vec![gains(outcome)];
    sections.push(doses(outcome));
    sections.extend(control::section(design, &outcome.controls));
    sections.push(stability::section(&outcome.stability, outcome.reruns.as_ref()));
    sections.push(direction::section(&outcome.directions));
    sections.push(runaway::section(&outcome.runaway));
    sections.push(ablation::section(&outcome.ablations, &outcome.left_out));
    sections.push(kinds(outcome));
    Document {
        title: format!("STAR on drawn pictures{}", if design.thorough { ", thorough run" } else { "" }),
        lead: vec![
            format!(
                "Faces (98 keypoints) and hands (21) are drawn, so that the truth is known exactly. Their labels err as people's \
                 do: along a keypoint's edge much, across it little, once for each picture. Strength is a factor on that error: 0 \
                 labels exactly, 1 as people are imagined to (2.5 % of the inter-ocular distance on average, 4.1 % on the contour), \
                 3 is a hurried annotator. The strengths are chosen, not measured on people."
            ),
            format!(
                "One network ({} stack of {} levels, {} channels, {} px, no attention branch, so that the landmark term is the whole \
                 loss) is trained {} epochs on {} faces at learning rate {}, or {} epochs on {} hands at {}, with ambiguous labels, and \
                 scored against the exact truth of {} unseen pictures. Trainings of one seed share weights at the start and the order of the data; only the \
                 loss differs. NME is in % of the normalizer, FR and AUC are at {THRESHOLD:.2}.",
                1,
                regime.levels,
                regime.channels,
                regime.image_size,
                regime.faces.epochs,
                regime.faces.train,
                regime.faces.learning_rate,
                regime.hands.epochs,
                regime.hands.train,
                regime.hands.learning_rate,
                regime.test
            ),
            format!(
                "Intervals hold 95 %. Those over seeds are Student's on {} paired trainings (hands {}): every seed has its own pictures, \
                 annotator and weights at the start, so that they speak of doing it all again but for the test pictures; those over pictures are bootstrapped from \
                 errors averaged over the seeds and speak of other test pictures for these trainings only. Differences are STAR less \
                 smooth-L1: negative is better for STAR. The question asked beforehand is of NME in {} comparisons; its verdicts are of \
                 t-tests corrected by Holm for their number. Every other interval stands alone, uncorrected: of a hundred such, five \
                 miss by chance.",
                design.seeds,
                design.hand_seeds,
                outcome.gains.len()
            ),
        ],
        warnings: match outcome.trainings {
            [done, planned] if done < planned => vec![format!(
                "Not finished: {done} of {planned} trainings are done; each comparison is of the seeds that are complete."
            )],
            _ => Vec::new(),
        },
        sections,
    }
}

fn gains(outcome: &Outcome) -> Section {
    let mut section = Section::new("gain", "Does STAR lower the error against the truth?");
    for gain in &outcome.gains {
        section.text(sentence(gain));
    }
    for subject in [Subject::Face, Subject::Hand] {
        if let Some(warning) = hardly_learnt(outcome, subject) {
            section.text(warning);
        }
    }
    let rows = outcome.gains.iter().flat_map(|gain| {
        let row = |name: &str, f: &super::gain::Figures| {
            vec![
                format!("{}, strength {}, {name}", subject_name(gain.subject), gain.strength),
                match f.nme_deviation {
                    Some(deviation) => format!("{} ± {}", percent(f.nme, 3), percent(deviation, 3)),
                    None => percent(f.nme, 3),
                },
                percent(f.failure_rate, 2),
                format!("{:.4}", f.auc),
                percent(f.lopsided, 3),
                percent(f.others, 3),
                percent(f.along, 2),
                percent(f.across, 2),
            ]
        };
        [row("smooth-L1", &gain.plain), row("STAR", &gain.star)]
    });
    section.table(
        &[
            "pictures and loss",
            "NME % ± deviation over seeds",
            "FR@0.10 %",
            "AUC@0.10",
            "NME % of ambiguous keypoints",
            "of the others",
            "RMS error along % (ambiguous)",
            "across %",
        ],
        rows.collect(),
    );
    let rows = outcome.gains.iter().map(|gain| {
        let paired = &gain.images.paired;
        vec![
            format!("{}, strength {}", subject_name(gain.subject), gain.strength),
            difference(gain.nme, 100.0, 3),
            gain.nme_p.map_or("-".into(), probability),
            gain.nme_p_holm.map_or("-".into(), probability),
            gain.verdict().to_string(),
            difference(gain.failure_rate, 100.0, 2),
            difference(gain.lopsided, 100.0, 3),
            difference(gain.others, 100.0, 3),
            difference(Some(gain.images.difference), 100.0, 3),
            format!("{} / {}", paired.better, paired.worse),
            paired.wilcoxon.map_or("-".into(), |w| probability(w.p)),
        ]
    });
    section.heading("STAR less smooth-L1");
    section.table(
        &[
            "pictures",
            "NME points, over seeds",
            "t-test p",
            "by Holm",
            "says",
            "FR@0.10 points, over seeds",
            "NME of ambiguous keypoints",
            "of the others",
            "NME points, over pictures",
            "pictures better / worse",
            "signed-rank p",
        ],
        rows.collect(),
    );
    let curves = outcome.figures.iter().map(|f| (f.variant.clone(), f.per_picture.clone())).collect();
    section.figure(
        format!("Cumulative error, strength 1: {}, errors averaged over seeds.", place(Subject::Face)),
        Figure::Cumulative { curves, max: 0.15 },
    );
    section
}

/// What must be said of a subject that neither loss teaches the network in this budget.
fn hardly_learnt(outcome: &Outcome, subject: Subject) -> Option<String> {
    let of = || outcome.gains.iter().filter(|gain| gain.subject == subject);
    let failed = of().map(|gain| gain.plain.failure_rate.min(gain.star.failure_rate)).fold(1.0, f64::min);
    let noise =
        of().map(|gain| (gain.plain.nme_deviation.unwrap_or(0.0) / gain.plain.nme).abs()).fold(0.0, f64::max);
    (of().next().is_some() && failed > 0.25).then(|| {
        format!(
            "At least {} % of the {}s are failures at every strength, and trainings differ by up to {} % of the error with the seed: in \
             this budget neither loss teaches the network its task, and how far it came outweighs what the loss does.",
            percent(failed, 0),
            subject_name(subject),
            percent(noise, 0)
        )
    })
}

/// The comparison in a sentence.
pub(crate) fn sentence(gain: &Gain) -> String {
    let relative = 100.0 * (gain.star.nme / gain.plain.nme - 1.0);
    format!(
        "{}s at strength {}: NME {} % with STAR, {} % with smooth-L1 ({relative:+.1} %), a difference of {} points over {} paired seeds: {}. FR@0.10: {} points.",
        subject_name(gain.subject),
        gain.strength,
        percent(gain.star.nme, 2),
        percent(gain.plain.nme, 2),
        difference(gain.nme, 100.0, 2),
        gain.seeds,
        gain.verdict(),
        difference(gain.failure_rate, 100.0, 2),
    )
}

/// What a slope says.
fn growth(interval: Option<Interval>) -> &'static str {
    match interval {
        Some(i) if i.low > 0.0 => "grows with ambiguity",
        Some(i) if i.high < 0.0 => "shrinks with ambiguity",
        Some(_) => "cannot be said to depend on ambiguity",
        None => "one seed: no interval",
    }
}

fn doses(outcome: &Outcome) -> Section {
    let mut section = Section::new("dose", "Does the gain grow with ambiguity and vanish without it?");
    for dose in &outcome.doses {
        section.text(dose_sentence(outcome, dose));
    }
    let subjects = [Subject::Face, Subject::Hand];
    let series = subjects.iter().filter_map(|subject| {
        let points: Vec<(f64, Interval)> = outcome
            .gains
            .iter()
            .filter(|gain| gain.subject == *subject)
            .filter_map(|gain| {
                let i = gain.nme?;
                let turned = Interval {
                    estimate: -100.0 * i.estimate,
                    low: -100.0 * i.high,
                    high: -100.0 * i.low,
                    level: i.level,
                };
                Some((gain.strength, turned))
            })
            .collect();
        (!points.is_empty()).then(|| (format!("{}s", subject_name(*subject)), points))
    });
    let series: Vec<_> = series.collect();
    if !series.is_empty() {
        section.figure(
            "Gain of STAR over smooth-L1 in points of NME (above 0 is better for STAR) by strength of ambiguity, with intervals over \
             seeds.",
            Figure::Intervals { axes: ["strength of the label noise", "gain, points of NME"], series },
        );
    }
    section
}

/// What is said of a subject.
pub(crate) fn dose_sentence(outcome: &Outcome, dose: &Dose) -> String {
    let none = outcome.gain(dose.subject, 0.0).and_then(|gain| gain.nme);
    let without = match none {
        Some(i) if i.high < 0.0 => "does not vanish: STAR is better with exact labels too",
        Some(i) if i.low > 0.0 => "turns into a loss",
        Some(_) => "cannot be told from none",
        None => "has no interval (one seed)",
    };
    format!(
        "{}s: the gain {}: {} points of NME per unit of strength; at strength {} it is {} points larger than at 0. Without label noise \
         the gain {without}.",
        subject_name(dose.subject),
        growth(dose.slope),
        difference(dose.slope, 100.0, 3),
        dose.strengths.last().copied().unwrap_or(0.0),
        difference(dose.strongest_less_none, 100.0, 2),
    )
}

fn kinds(outcome: &Outcome) -> Section {
    let mut section =
        Section::new("kinds", "The paper's figures on drawn faces (kinds 1, 2, 3, 5), strength 1");
    let average =
        |values: &[f64], range: &[usize]| range.iter().map(|&k| values[k]).sum::<f64>() / range.len() as f64;
    let contour: Vec<usize> = (0..33).collect();
    let rest: Vec<usize> = (33..98).collect();
    let corners = [60, 64, 68, 72];
    let rows = outcome.figures.iter().map(|f| {
        let ratio = |(value, count): (Option<f64>, usize)| match value {
            Some(value) => format!("{value:.2} ({count} pictures)"),
            None => "no such picture".to_string(),
        };
        vec![
            f.variant.clone(),
            format!("{:.2}", average(&f.keypoint_ratios, &corners)),
            format!("{:.2}", average(&f.keypoint_ratios, &contour)),
            ratio(f.easy),
            ratio(f.hard),
            percent(average(&f.keypoint_errors, &contour), 3),
            percent(average(&f.keypoint_errors, &rest), 3),
        ]
    });
    section.table(
        &[
            "loss",
            "eigenvalue ratio of eye corners (kind 2)",
            "of the contour",
            "of easy pictures, NME below 3 % (kind 3)",
            "of hard pictures, above 8 %",
            "NME % of the contour (kind 5)",
            "of the rest",
        ],
        rows.collect(),
    );
    for f in &outcome.figures {
        section.figure(
            format!(
                "Eigenvalue ratio of each keypoint with {} (kind 1): {}.",
                f.variant,
                place(Subject::Face)
            ),
            Figure::Bars { axes: ["keypoint", "eigenvalue ratio"], values: f.keypoint_ratios.clone() },
        );
    }
    section
}

#[cfg(test)]
mod tests {
    use super::super::phrase::verdict;
    use super::*;

    fn at(low: f64, high: f64) -> Option<Interval> {
        Some(Interval { estimate: (low + high) / 2.0, low, high, level: 0.95 })
    }

    #[test]
    fn words_follow_from_intervals() {
        assert_eq!(verdict(at(-0.2, -0.1)), "STAR is better");
        assert_eq!(verdict(at(0.1, 0.2)), "STAR is worse");
        assert_eq!(verdict(at(-0.1, 0.2)), "cannot be told apart");
        assert_eq!(verdict(None), "one seed: no interval");
        assert_eq!(growth(at(0.1, 0.2)), "grows with ambiguity");
        assert_eq!(growth(at(-0.1, 0.2)), "cannot be said to depend on ambiguity");
        assert_eq!(difference(at(-0.002, -0.001), 100.0, 2), "-0.15 (-0.20 to -0.10)");
    }
}
