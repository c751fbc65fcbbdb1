//! What must hold of the parts before they are a site. Each function checks one thing and returns what it resolved.

use std::collections::BTreeMap;

use super::tree::{AssetKind, AssetSpec, Battery, CircuitSpec, Evse, Pv, SiteParts, Timing, Transformer};
use crate::error::CoreError;
use crate::units::{AssetIndex, CircuitIndex};

/// Largest power, current, energy or voltage of a site, in the unit of its field: sums of uW stay far inside 64 bits.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Largest share weight.
pub const WEIGHT_MAX: i64 = 65_535;
/// Largest age or interval, ms: a week.
pub const SPAN_MS_MAX: i64 = 604_800_000;
/// Largest limit of a transformer's line, mA.
pub const TRANSFORMER_MA_MAX: i64 = 20_000_000;
/// Most turns towards the grid per turn towards the circuit, x 1000.
pub const TURNS_PERMILLE_MAX: i64 = 200_000;
/// Deepest tree.
pub const DEPTH_MAX: usize = 32;
/// Most assets of one site.
pub const ASSETS_MAX: usize = 100_000;

type ById<'a> = BTreeMap<&'a str, usize>;

/// Ranges of every number.
pub fn parts(parts: &SiteParts) -> Result<(), CoreError> {
    within("site.nominal_voltage_mv", parts.nominal_voltage.get(), 50_000, 1_000_000)?;
    timing(&parts.timing)?;
    if parts.assets.len() > ASSETS_MAX {
        return Err(CoreError::site("assets", parts.assets.len(), format!("at most {ASSETS_MAX}")));
    }
    for circuit in &parts.circuits {
        circuit_ranges(circuit)?;
    }
    parts.assets.iter().try_for_each(asset_ranges)
}

fn timing(timing: &Timing) -> Result<(), CoreError> {
    let spans = [
        ("ems.tick_ms", timing.tick),
        ("ems.cycle_ms", timing.cycle),
        ("ems.sample_max_age_ms", timing.sample_max_age),
        ("ems.meter_max_age_ms", timing.meter_max_age),
        ("ems.setpoint_ttl_ms", timing.setpoint_ttl),
        ("ems.rotation_ms", timing.rotation),
    ];
    for (place, span) in spans {
        within(place, span.get(), 1, SPAN_MS_MAX)?;
    }
    within("ems.evse_up_interval_ms", timing.evse_up_interval.get(), 0, SPAN_MS_MAX)?;
    within("ems.evse_deadband_ma", timing.evse_deadband.get(), 0, QUANTITY_MAX)
}

fn circuit_ranges(circuit: &CircuitSpec) -> Result<(), CoreError> {
    let place = |field: &str| format!("circuits.{}.{field}", circuit.id);
    let amounts = [
        ("import_limit_w", circuit.import_limit.map(|limit| limit.get())),
        ("export_limit_w", circuit.export_limit.map(|limit| limit.get())),
        ("current_limit_ma", circuit.current_limit.map(|limit| limit.get())),
        ("max_uncontrolled_w", circuit.max_uncontrolled.map(|load| load.get())),
        ("min_uncontrolled_w", circuit.min_uncontrolled.map(|load| load.get())),
    ];
    for (field, amount) in amounts {
        within(&place(field), amount.unwrap_or(0), 0, QUANTITY_MAX)?;
    }
    within(&place("margin_permille"), circuit.margin.get(), 0, 1000)?;
    circuit.transformer.iter().try_for_each(|transformer| transformer_ranges(circuit, transformer))?;
    match (circuit.min_uncontrolled, circuit.max_uncontrolled) {
        (Some(least), Some(most)) if least > most => {
            Err(CoreError::site(place("min_uncontrolled_w"), least, format!("at most max_uncontrolled_w ({most})")))
        }
        _ => Ok(()),
    }
}

fn transformer_ranges(circuit: &CircuitSpec, transformer: &Transformer) -> Result<(), CoreError> {
    let place = |field: &str| format!("circuits.{}.transformer.{field}", circuit.id);
    if transformer.load_limit.is_none() && transformer.supply_limit.is_none() {
        return Err(CoreError::site(place("load_limit_ma"), "nothing", "load_limit_ma, supply_limit_ma or both"));
    }
    for (field, limit) in [("load_limit_ma", transformer.load_limit), ("supply_limit_ma", transformer.supply_limit)] {
        within(&place(field), limit.map_or(1, |limit| limit.get()), 1, TRANSFORMER_MA_MAX)?;
    }
    within(&place("turns_permille"), transformer.turns.get(), 1, TURNS_PERMILLE_MAX)
}

/// What hangs below a transformer: EVSEs of one kind of connection, and nothing that feeds back.
pub fn transformers(parts: &SiteParts, homes: &[CircuitIndex], paths: &[Vec<CircuitIndex>]) -> Result<(), CoreError> {
    for (index, circuit) in parts.circuits.iter().enumerate().filter(|(_, circuit)| circuit.transformer.is_some()) {
        let mut kind = None;
        let below = |home: &CircuitIndex| paths[home.0].contains(&CircuitIndex(index));
        for (asset, _) in parts.assets.iter().zip(homes).filter(|(_, home)| below(home)) {
            let refused = |expected: String| {
                let place = format!("circuits.{}.transformer", circuit.id);
                Err(CoreError::site(place, format!("{} below it", asset.id), expected))
            };
            match &asset.kind {
                AssetKind::Meter | AssetKind::Load => {}
                AssetKind::Pv(_) | AssetKind::Battery(_) => return refused("no PV and no battery".to_owned()),
                AssetKind::Evse(evse) if evse.discharge_max.get() > 0 => return refused("no V2X EVSE".to_owned()),
                AssetKind::Evse(evse) => {
                    let is_between = evse.phases.conductors() == 2;
                    if *kind.get_or_insert(is_between) != is_between {
                        return refused(
                            "EVSEs on two phases (line to line) or others (line to neutral), not both".to_owned(),
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

fn asset_ranges(asset: &AssetSpec) -> Result<(), CoreError> {
    match &asset.kind {
        AssetKind::Meter | AssetKind::Load => Ok(()),
        AssetKind::Pv(pv) => pv_ranges(&asset.id, pv),
        AssetKind::Battery(battery) => battery_ranges(&asset.id, battery),
        AssetKind::Evse(evse) => evse_ranges(&asset.id, evse),
    }
}

fn pv_ranges(id: &str, pv: &Pv) -> Result<(), CoreError> {
    within(&format!("assets.{id}.power_max_w"), pv.power_max.get(), 1, QUANTITY_MAX)?;
    within(&format!("assets.{id}.revert_w"), pv.revert.power.get(), 0, QUANTITY_MAX)
}

fn battery_ranges(id: &str, battery: &Battery) -> Result<(), CoreError> {
    let place = |field: &str| format!("assets.{id}.{field}");
    within(&place("power_max_w"), battery.power_max.get(), 1, QUANTITY_MAX)?;
    within(&place("charge_max_w"), battery.charge_max.get(), 0, QUANTITY_MAX)?;
    within(&place("energy_wh"), battery.energy.get(), 1, QUANTITY_MAX)?;
    within(&place("bridge_reserve_w"), battery.bridge_reserve.get(), 0, QUANTITY_MAX)?;
    within(&place("soc_max_permille"), battery.soc_max.get(), 0, 1000)?;
    within(&place("soc_min_permille"), battery.soc_min.get(), 0, battery.soc_max.get())
}

fn evse_ranges(id: &str, evse: &Evse) -> Result<(), CoreError> {
    let place = |field: &str| format!("stations.{}.evses.{id}.{field}", evse.station);
    let (min, step) = (evse.current_min.get(), evse.current_step.get());
    within(&place("current_max_ma"), evse.current_max.get(), 1, QUANTITY_MAX)?;
    within(&place("current_min_ma"), min, 1, evse.current_max.get())?;
    within(&place("current_step_ma"), step, 1, QUANTITY_MAX)?;
    if min % step != 0 {
        return Err(CoreError::site(place("current_step_ma"), step, format!("a divisor of current_min_ma ({min})")));
    }
    within(&place("fallback_ma"), evse.fallback.get(), 0, evse.current_max.get())?;
    within(&place("discharge_max_ma"), evse.discharge_max.get(), 0, evse.current_max.get())?;
    within(&place("weight"), evse.weight, 1, WEIGHT_MAX)?;
    within(&place("stratum"), evse.stratum, 0, i64::from(i32::MAX))
}

/// Exactly one circuit without a parent.
pub fn root(circuits: &[CircuitSpec]) -> Result<CircuitIndex, CoreError> {
    let mut roots = circuits.iter().enumerate().filter(|(_, circuit)| circuit.parent.is_none());
    let expected = "exactly one circuit without a parent, the connection point";
    let Some((root, _)) = roots.next() else {
        return Err(CoreError::site("circuits", "none without a parent", expected));
    };
    match roots.next() {
        Some((_, other)) => Err(CoreError::site("circuits", format!("{} without a parent too", other.id), expected)),
        None => Ok(CircuitIndex(root)),
    }
}

/// The parent of each circuit.
pub fn parents(circuits: &[CircuitSpec], by_id: &ById<'_>) -> Result<Vec<Option<CircuitIndex>>, CoreError> {
    let resolve = |circuit: &CircuitSpec| match &circuit.parent {
        None => Ok(None),
        Some(parent) => known(&format!("circuits.{}.parent", circuit.id), parent, by_id, "circuit")
            .map(|position| Some(CircuitIndex(position))),
    };
    circuits.iter().map(resolve).collect()
}

/// The way from each circuit up to the connection point; a cycle has no end.
pub fn paths(circuits: &[CircuitSpec], parents: &[Option<CircuitIndex>]) -> Result<Vec<Vec<CircuitIndex>>, CoreError> {
    let climb = |start: usize| {
        let mut path = vec![CircuitIndex(start)];
        let mut above = parents[start];
        while let Some(parent) = above {
            if path.contains(&parent) || path.len() >= DEPTH_MAX {
                let place = format!("circuits.{}.parent", circuits[start].id);
                let expected = format!("a way to the connection point of at most {DEPTH_MAX} circuits");
                return Err(CoreError::site(place, "a cycle or too deep a tree", expected));
            }
            path.push(parent);
            above = parents[parent.0];
        }
        Ok(path)
    };
    (0..circuits.len()).map(climb).collect()
}

/// The METER asset of each circuit.
pub fn meters(parts: &SiteParts, by_id: &ById<'_>) -> Result<Vec<Option<AssetIndex>>, CoreError> {
    let resolve = |circuit: &CircuitSpec| {
        let Some(meter) = &circuit.meter else { return Ok(None) };
        let place = format!("circuits.{}.meter", circuit.id);
        let position = known(&place, meter, by_id, "METER asset")?;
        match parts.assets[position].kind {
            AssetKind::Meter => Ok(Some(AssetIndex(position))),
            _ => Err(CoreError::site(place, meter, "the id of a METER asset")),
        }
    };
    parts.circuits.iter().map(resolve).collect()
}

/// The circuit of each asset.
pub fn homes(assets: &[AssetSpec], by_id: &ById<'_>) -> Result<Vec<CircuitIndex>, CoreError> {
    let resolve =
        |asset: &AssetSpec| known(&format!("{}.circuit", asset.id), &asset.circuit, by_id, "circuit").map(CircuitIndex);
    assets.iter().map(resolve).collect()
}

fn known(place: &str, id: &str, by_id: &ById<'_>, what: &str) -> Result<usize, CoreError> {
    by_id.get(id).copied().ok_or_else(|| CoreError::site(place, id, format!("the id of a {what}")))
}

/// `low <= found <= high`.
pub fn within(place: &str, found: i64, low: i64, high: i64) -> Result<(), CoreError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(CoreError::site(place, found, format!("{low}..={high}")))
}
