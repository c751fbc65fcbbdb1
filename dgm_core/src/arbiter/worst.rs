//! What PV and batteries that are not relied on may do at worst: silent ones, and ones that nobody controls.
//!
//! ```text
//!                 is doing something that may end       may begin anything up to its rating
//! silent          meter shows it, we do not know it     -
//! uncontrolled    -                                     measured, but somebody else commands it, or its revert is not proved
//! ```
//! The two add up. What a silent battery puts out is load in the balance already; the rest of it is here. An uncontrolled
//! inverter is different on load rows: control over PV is only ever a cap, so what is measured of it is worth as much as
//! with control. It is load in the balance and credited once, so nothing is made of it beyond what the meter shows.
//!
//! A V2X EVSE counts like an uncontrolled battery that discharges: its CPO decides when, the site only how much at most.
//! It is generation at its whole discharge current, and the meter may be hiding as much load behind it.

use super::scene::Scene;
use crate::site::Phase;
use crate::units::{div_up, CircuitIndex, Watts};

/// W that batteries below a circuit may charge beyond its uncontrolled load. A meter that is heard shows the charge of a
/// silent one.
pub fn charge(scene: &Scene<'_>, circuit: CircuitIndex, is_in_meter: bool) -> Watts {
    chargers(scene, circuit, is_in_meter).map(|unit| scene.storages[unit].reach_charge).sum()
}

/// The same in mA of one conductor, rounded up.
pub fn charge_current(scene: &Scene<'_>, circuit: CircuitIndex, is_in_meter: bool, phase: Phase) -> i64 {
    let current = |unit: usize| {
        let volts = scene.voltage_seen.get() * scene.layout.storages[unit].phases.conductors();
        div_up(scene.storages[unit].reach_charge.micro().get(), volts)
    };
    let on_phase = |unit: &usize| scene.layout.storages[*unit].phases.has(phase);
    chargers(scene, circuit, is_in_meter).filter(on_phase).map(current).sum()
}

fn chargers<'a>(scene: &'a Scene<'_>, circuit: CircuitIndex, is_in_meter: bool) -> impl Iterator<Item = usize> + 'a {
    let is_open = move |unit: &usize| {
        let found = &scene.layout.storages[*unit];
        !scene.controlled[found.asset.0] || (!is_in_meter && !scene.is_storage_relied_on(found))
    };
    scene.layout.below[circuit.0].storages.iter().copied().filter(is_open)
}

/// W that batteries and V2X EVSEs below a circuit may put out.
pub fn discharge(scene: &Scene<'_>, circuit: CircuitIndex) -> Watts {
    let units = scene.layout.below[circuit.0].storages.iter();
    let open = units.filter(|unit| !scene.is_storage_relied_on(&scene.layout.storages[**unit]));
    open.map(|unit| scene.storages[*unit].reach_discharge).sum::<Watts>() + vehicles(scene, circuit)
}

/// W that V2X EVSEs below a circuit may put out, rounded up.
pub fn vehicles(scene: &Scene<'_>, circuit: CircuitIndex) -> Watts {
    let columns = scene.layout.below[circuit.0].columns.iter();
    columns.map(|column| vehicle_load(scene, *column)[0]).map(Watts::new).sum()
}

/// What one EVSE may put out, W and mA of L1 to L3, all >= 0.
pub fn vehicle_load(scene: &Scene<'_>, column: usize) -> [i64; 4] {
    let evse = &scene.layout.columns[column].evse;
    let current = evse.discharge_max;
    let mut load = [current.power(scene.voltage, evse.phases.conductors()).watts_up().get(), 0, 0, 0];
    for phase in evse.phases.phases() {
        load[phase.slot() + 1] = current.get();
    }
    load
}

/// W that batteries and V2X EVSEs below a circuit may put out beyond what its meter shows: the charge of a silent one may end, and one
/// that nobody controls may begin to discharge.
pub fn export(scene: &Scene<'_>, circuit: CircuitIndex) -> Watts {
    let of_unit = |unit: &usize| {
        let (found, state) = (&scene.layout.storages[*unit], &scene.storages[*unit]);
        let ends = if scene.storage_power(found).is_none() { state.reach_charge } else { Watts::ZERO };
        let begins = if scene.controlled[found.asset.0] { Watts::ZERO } else { state.reach_discharge };
        ends + begins
    };
    scene.layout.below[circuit.0].storages.iter().map(of_unit).sum::<Watts>() + vehicles(scene, circuit)
}

/// W that inverters below a circuit may put out: their rating.
pub fn generation(scene: &Scene<'_>, circuit: CircuitIndex) -> Watts {
    let units = scene.layout.below[circuit.0].pvs.iter().map(|unit| &scene.layout.pvs[*unit]);
    units.filter(|unit| !scene.is_pv_relied_on(unit)).map(|unit| unit.pv.power_max).sum()
}
