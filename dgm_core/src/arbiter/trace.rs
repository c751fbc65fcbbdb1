//! The last readings of a meter, PV or battery, so that two devices can be compared at one time.
//!
//! A meter read now and a battery read 150 ms ago differ by what the battery did in between; taking one from the other
//! would show a load that is not there, and a controller that follows it hunts. So both are read at the newest time
//! that both know.

use crate::site::{Quality, Reading};
use crate::units::{Milliamps, Millis, Watts};

/// Readings kept per device: 1.6 s at 100 ms.
pub const TRACE_MAX: usize = 16;

/// One good reading, reduced to what flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When.
    pub at: Millis,
    /// W, positive into the asset.
    pub power: Option<Watts>,
    /// mA, magnitudes, L1 to L3 of the site.
    pub current: [Option<Milliamps>; 3],
}

/// The last good readings of one device, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    flows: Vec<Flow>,
    is_good: bool,
}

impl Trace {
    /// Takes a reading; one that is not newer than the last replaces nothing but its quality.
    pub fn put(&mut self, reading: &Reading) {
        self.is_good = reading.quality == Quality::Good;
        let is_newer = self.flows.last().is_none_or(|last| last.at < reading.measured_at);
        if !self.is_good || !is_newer {
            return;
        }
        if self.flows.len() >= TRACE_MAX {
            self.flows.remove(0);
        }
        self.flows.push(Flow { at: reading.measured_at, power: reading.power, current: reading.current });
    }

    /// The newest reading, if it is good and at most `max_age` old.
    pub fn fresh(&self, now: Millis, max_age: Millis) -> Option<&Flow> {
        self.flows.last().filter(|flow| self.is_good && now - flow.at <= max_age)
    }

    /// The newest good reading of any age.
    pub fn last(&self) -> Option<&Flow> {
        self.flows.last()
    }

    /// The reading nearest to `at`.
    pub fn nearest(&self, at: Millis) -> Option<&Flow> {
        self.flows.iter().min_by_key(|flow| (flow.at - at).abs())
    }
}

/// Currents with the sign of their power: positive into the circuit.
///
/// A meter tells the magnitude of each current and the net power. Of the eight ways to sign three currents the one whose
/// sum is nearest to the net power is taken for each phase; where import is nearly as likely as export, import is taken,
/// because it is the side on which a wrong guess overloads nothing.
pub fn signed_currents(flow: &Flow, voltage_mv: i64) -> [Option<i64>; 3] {
    let magnitudes = flow.current.map(|current| current.map(|current| current.abs().get()));
    let (Some(power), [Some(i1), Some(i2), Some(i3)]) = (flow.power, magnitudes) else {
        return magnitudes;
    };
    let amounts = [i1, i2, i3];
    let net = power.micro().get() / voltage_mv.max(1);
    let slack = amounts.iter().fold(0_i64, |sum, amount| sum.saturating_add(*amount)) / 20;
    let mut nearest = [[i64::MAX; 2]; 3];
    for signs in 0..8_u8 {
        let exports = [0, 1, 2].map(|phase| signs >> phase & 1 == 1);
        let terms = amounts.iter().zip(exports).map(|(amount, export)| if export { -amount } else { *amount });
        let distance = terms.fold(0_i64, i64::saturating_add).saturating_sub(net).saturating_abs();
        for (phase, export) in exports.into_iter().enumerate() {
            let side = &mut nearest[phase][usize::from(export)];
            *side = (*side).min(distance);
        }
    }
    let is_export = |phase: usize| nearest[phase][1].saturating_add(slack) < nearest[phase][0];
    [0, 1, 2].map(|phase| Some(if is_export(phase) { -amounts[phase] } else { amounts[phase] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(power_w: i64, currents_ma: [i64; 3]) -> Flow {
        Flow {
            at: Millis::ZERO,
            power: Some(Watts::new(power_w)),
            current: currents_ma.map(|i| Some(Milliamps::new(i))),
        }
    }

    #[test]
    fn currents_follow_the_sign_of_the_net_power() {
        assert_eq!(signed_currents(&flow(13_800, [20_000; 3]), 230_000), [Some(20_000); 3]);
        assert_eq!(signed_currents(&flow(-13_800, [20_000; 3]), 230_000), [Some(-20_000); 3]);
    }

    #[test]
    fn a_phase_that_imports_while_the_site_exports_is_seen() {
        let mixed = flow(-13_800, [20_000, 40_000, 40_000]);
        assert_eq!(signed_currents(&mixed, 230_000), [Some(20_000), Some(-40_000), Some(-40_000)]);
    }

    #[test]
    fn a_poor_power_factor_does_not_turn_import_into_export() {
        assert_eq!(signed_currents(&flow(11_040, [20_000; 3]), 230_000), [Some(20_000); 3]);
        assert_eq!(signed_currents(&flow(0, [20_000, 0, 0]), 230_000)[0], Some(20_000));
    }

    #[test]
    fn the_reading_nearest_in_time_is_found_and_old_ones_fall_out() {
        let mut trace = Trace::default();
        for step in 0..20 {
            let reading = Reading {
                quality: Quality::Good,
                measured_at: Millis::new(step * 100),
                power: Some(Watts::new(step)),
                ..Reading::NEVER
            };
            trace.put(&reading);
        }
        assert_eq!(trace.nearest(Millis::new(1_640)).and_then(|flow| flow.power), Some(Watts::new(16)));
        assert_eq!(trace.nearest(Millis::new(0)).and_then(|flow| flow.power), Some(Watts::new(4)));
        trace.put(&Reading { quality: Quality::Failed, ..Reading::NEVER });
        assert!(trace.fresh(Millis::new(1_900), Millis::new(2_000)).is_none());
        assert!(trace.last().is_some());
    }
}
