//! PV caps, every tick: nameplate unless an export or generation bound binds after the battery.
//!
//! The cap is reckoned from what the meter would show without PV and batteries, so it does not depend on what the cap does
//! to the reading: it settles in one step. It is raised only by a share of the rating, so that noise moves nothing.
//!
//! An inverter that is silent or that nobody controls counts at its rating: the others leave room for it. It is told the cap
//! that it would have if it obeyed, so that nothing jumps when it does again.

use super::balance::Balances;
use super::bound::{Bound, RowKind};
use super::budget::margin;
use super::credit::shrink;
use super::scene::Scene;
use super::storage::StoragePlan;
use super::worst;
use crate::units::{Permille, Watts};

/// Smallest raise of a cap, of the rating.
const DEADBAND: Permille = Permille::new(10);

/// W that each PV unit may generate, >= 0, and the row that said so.
pub type Caps = Vec<(Watts, Option<usize>)>;

/// Caps from bounds; `held` are the caps of the tick before, `wants` those that targets ask for.
pub fn caps(
    scene: &Scene<'_>,
    balances: &Balances,
    rows: &[Bound],
    storage: &StoragePlan,
    wants: &[Option<i64>],
    held: &[Watts],
) -> Caps {
    let layout = scene.layout;
    let wish = |unit: usize| {
        let power_max = layout.pvs[unit].pv.power_max;
        wants[unit].map_or(power_max, |want| (-Watts::new(want)).max(Watts::ZERO).min(power_max))
    };
    let mut caps: Vec<Watts> = (0..layout.pvs.len()).map(wish).collect();
    let mut marks = vec![None; caps.len()];
    let mut narrow = |index: usize, chosen: &[usize], allowed: Watts| {
        let wanted: Watts = chosen.iter().map(|unit| caps[*unit]).sum();
        if shrink(&mut caps, chosen, allowed) < wanted {
            chosen.iter().for_each(|unit| marks[*unit] = Some(index));
        }
    };
    let bounds = rows.iter().enumerate();
    let bounds: Vec<_> =
        bounds.filter_map(|(index, row)| Some((index, row.circuit, allowed(scene, balances, row, storage)?))).collect();
    for (index, circuit, allowed) in &bounds {
        narrow(*index, &layout.below[circuit.0].pvs, *allowed);
    }
    for (index, circuit, allowed) in &bounds {
        let below = layout.below[circuit.0].pvs.iter().copied();
        let relied: Vec<usize> = below.filter(|unit| scene.is_pv_relied_on(&layout.pvs[*unit])).collect();
        narrow(*index, &relied, *allowed - worst::generation(scene, *circuit));
    }
    let settle = |unit: usize| deadband(caps[unit], held[unit], wish(unit));
    (0..caps.len()).map(|unit| (settle(unit), marks[unit])).collect()
}

/// W that the PV below a row may generate; absent: the row does not bound it.
fn allowed(scene: &Scene<'_>, balances: &Balances, row: &Bound, storage: &StoragePlan) -> Option<Watts> {
    match row.kind {
        RowKind::NetExport => Some(exportable(scene, balances, row, storage)),
        RowKind::GrossGeneration => {
            let below = scene.layout.below[row.circuit.0].storages.iter();
            let discharge: Watts = below.map(|unit| discharge_of(scene, storage, *unit)).sum();
            Some(Watts::new(row.bound) - discharge - worst::vehicles(scene, row.circuit))
        }
        RowKind::DerOutput => {
            let below = scene.layout.below[row.circuit.0].storages.iter();
            let taken: Watts = below.map(|unit| net_taken(scene, storage, *unit)).sum();
            Some(Watts::new(row.bound) + taken - worst::vehicles(scene, row.circuit))
        }
        RowKind::NetImport | RowKind::GrossLoad | RowKind::StorageCharge | RowKind::Current(_) => None,
    }
}

/// W into a battery that PV may count on: its charge only as far as it was told to charge and is seen to.
fn net_taken(scene: &Scene<'_>, storage: &StoragePlan, unit: usize) -> Watts {
    let seen = scene.storage_power(&scene.layout.storages[unit]).unwrap_or(Watts::ZERO);
    let charge = storage.setpoints[unit].min(seen).max(Watts::ZERO);
    let discharge = discharge_of(scene, storage, unit);
    if discharge > Watts::ZERO {
        -discharge
    } else {
        charge
    }
}

/// A battery that is not relied on may be doing the most that it can.
fn discharge_of(scene: &Scene<'_>, storage: &StoragePlan, unit: usize) -> Watts {
    if scene.is_storage_relied_on(&scene.layout.storages[unit]) {
        (-storage.setpoints[unit]).max(Watts::ZERO)
    } else {
        scene.storages[unit].reach_discharge
    }
}

/// The bound, plus the load that is there, plus what batteries could take. Without the meter: the least load, no battery.
fn exportable(scene: &Scene<'_>, balances: &Balances, row: &Bound, storage: &StoragePlan) -> Watts {
    let bound = Watts::new(row.bound - margin(scene, row));
    let below = &scene.layout.below[row.circuit.0];
    let Some(net) = balances.circuits[row.circuit.0].without_der[0] else {
        let batteries: Watts = below.storages.iter().map(|unit| discharge_of(scene, storage, *unit)).sum();
        let discharge = batteries + worst::vehicles(scene, row.circuit);
        return bound + scene.site.circuit(row.circuit).spec.min_uncontrolled.unwrap_or(Watts::ZERO) - discharge;
    };
    let absorbed = |unit: &usize| match storage.setpoints[*unit] {
        setpoint if setpoint < Watts::ZERO => setpoint,
        setpoint => setpoint.max(storage.chargeable[*unit]),
    };
    bound + Watts::new(net) + below.storages.iter().map(absorbed).sum() - worst::export(scene, row.circuit)
}

fn deadband(cap: Watts, held: Watts, free: Watts) -> Watts {
    let is_small_raise = cap > held && cap < free && cap - held < Watts::new(DEADBAND.of(free.get()));
    if is_small_raise {
        held
    } else {
        cap
    }
}
