//! A unit that does not answer is asked ever more seldom, so that its neighbours on the line keep their rate.
//!
//! ```text
//! closed ── silent SILENT_MAX times ──> open for OPEN_FIRST ── one try ── silent ──> open twice as long, to OPEN_MAX
//!    ^───────────────────────────────────── any answer ─────────┘
//! ```
use crate::units::Micros;

/// Requests in a row without an answer before the unit is left alone.
pub const SILENT_MAX: u32 = 3;
/// First pause; doubles with each try that fails.
pub const OPEN_FIRST: Micros = Micros::from_millis(1_000);
/// Longest pause.
pub const OPEN_MAX: Micros = Micros::from_millis(60_000);

/// State of one unit's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    silent: u32,
    pause: Micros,
    until: Micros,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { silent: 0, pause: Micros::ZERO, until: Micros::new(i64::MIN) }
    }
}

impl Breaker {
    /// From when on the unit may be asked.
    pub fn until(&self) -> Micros {
        self.until
    }

    /// Whether it is left alone, or was when it was asked last.
    pub fn is_open(&self) -> bool {
        self.silent >= SILENT_MAX
    }

    /// It has answered, whatever it said.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// It has not answered.
    pub fn silent(&mut self, now: Micros) {
        self.silent = self.silent.saturating_add(1);
        if self.is_open() {
            self.pause = (self.pause + self.pause).max(OPEN_FIRST).min(OPEN_MAX);
            self.until = now + self.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_limit_and_one_answer_ends_them() {
        let (mut breaker, mut now, mut pauses) = (Breaker::default(), Micros::ZERO, Vec::new());
        for _ in 0..12 {
            breaker.silent(now);
            pauses.push((breaker.until().max(now) - now).to_millis().get() / 1000);
            now = breaker.until().max(now);
        }
        assert_eq!(pauses, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        breaker.answered();
        assert_eq!((breaker.is_open(), breaker.until()), (false, Micros::new(i64::MIN)));
    }
}
