//! How a SunSpec device is commanded: 704 first, the old 123 and 124 where it is missing, 715 beside them.
//!
//! ```text
//! cap     704 WMaxLimPct with its revert   >   123 WMaxLimPct with its timer        % of 702 / 121 / 120
//! power   704 WSet with its revert         >   124 InWRte and OutWRte, its timer    % of 124 WChaMax, 120 MaxDisChaRte
//! both    715: local mode and a heart that stands still are seen, our own is written
//! ```
//!
//! 704 reverts to a value that we write. The old models only end the command after their timer: what the device then
//! does is its own affair, so it counts at its rating (see `Revert::Released`). Sign: SunSpec counts output positive.
use super::actuator::{Actuator, Beat, Entry, Heartbeat, Kind, Parts, Rating, RequestLimits, Revert, Term, Unit};
use super::channels::State;
use super::layout;
use super::number::Gain;
use super::pdu::{READ_MAX, WRITE_MAX};
use super::point::Slot;
use super::sunspec::{Model, ModelMap};
use super::tables::{self, GroupDef};
use crate::units::Micros;

const ENABLED: i64 = 1;
const MODE_WATTS: i64 = 1;
const REMOTE: i64 = 0;
/// StorCtl_Mod: both the charge and the discharge rate are in force.
const BOTH_RATES: i64 = 0b11;
/// SunSpec 715: the controller counts up every second.
const BEAT_PERIOD: Micros = Micros::from_millis(1_000);

/// A model of a device with its layout.
struct Found {
    model: Model,
    layout: GroupDef,
}

impl Found {
    fn new(map: &ModelMap, id: u16) -> Option<Self> {
        Some(Self { model: map.find(|found| found == id)?, layout: tables::find(id)? })
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        layout::locate(&self.layout, &self.model, name)
    }

    fn entry(&self, name: &str, term: Term) -> Option<Entry> {
        Some(Entry { slot: self.slot(name)?, term })
    }

    /// A power that the device counts positive out of it.
    fn output(&self, name: &str, term: Term) -> Option<Entry> {
        let entry = self.entry(name, term)?;
        Some(Entry { slot: Slot { gain: Gain::TURNED, ..entry.slot }, term })
    }
}

/// The registers that command a device; `None` where it has none.
pub fn actuator(map: &ModelMap, kind: Kind) -> Option<Actuator> {
    let parts = match kind {
        Kind::Cap => cap(map).or_else(|| old_cap(map)),
        Kind::Power => power(map).or_else(|| old_power(map)),
    };
    Actuator::new(parts?)
}

fn parts(map: &ModelMap, kind: Kind, entries: Vec<Entry>, ratings: Vec<Rating>, revert: Revert) -> Parts {
    let control = Found::new(map, 715);
    let mode = |slot| State { slot, values: vec![REMOTE] };
    let beat = |slot| Heartbeat { slot, period: BEAT_PERIOD, beat: Beat::Increment };
    Parts {
        kind,
        entries,
        ratings,
        modes: control.iter().filter_map(|found| found.slot("LocRemCtl")).map(mode).collect(),
        life: control.as_ref().and_then(|found| found.slot("DERHb")),
        heartbeat: control.and_then(|found| found.slot("ControllerHb")).map(beat),
        revert,
        limits: RequestLimits { read: READ_MAX, write: WRITE_MAX },
    }
}

/// One block: enable, cap, revert, its enable and its timer stand together.
fn cap(map: &ModelMap) -> Option<Parts> {
    let controls = Found::new(map, 704)?;
    let unit = Unit::Percent(0);
    let entries = vec![
        controls.entry("WMaxLimPctEna", Term::Constant(ENABLED))?,
        controls.output("WMaxLimPct", Term::Power(unit))?,
        controls.output("WMaxLimPctRvrt", Term::Revert(unit))?,
        controls.entry("WMaxLimPctEnaRvrt", Term::Constant(ENABLED))?,
        controls.entry("WMaxLimPctRvrtTms", Term::Timer)?,
    ];
    let whole = Rating { slots: slots(map, &[(702, "WMax")]), known: None };
    (!whole.slots.is_empty()).then(|| parts(map, Kind::Cap, entries, vec![whole], Revert::Written))
}

/// The timer first, so that the value starts it with the right length.
fn power(map: &ModelMap) -> Option<Parts> {
    let controls = Found::new(map, 704)?;
    let entries = vec![
        controls.entry("WSetEnaRvrt", Term::Constant(ENABLED))?,
        controls.entry("WSetRvrtTms", Term::Timer)?,
        controls.entry("WSetEna", Term::Constant(ENABLED))?,
        controls.entry("WSetMod", Term::Constant(MODE_WATTS))?,
        controls.output("WSet", Term::Power(Unit::Watts))?,
        controls.output("WSetRvrt", Term::Revert(Unit::Watts))?,
    ];
    Some(parts(map, Kind::Power, entries, Vec::new(), Revert::Written))
}

/// One block too; a time window or ramp that somebody left there is taken away where the device has them.
fn old_cap(map: &ModelMap) -> Option<Parts> {
    let controls = Found::new(map, 123)?;
    let entries = vec![
        controls.output("WMaxLimPct", Term::Power(Unit::Percent(0)))?,
        controls.entry("WMaxLimPct_WinTms", Term::ConstantIfThere(0))?,
        controls.entry("WMaxLimPct_RvrtTms", Term::Timer)?,
        controls.entry("WMaxLimPct_RmpTms", Term::ConstantIfThere(0))?,
        controls.entry("WMaxLim_Ena", Term::Constant(ENABLED))?,
    ];
    let whole = Rating { slots: slots(map, &[(121, "WMax"), (120, "WRtg")]), known: None };
    (!whole.slots.is_empty()).then(|| parts(map, Kind::Cap, entries, vec![whole], Revert::Released))
}

/// A charge rate of p and a discharge rate of -p leave the battery nothing but p. The rates first, then what puts them in
/// force.
fn old_power(map: &ModelMap) -> Option<Parts> {
    let storage = Found::new(map, 124)?;
    let entries = vec![
        storage.output("OutWRte", Term::Power(Unit::Percent(1)))?,
        storage.entry("InWRte", Term::Power(Unit::Percent(0)))?,
        storage.entry("InOutWRte_WinTms", Term::ConstantIfThere(0))?,
        storage.entry("InOutWRte_RvrtTms", Term::Timer)?,
        storage.entry("InOutWRte_RmpTms", Term::ConstantIfThere(0))?,
        storage.entry("StorCtl_Mod", Term::Constant(BOTH_RATES))?,
    ];
    let charge = Rating { slots: slots(map, &[(124, "WChaMax")]), known: None };
    let discharge = Rating { slots: slots(map, &[(120, "MaxDisChaRte"), (124, "WChaMax")]), known: None };
    Some(parts(map, Kind::Power, entries, vec![charge, discharge], Revert::Released))
}

fn slots(map: &ModelMap, names: &[(u16, &str)]) -> Vec<Slot> {
    names.iter().filter_map(|(id, name)| Found::new(map, *id)?.slot(name)).collect()
}

#[cfg(test)]
#[path = "der_tests.rs"]
mod tests;
