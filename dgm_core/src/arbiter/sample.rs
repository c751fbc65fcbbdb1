//! What comes in for single assets: wants, EVSE samples, outcomes.

use crate::site::{PlugState, Quality, Reading};
use crate::units::{AssetIndex, Milliamps, Millis, Permille, WattHours, Watts};

/// Wanted value of one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whose.
    pub asset: AssetIndex,
    /// W for PV and BATTERY, mA per phase for EVSE; absent: nobody wants anything of it.
    pub want: Option<i64>,
    /// EVSE share weight; absent: as configured.
    pub weight: Option<i64>,
    /// EVSE stratum, lower is served first; absent: as configured.
    pub stratum: Option<i64>,
    /// Others of its stratum are paused before it where there is not enough for all minimums.
    pub keeps_on: bool,
}

/// What an EVSE reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvseSample {
    /// Whose.
    pub asset: AssetIndex,
    /// Time since it was measured.
    pub age: Millis,
    /// State of the plug.
    pub plug: PlugState,
    /// W into the EVSE.
    pub power: Option<Watts>,
    /// mA in the order of the EVSE's own conductors.
    pub current: [Option<Milliamps>; 3],
    /// Of the car.
    pub soc: Option<Permille>,
    /// Counter.
    pub energy: Option<WattHours>,
}

/// What a device did with a setpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeState {
    /// On its way.
    Sent,
    /// The station said yes.
    Accepted,
    /// Read back: proved.
    Confirmed,
    /// Seen on the meter: proved.
    Measured,
    /// The station said no.
    Rejected,
    /// No answer.
    TimedOut,
    /// Something passed that can remove what was installed.
    Wiped,
}

/// One outcome of one EVSE setpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose.
    pub asset: AssetIndex,
    /// Of the setpoint.
    pub sequence: i64,
    /// What happened.
    pub state: OutcomeState,
    /// Value sent or proved.
    pub value: Option<Milliamps>,
    /// Floor proved installed under the live limit.
    pub fallback: Option<Milliamps>,
}

/// The reading that a sample makes of the one held. A sample without values (a status) keeps the values and their time.
pub fn reading(sample: &EvseSample, held: &Reading, at: Millis) -> Reading {
    if !has_values(sample) && held.quality == Quality::Good {
        return Reading { plug: sample.plug, ..held.clone() };
    }
    Reading {
        quality: Quality::Good,
        measured_at: at,
        power: sample.power,
        current: sample.current,
        soc: sample.soc,
        energy: sample.energy,
        plug: sample.plug,
        ..Reading::NEVER
    }
}

/// A status alone tells that nothing is drawn for sure, unless it says that the car charges.
pub fn tells_draw(sample: &EvseSample) -> bool {
    has_values(sample) || sample.plug != PlugState::Charging
}

fn has_values(sample: &EvseSample) -> bool {
    sample.power.is_some() || sample.current.iter().any(Option::is_some)
}
