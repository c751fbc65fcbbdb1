//! Questions about models on their way to the field thread, and the answers on their way back: both bounded.
use std::sync::Mutex;

use super::lock;
use crate::field::ModelQuestion;
use crate::modbus::amend::AmendStep;
use crate::modbus::survey::SurveyResult;

/// Most questions that wait for the next tick.
pub const QUESTIONS_MAX: usize = 16;
/// Most answers that nobody has taken; the oldest goes first, whoever asked has given up long ago.
pub const ANSWERS_MAX: usize = 64;

/// What is asked, and what is to be changed in the model.
type Question = (ModelQuestion, Vec<AmendStep>);

/// Between Python and the field thread.
#[derive(Debug, Default)]
pub struct SurveyBoard {
    questions: Mutex<(u64, Vec<Question>)>,
    answers: Mutex<Vec<SurveyResult>>,
}

impl SurveyBoard {
    /// Takes a question and gives it its ticket; `None`: too many wait already.
    pub fn ask(&self, question: ModelQuestion, steps: Vec<AmendStep>) -> Option<u64> {
        let mut questions = lock(&self.questions);
        let (ticket, waiting) = &mut *questions;
        (waiting.len() < QUESTIONS_MAX).then_some(())?;
        *ticket = ticket.saturating_add(1);
        waiting.push((ModelQuestion { ticket: *ticket, ..question }, steps));
        Some(*ticket)
    }

    /// All questions since the last call.
    pub fn take_questions(&self) -> Vec<Question> {
        std::mem::take(&mut lock(&self.questions).1)
    }

    /// Adds answers.
    pub fn answer(&self, new: impl IntoIterator<Item = SurveyResult>) {
        let mut answers = lock(&self.answers);
        answers.extend(new);
        let excess = answers.len().saturating_sub(ANSWERS_MAX);
        answers.drain(..excess);
    }

    /// All answers since the last call.
    pub fn take_answers(&self) -> Vec<SurveyResult> {
        std::mem::take(&mut *lock(&self.answers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::survey::{SurveyFailure, Surveyed};
    use crate::units::{AssetIndex, Micros};

    const QUESTION: ModelQuestion =
        ModelQuestion { ticket: 0, asset: AssetIndex(0), model: 1, occurrence: 0, deadline: Micros::ZERO };

    #[test]
    fn questions_and_answers_are_bounded() {
        let board = SurveyBoard::default();
        let tickets: Vec<_> = (0..=QUESTIONS_MAX).map(|_| board.ask(QUESTION, Vec::new())).collect();
        assert_eq!((tickets[0], tickets[QUESTIONS_MAX]), (Some(1), None));
        assert_eq!(board.take_questions().len(), QUESTIONS_MAX);
        assert_eq!(board.take_questions(), []);
        board.answer((0..100).map(|ticket| (ticket, Err((SurveyFailure::Silent, Surveyed::default())))));
        let kept = board.take_answers();
        assert_eq!((kept.len(), kept[0].0), (ANSWERS_MAX, 36));
    }
}
