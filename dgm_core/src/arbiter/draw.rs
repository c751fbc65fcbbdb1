//! The least that an EVSE draws, from its newest sample. Where a sample leaves it open, the least is taken.

use super::layout::Column;
use super::EvseSample;
use crate::units::{div_down, Milliamps, Millis, Millivolts, Permille};

/// Share of nominal voltage x measured current that is surely power, where a station reports only currents.
const CURRENT_ONLY: Permille = Permille::new(900);

/// Lower bounds of one EVSE's draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// When it was measured.
    pub at: Millis,
    /// W, then mA of the site's L1 to L3; signed.
    pub least: [i64; 4],
}

impl Draw {
    /// Nothing is claimed beyond the EVSE's rating. `counted`: what it counts at, the most on each of its phases.
    pub fn new(sample: &EvseSample, at: Millis, column: &Column, counted: Milliamps, voltage: Millivolts) -> Self {
        let mut least = [least_power(sample, column, voltage), 0, 0, 0];
        for (conductor, phase) in column.evse.phases.phases().iter().enumerate() {
            least[phase.slot() + 1] = least_current(sample, conductor, column, counted, voltage);
        }
        Self { at, least }
    }

    /// Whether it takes anything off what a meter shows.
    pub fn is_used(&self) -> bool {
        self.least.iter().any(|least| *least > 0)
    }
}

fn least_power(sample: &EvseSample, column: &Column, voltage: Millivolts) -> i64 {
    let rating = column.evse.current_max.power(voltage, column.evse.phases.conductors()).watts_down().get();
    let currents: i64 = sample.current.iter().flatten().map(|current| current.get().max(0)).sum();
    let from_currents = || CURRENT_ONLY.of(Milliamps::new(currents).power(voltage, 1).watts_down().get());
    sample.power.map_or_else(from_currents, |power| power.get()).clamp(-rating, rating)
}

/// With power alone, the other conductors may carry all that they are allowed to.
fn least_current(
    sample: &EvseSample,
    conductor: usize,
    column: &Column,
    counted: Milliamps,
    voltage: Millivolts,
) -> i64 {
    let rating = column.evse.current_max.get();
    let has_currents = sample.current.iter().any(Option::is_some);
    if has_currents {
        return sample.current[conductor].map_or(0, |current| current.get().clamp(0, rating));
    }
    let whole = sample.power.map_or(0, |power| div_down(power.micro().get(), voltage.get()));
    let others = counted.get().saturating_mul(column.evse.phases.conductors() - 1);
    whole.saturating_sub(others).clamp(if whole < 0 { -rating } else { 0 }, rating)
}
