//! Measures what a line costs while it is used, and says when the plan rests on figures that no longer hold.
//!
//! ```text
//! (registers, line time) ── clip outliers ──> moving means, variance, covariance ── slope, level ──> LineCost
//!                                                                           away from the plan's for long ──> replan
//! ```
//!
//! Integers only, so that a recorded run gives the same plans again. Reads of one length say nothing about the slope:
//! there it stays at the start value. A transaction without a good answer must not be observed: a timeout tells what
//! the configuration waits, not what the line costs.
use super::cost::LineCost;
use crate::units::{Micros, Nanos};

/// Observations after which an older one counts a third as much as a new one.
const MEMORY: i64 = 64;
/// Observations before outliers are told from the rest.
const WARM_UP: i64 = 8;
/// An observation further from the expected than so many mean deviations is clipped.
const CLIP_DEVIATIONS: i64 = 4;
/// A deviation within 1/20 of the expected, plus this, is never clipped.
const CLIP_LEAST: Nanos = Nanos::new(50_000);
/// How much the start value of the slope weighs: as reads that differ by two registers (standard deviation).
const SLOPE_PRIOR: i64 = 4 * UNIT * UNIT;
/// Registers are reckoned in 1/1024.
const UNIT: i64 = 1024;
/// Longest line time taken as it is.
const LONGEST: Nanos = Nanos::new(10_000_000_000);

/// A cost this far from the plan's, for so many observations in a row, makes a new plan worth it.
const AWAY_PERMILLE: i64 = 250;
const AWAY_OBSERVATIONS: u32 = 32;
/// Closer than this ends a count.
const BACK_PERMILLE: i64 = 150;
/// Lengths at which costs are compared.
const COMPARED: [u16; 2] = [1, 125];

/// The measured cost of one line.
#[derive(Clone, Debug)]
pub struct CostEstimator {
    /// Nothing is cheaper: the wire's own arithmetic.
    floor: LineCost,
    start: LineCost,
    now: LineCost,
    planned: LineCost,
    observations: i64,
    registers_mean: i64,
    time_mean: i64,
    registers_variance: i128,
    covariance: i128,
    deviation: i64,
    away: u32,
}

impl CostEstimator {
    /// From the arithmetic of a serial line: `floor` without turnaround, `start` with what is assumed of it. On TCP the
    /// floor is nothing.
    pub fn new(start: LineCost, floor: LineCost) -> Self {
        Self {
            floor,
            start,
            now: start,
            planned: start,
            observations: 0,
            registers_mean: 0,
            time_mean: 0,
            registers_variance: 0,
            covariance: 0,
            deviation: 0,
            away: 0,
        }
    }

    /// A good answer with so many registers kept the line busy for `time`: from when it could have sent the request to
    /// when it can send the next one, silences included.
    pub fn observe(&mut self, registers: u16, time: Micros) {
        let time = Nanos::from(time).min(LONGEST).max(Nanos::ZERO).get();
        let time = self.clip(registers, time);
        self.average(i64::from(registers) * UNIT, time);
        self.now = self.fit();
        self.watch();
    }

    /// What the line costs as far as is known.
    pub fn cost(&self) -> LineCost {
        self.now
    }

    /// The cost to plan anew with, once each time that the line has drifted away for good from what was planned with.
    pub fn replan(&mut self) -> Option<LineCost> {
        (self.away >= AWAY_OBSERVATIONS).then(|| {
            self.away = 0;
            self.planned = self.now;
            self.now
        })
    }

    /// One stray answer must not move the mean; a lasting change widens the deviation until it gets through.
    fn clip(&mut self, registers: u16, time: i64) -> i64 {
        let expected = self.now.read(registers).get();
        let off = time - expected;
        let limit = if self.observations < WARM_UP {
            i64::MAX
        } else {
            CLIP_DEVIATIONS * self.deviation + expected / 20 + CLIP_LEAST.get()
        };
        let clipped = off.clamp(-limit, limit);
        self.deviation += (clipped.abs() - self.deviation) / (self.observations + 1).min(MEMORY);
        expected + clipped
    }

    fn average(&mut self, registers: i64, time: i64) {
        self.observations = (self.observations + 1).min(MEMORY);
        let memory = self.observations;
        let (off, late) = (registers - self.registers_mean, time - self.time_mean);
        self.registers_mean += off / memory;
        self.time_mean += late / memory;
        let keep = |sum: i128, product: i64, other: i64| {
            let memory = i128::from(memory);
            let sum = sum + i128::from(product) * i128::from(other) / memory;
            sum - sum / memory
        };
        self.registers_variance = keep(self.registers_variance, off, off);
        self.covariance = keep(self.covariance, off, late);
    }

    /// Slope from the covariance, drawn to its start value where the lengths hardly differ; level through the means.
    fn fit(&self) -> LineCost {
        let start = i128::from(self.start.per_register().get());
        let prior = i128::from(SLOPE_PRIOR);
        let slope = (self.covariance * i128::from(UNIT) + start * prior) / (self.registers_variance + prior);
        let slope = i64::try_from(slope).unwrap_or(LONGEST.get()).max(self.floor.per_register().get());
        let carried = i128::from(slope) * i128::from(self.registers_mean) / i128::from(UNIT);
        let level = i64::try_from(i128::from(self.time_mean) - carried).unwrap_or(LONGEST.get());
        LineCost::new(Nanos::new(level).max(self.floor.fixed()), Nanos::new(slope))
    }

    fn watch(&mut self) {
        let off = COMPARED.map(|registers| off_permille(self.now.read(registers), self.planned.read(registers)));
        let off = off.into_iter().max().unwrap_or_default();
        if off > AWAY_PERMILLE {
            self.away = self.away.saturating_add(1);
        } else if off < BACK_PERMILLE {
            self.away = 0;
        }
    }
}

fn off_permille(found: Nanos, planned: Nanos) -> i64 {
    (found - planned).abs().get().saturating_mul(1000) / planned.get().max(1)
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
