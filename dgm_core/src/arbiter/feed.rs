//! What was last heard of every asset, and the scene that one tick sees of it.

use super::layout::{Layout, StorageUnit};
use super::scene::{voltages, Scene, StorageState};
use super::shown::Shown;
use super::trace::Trace;
use crate::site::{AssetKind, Image, Quality, Reading, Site, QUANTITY_MAX};
use crate::units::{AssetIndex, Millis, Watts};

/// Newest readings with the short past of meters, PV and batteries, and which of them do what they are told.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Newest readings.
    pub image: Image,
    /// Per storage unit.
    pub storages: Vec<StorageState>,
    controlled: Vec<bool>,
    traces: Vec<Trace>,
}

impl Feed {
    /// Nothing heard: a battery may be doing anything up to its rating.
    pub fn new(site: &Site, layout: &Layout) -> Self {
        Self {
            image: Image::new(site.assets().len()),
            storages: layout.storages.iter().map(|unit| unbound(unit, Watts::ZERO)).collect(),
            controlled: vec![true; site.assets().len()],
            traces: vec![Trace::default(); site.assets().len()],
        }
    }

    /// Takes a reading of anything but an EVSE. What no device of a site can show is a failed reading.
    pub fn put(&mut self, site: &Site, asset: AssetIndex, mut reading: Reading) {
        let is_field = site.asset(asset).is_some_and(|found| !matches!(found.spec.kind, AssetKind::Evse(_)));
        if !is_field {
            return;
        }
        if !is_possible(&reading) {
            reading.quality = Quality::Failed;
        }
        self.traces[asset.0].put(&reading);
        self.image.put(asset, reading);
    }

    /// Whether a PV unit or battery does what it is told. A battery that does not may be doing anything up to its rating
    /// until it is heard again under our control.
    pub fn control(&mut self, layout: &Layout, asset: AssetIndex, is_controlled: bool) {
        self.controlled[asset.0] = is_controlled;
        let units = self.storages.iter_mut().zip(&layout.storages);
        for (state, unit) in units.filter(|(_, unit)| unit.asset == asset && !is_controlled) {
            *state = unbound(unit, state.setpoint);
        }
    }

    /// Whether a PV unit or battery does what it is told.
    pub fn is_controlled(&self, asset: AssetIndex) -> bool {
        self.controlled.get(asset.0).is_some_and(|controlled| *controlled)
    }

    /// The inputs of the tick at `now`.
    pub fn scene<'a>(&'a self, site: &'a Site, layout: &'a Layout, now: Millis) -> Scene<'a> {
        let nominal = site.nominal_voltage();
        let meter = site.circuit(site.root()).meter;
        let seen = meter.and_then(|meter| voltages(self.image.reading(meter), nominal));
        let (lowest, highest) = seen.unwrap_or((nominal, nominal));
        Scene {
            site,
            layout,
            image: &self.image,
            traces: &self.traces,
            storages: &self.storages,
            controlled: &self.controlled,
            now,
            voltage_seen: lowest,
            voltage: highest.max(nominal),
        }
    }

    /// Remembers what batteries are told: one that falls silent may still be doing it. `measured` is of those relied on.
    pub fn command(&mut self, layout: &Layout, setpoints: &[Watts], measured: &[Option<Watts>], now: Millis) {
        let units = self.storages.iter_mut().zip(&layout.storages);
        for (((state, unit), setpoint), measured) in units.zip(setpoints).zip(measured) {
            if let Some(measured) = measured {
                state.shown.watch(state.setpoint, *measured, unit.battery.power_max, now);
                let powers = [*measured, *setpoint, state.setpoint];
                let most = |powers: [Watts; 3]| powers.into_iter().fold(Watts::ZERO, Watts::max);
                state.reach_charge = most(powers);
                state.reach_discharge = most(powers.map(|power| -power));
            } else {
                state.shown.unseen();
            }
            state.setpoint = *setpoint;
        }
    }
}

fn unbound(unit: &StorageUnit, setpoint: Watts) -> StorageState {
    StorageState {
        setpoint,
        reach_discharge: unit.battery.power_max,
        reach_charge: unit.battery.charge_max,
        shown: Shown::default(),
    }
}

fn is_possible(reading: &Reading) -> bool {
    let within = |value: i64| (-QUANTITY_MAX..=QUANTITY_MAX).contains(&value);
    let currents = reading.current.iter().flatten().all(|current| within(current.get()));
    currents && reading.power.is_none_or(|power| within(power.get()))
}
