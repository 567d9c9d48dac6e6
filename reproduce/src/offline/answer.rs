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
    /// Corrected by Holm for the questions asked together; `None` for those asked beside them.
    pub(crate) p_holm: Option<f64>,
    /// `None` for a question asked beside the primary ones.
    pub(crate) verdict: Option<Verdict>,
}

/// What is concluded of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Confirmed,
    /// The opposite is significant.
    Refuted,
    /// Neither is, after correction.
    NotDecided,
    /// A condition of the question did not hold, whatever the difference is.
    NotATest,
    /// Too few trainings, of the question or of one of its conditions.
    NotMeasured,
}

/// Answers to questions, without correction or verdict.
pub(super) fn answers(runs: &Runs<'_>, questions: &[Question]) -> Vec<Answer> {
    questions.iter().map(|question| answer(runs, question)).collect()
}

/// The verdicts on primary questions, corrected for the number that was asked, measured or not; `tested` is whether their conditions hold,
/// `None` where one of these is not measured.
pub(super) fn verdicts(mut all: Vec<Answer>, tested: Option<bool>) -> Vec<Answer> {
    let probabilities: Vec<f64> = all.iter().map(|answer| answer.p.unwrap_or(1.0)).collect();
    for (answer, p) in all.iter_mut().zip(star_eval::paired::holm(&probabilities)) {
        answer.p_holm = answer.p.map(|_| p);
        answer.verdict = Some(verdict(answer, tested));
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
        verdict: None,
    }
}

fn verdict(answer: &Answer, tested: Option<bool>) -> Verdict {
    match (answer.across.zip(answer.p_holm), tested) {
        (None, _) | (_, None) => Verdict::NotMeasured,
        (_, Some(false)) => Verdict::NotATest,
        (Some((_, p)), _) if p >= 1.0 - LEVEL => Verdict::NotDecided,
        (Some((across, _)), _) if across.estimate < 0.0 => Verdict::Confirmed,
        _ => Verdict::Refuted,
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
            verdict: None,
        };
        assert_eq!(verdict(&answer(-0.4, 0.01), Some(true)), Verdict::Confirmed);
        assert_eq!(verdict(&answer(-0.4, 0.01), None), Verdict::NotMeasured);
        assert_eq!(verdict(&answer(0.4, 0.01), Some(true)), Verdict::Refuted);
        assert_eq!(verdict(&answer(-0.4, 0.06), Some(true)), Verdict::NotDecided);
        assert_eq!(verdict(&answer(-0.4, 0.01), Some(false)), Verdict::NotATest);
        let unmeasured = Answer { across: None, p: None, p_holm: None, ..answer(-0.4, 0.01) };
        assert_eq!(verdict(&unmeasured, Some(true)), Verdict::NotMeasured);
        // Two were asked, whether both are measured or not.
        let both = verdicts(vec![answer(-0.4, 0.08), unmeasured], Some(true));
        assert_eq!((both[0].p, both[0].p_holm, both[1].p_holm), (Some(0.04), Some(0.08), None));
        assert_eq!(
            both.iter().map(|answer| answer.verdict).collect::<Vec<_>>(),
            [Some(Verdict::NotDecided), Some(Verdict::NotMeasured)]
        );
    }
}
