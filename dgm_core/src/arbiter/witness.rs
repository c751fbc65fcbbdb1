//! Whether a meter shows the steps of the inverters below it: one that is frozen with fresh stamps, or counts the wrong way,
//! is found by the first step that it does not show.
//!
//! ```text
//! PV + battery, as they measure themselves      0 ────────┐ -12 kW           a step of 10 kW or more
//! meter: right ───┐  frozen ──────────  flipped ────┘     seen for 1.5 s after it: not there, or its mirror image
//! ```
//! Only a step made within seconds says anything: one that tracks a load slowly leaves the meter still because it should.
//! Frozen: nothing moves by more than `STILL_W`; no meter with devices that step is that quiet. Flipped: the change is the
//! step with the other sign, within a tenth. A meter so found counts as lost, its circuit at worst case. A frozen one is
//! believed again when it moves, a flipped one when it shows a step rightly, and neither before `HELD_MS` have passed.

use std::collections::VecDeque;

use crate::units::Millis;

/// Smallest step that a meter must show, W.
pub const STEP_W: i64 = 10_000;
/// A meter that moves by no more is still, W.
pub const STILL_W: i64 = 100;
/// How long a step is looked at before the meter is judged.
pub const JUDGED_AFTER_MS: i64 = 1_500;
/// How far back a step may have begun.
pub const WINDOW_MS: i64 = 4_000;
/// A meter that was found wrong stays lost at least so long.
pub const HELD_MS: i64 = 5_000;
/// Looks kept: the window at 100 ms and some.
const LOOKS_MAX: usize = 64;

/// Meter and inverters at one tick, W.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Millis,
    meter: i64,
    inverters: i64,
}

/// What was found wrong of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not move.
    Frozen,
    /// It moves the other way.
    Flipped,
}

/// The memory of one metered circuit.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    looks: VecDeque<Look>,
    fault: Option<(Fault, Millis)>,
}

impl Witness {
    /// One tick; absent: the meter or an inverter is not heard, and steps cannot be compared across that. The fault, if
    /// there is one.
    pub fn look(&mut self, now: Millis, seen: Option<(i64, i64)>) -> Option<Fault> {
        let Some((meter, inverters)) = seen else {
            self.looks.clear();
            return self.fault.map(|(fault, _)| fault);
        };
        self.keep(Look { at: now, meter, inverters });
        match self.fault {
            None => self.fault = self.judge().map(|fault| (fault, now)),
            Some((fault, since)) if now - since >= Millis::new(HELD_MS) && self.is_right(fault) => self.fault = None,
            Some(_) => {}
        }
        self.fault.map(|(fault, _)| fault)
    }

    fn keep(&mut self, look: Look) {
        let is_old = |kept: &Look| look.at - kept.at > Millis::new(WINDOW_MS);
        while self.looks.len() >= LOOKS_MAX || self.looks.front().is_some_and(is_old) {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
    }

    /// A step that was there `JUDGED_AFTER_MS` ago, and still is, and that the meter has not shown since.
    fn judge(&self) -> Option<Fault> {
        let (first, now) = (self.looks.front()?, self.looks.back()?);
        let then = self.looks.iter().rev().find(|look| now.at - look.at >= Millis::new(JUDGED_AFTER_MS))?;
        let steps = [then, now].map(|look| look.inverters - first.inverters);
        if steps[0].abs() < STEP_W || steps[1].abs() < STEP_W || (steps[0] > 0) != (steps[1] > 0) {
            return None;
        }
        if self.range() <= STILL_W {
            return Some(Fault::Frozen);
        }
        let is_mirrored = |look: &Look, step: i64| (look.meter - first.meter + step).abs() <= step.abs() / 10;
        (is_mirrored(then, steps[0]) && is_mirrored(now, steps[1])).then_some(Fault::Flipped)
    }

    /// Whether what it shows now speaks against the fault.
    fn is_right(&self, fault: Fault) -> bool {
        let (Some(first), Some(now)) = (self.looks.front(), self.looks.back()) else { return false };
        match fault {
            Fault::Frozen => self.range() > STILL_W,
            Fault::Flipped => {
                let step = now.inverters - first.inverters;
                step.abs() >= STEP_W / 2 && (now.meter - first.meter - step).abs() <= step.abs() / 2
            }
        }
    }

    fn range(&self) -> i64 {
        let meters = || self.looks.iter().map(|look| look.meter);
        meters().max().unwrap_or(0) - meters().min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks of 100 ms: the load, and what the inverters do; `show` makes of the sum what the meter tells.
    fn found(
        inverters: impl Fn(i64) -> i64,
        load: impl Fn(i64) -> i64,
        show: impl Fn(i64) -> i64,
    ) -> Vec<Option<Fault>> {
        let mut witness = Witness::default();
        let tick = |tick: i64| {
            let meter = show(load(tick) + inverters(tick));
            witness.look(Millis::new(tick * 100), Some((meter, inverters(tick))))
        };
        (0..200).map(tick).collect()
    }

    fn step(tick: i64) -> i64 {
        if tick < 50 {
            0
        } else {
            -12_000
        }
    }

    #[test]
    fn a_frozen_meter_is_found_by_the_first_step_and_within_five_seconds() {
        let faults = found(step, |_| 20_000, |_| 20_000);
        assert_eq!(faults[..50], [None; 50]);
        assert_eq!(faults[65], Some(Fault::Frozen), "1.5 s after the step");
        assert_eq!(faults[199], Some(Fault::Frozen));
    }

    #[test]
    fn a_flipped_meter_is_found_by_the_first_step() {
        let faults = found(step, |tick| 20_000 + tick % 7 * 90, |sum| -sum);
        assert_eq!((faults[49], faults[65]), (None, Some(Fault::Flipped)));
    }

    #[test]
    fn a_meter_that_shows_its_steps_is_believed_whatever_the_load_does() {
        let loads: [fn(i64) -> i64; 3] = [|_| 20_000, |tick| 20_000 + tick * 90, |tick| tick % 13 * 1_000];
        for load in loads {
            assert!(found(step, load, |sum| sum).iter().all(Option::is_none));
        }
    }

    #[test]
    fn a_battery_that_tracks_a_load_at_a_bound_leaves_the_meter_still_and_it_is_believed() {
        let tracking = |tick: i64| -tick * 200;
        assert!(found(tracking, |tick| 20_000 + tick * 200, |sum| sum).iter().all(Option::is_none));
    }

    #[test]
    fn a_fault_is_held_and_ends_when_the_meter_moves_or_shows_a_step_rightly() {
        let back = |tick: i64| if (50..120).contains(&tick) { -12_000 } else { 0 };
        let mut witness = Witness::default();
        let mut faults = Vec::new();
        for tick in 0..200 {
            let meter = if tick < 80 { 20_000 } else { 20_000 + back(tick) };
            faults.push(witness.look(Millis::new(tick * 100), Some((meter, back(tick)))));
        }
        assert_eq!((faults[70], faults[110], faults[121]), (Some(Fault::Frozen), Some(Fault::Frozen), None));
    }
}
