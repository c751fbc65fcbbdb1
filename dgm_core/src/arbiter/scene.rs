//! What every part of one tick looks at: the site, the newest readings, the voltage, the time.

use super::layout::{Layout, PvUnit, StorageUnit};
use super::shown::Shown;
use super::trace::{Flow, Trace};
use crate::site::{Image, PhaseMap, Reading, Site};
use crate::units::{div_down, AssetIndex, Millis, Millivolts, Permille, Watts};

/// Room that batteries leave to rising PV under a generation or export bound, of its rating.
const PV_HEADROOM: Permille = Permille::new(100);

/// What a battery was last told and could still be doing.
#[derive(Clone, Copy, Debug)]
pub struct StorageState {
    /// W, positive charges.
    pub setpoint: Watts,
    /// The most it may be discharging if it is not relied on: last measured or told, its rating if nobody controls it.
    pub reach_discharge: Watts,
    /// The most it may be charging if it is not relied on.
    pub reach_charge: Watts,
    /// What it gives when it is told to.
    pub shown: Shown,
}

/// The inputs of one tick.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Valid.
    pub site: &'a Site,
    /// Its shape.
    pub layout: &'a Layout,
    /// Newest readings.
    pub image: &'a Image,
    /// Last good readings, per asset.
    pub traces: &'a [Trace],
    /// Per storage unit.
    pub storages: &'a [StorageState],
    /// Per asset: PV and batteries that do what they are told.
    pub controlled: &'a [bool],
    /// The tick.
    pub now: Millis,
    /// As the connection point's meter sees it (lowest phase), else nominal.
    pub voltage_seen: Millivolts,
    /// At which an EVSE's current counts as power: the larger of nominal and highest measured phase.
    pub voltage: Millivolts,
}

impl<'a> Scene<'a> {
    /// The newest reading of a Modbus device, if it is good and young enough.
    pub fn fresh(&self, asset: AssetIndex) -> Option<&'a Flow> {
        self.traces[asset.0].fresh(self.now, self.site.timing().meter_max_age)
    }

    /// W generated now by a PV unit that is heard, >= 0.
    pub fn pv_output(&self, unit: &PvUnit) -> Option<Watts> {
        self.fresh(unit.asset).and_then(|flow| flow.power).map(|power| (-power).max(Watts::ZERO))
    }

    /// Whether a PV unit is heard and keeps its cap.
    pub fn is_pv_relied_on(&self, unit: &PvUnit) -> bool {
        self.controlled[unit.asset.0] && self.pv_output(unit).is_some()
    }

    /// W that a PV unit may reach before a battery has made way for it: what it puts out and a tenth of its rating more.
    pub fn pv_reach(&self, unit: &PvUnit) -> Watts {
        let (rating, output) = (unit.pv.power_max, self.pv_output(unit).filter(|_| self.is_pv_relied_on(unit)));
        output.map_or(rating, |output| (output + Watts::new(PV_HEADROOM.of(rating.get()))).min(rating))
    }

    /// W into a battery that is heard, signed.
    pub fn storage_power(&self, unit: &StorageUnit) -> Option<Watts> {
        self.fresh(unit.asset).and_then(|flow| flow.power)
    }

    /// Whether a battery is heard and does what it is told. One that is not helps nobody and may be doing all it can.
    pub fn is_storage_relied_on(&self, unit: &StorageUnit) -> bool {
        self.controlled[unit.asset.0] && self.storage_power(unit).is_some()
    }

    /// State of charge of a battery that is heard.
    pub fn soc(&self, unit: &StorageUnit) -> Option<Permille> {
        let reading = self.image.reading(unit.asset);
        reading.soc.filter(|_| self.storage_power(unit).is_some())
    }

    /// Most that a battery gives: its rating, or less by its own word.
    pub fn discharge_max(&self, unit: &StorageUnit) -> Watts {
        let said = self.image.reading(unit.asset).discharge_max;
        said.map_or(unit.battery.power_max, |own| own.min(unit.battery.power_max))
    }

    /// Most that a battery takes: its rating, or less by its own word.
    pub fn charge_max(&self, unit: &StorageUnit) -> Watts {
        let said = self.image.reading(unit.asset).charge_max;
        said.map_or(unit.battery.charge_max, |own| own.min(unit.battery.charge_max))
    }

    /// Whether a circuit has a meter that cannot be relied on now.
    pub fn is_meter_lost(&self, circuit: usize) -> bool {
        let meter = self.site.circuits()[circuit].meter;
        meter.is_some_and(|meter| self.fresh(meter).and_then(|flow| flow.power).is_none())
    }
}

/// mA per conductor of a power at a voltage, rounded down (towards export).
pub fn phase_current(power: Watts, phases: &PhaseMap, voltage: Millivolts) -> i64 {
    div_down(power.micro().get(), voltage.get() * phases.conductors())
}

/// (lowest, highest) plausible phase voltage of a reading. Half or double the nominal voltage is no voltage.
pub fn voltages(reading: &Reading, nominal: Millivolts) -> Option<(Millivolts, Millivolts)> {
    let plausible = nominal.get() / 2..=nominal.get() * 2;
    let seen = || reading.voltage.iter().flatten().filter(|voltage| plausible.contains(&voltage.get()));
    Some((*seen().min()?, *seen().max()?))
}
