//! Answers to questions: a difference over paired seeds, tested, with a verdict.

use serde::Serialize;
use star_eval::Interval;

use super::design::Question;
use super::measure::Record;
use super::runs::{LEVEL, Runs, over_seeds};

/// What a question was answered with; differences in points of per cent of the normalizer, below 0 where STAR is better.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) claim: String,
    pub(crate) difference: String,
    pub(crate) seeds: usize,
    /// The primary figure: root mean square error across. `None` for fewer than three seeds.
    pub(crate) across: Option<Interval>,
    pub(crate) along: Option<Interval>,
    pub(crate) nme: Option<Interval>,
    /// Student's test of `across` over seeds.
    pub(crate) p: Option<f64>,
    /// Corrected by Holm for the questions asked together.
    pub(crate) p_holm: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// What is concluded of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Confirmed,
    /// The opposite is significant.
    Refuted,
    /// Neither is: the interval holds 0.
    NotDecided,
    /// A condition of the question did not hold, whatever the difference is.
    NotATest,
    /// Too few trainings.
    NotMeasured,
}

/// Answers to questions that are corrected together; `tested` is whether their conditions hold, `None` where they have none or these were
/// not measured.
pub(super) fn answers(runs: &Runs<'_>, questions: &[Question], tested: Option<bool>) -> Vec<Answer> {
    let mut all: Vec<Answer> = questions.iter().map(|question| answer(runs, question)).collect();
    let measured: Vec<usize> = (0..all.len()).filter(|&i| all[i].p.is_some()).collect();
    let probabilities: Vec<f64> = measured.iter().filter_map(|&i| all[i].p).collect();
    for (&i, p) in measured.iter().zip(star_eval::paired::holm(&probabilities)) {
        all[i].p_holm = Some(p);
    }
    for answer in &mut all {
        answer.verdict = verdict(answer, tested);
    }
    all
}

fn answer(runs: &Runs<'_>, question: &Question) -> Answer {
    let across = runs.answer(question, |record: &Record| record.across);
    Answer {
        id: question.id.clone(),
        claim: question.claim.clone(),
        difference: question.difference.clone(),
        seeds: across.len(),
        p: over_seeds(&across).and_then(|_| star_eval::runs::t_test(&across).ok()),
        across: over_seeds(&across),
        along: over_seeds(&runs.answer(question, |record| record.along)),
        nme: over_seeds(&runs.answer(question, |record| record.nme)),
        p_holm: None,
        verdict: Verdict::NotMeasured,
    }
}

fn verdict(answer: &Answer, tested: Option<bool>) -> Verdict {
    let Some((across, p)) = answer.across.zip(answer.p_holm) else { return Verdict::NotMeasured };
    if tested == Some(false) {
        Verdict::NotATest
    } else if p >= 1.0 - LEVEL {
        Verdict::NotDecided
    } else if across.estimate < 0.0 {
        Verdict::Confirmed
    } else {
        Verdict::Refuted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_follows_from_the_gates_the_corrected_test_and_the_sign() {
        let answer = |estimate: f64, p: f64| Answer {
            id: String::new(),
            claim: String::new(),
            difference: String::new(),
            seeds: 4,
            across: Some(Interval { estimate, low: estimate - 1.0, high: estimate + 1.0, level: LEVEL }),
            along: None,
            nme: None,
            p: Some(p / 2.0),
            p_holm: Some(p),
            verdict: Verdict::NotMeasured,
        };
        assert_eq!(verdict(&answer(-0.4, 0.01), Some(true)), Verdict::Confirmed);
        assert_eq!(verdict(&answer(-0.4, 0.01), None), Verdict::Confirmed);
        assert_eq!(verdict(&answer(0.4, 0.01), Some(true)), Verdict::Refuted);
        assert_eq!(verdict(&answer(-0.4, 0.06), Some(true)), Verdict::NotDecided);
        assert_eq!(verdict(&answer(-0.4, 0.01), Some(false)), Verdict::NotATest);
        assert_eq!(verdict(&Answer { across: None, ..answer(-0.4, 0.01) }, Some(true)), Verdict::NotMeasured);
    }
}
