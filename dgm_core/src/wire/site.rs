//! `DgmConfig` bytes to a `Site`, with the defaults that config.proto documents.

use std::sync::Arc;

use prost::Message;

use super::config::{
    AssetConfig, CircuitConfig, DgmConfig, EmsConfig, EvseConfig, ModbusConfig, StationConfig, TransformerConfig,
    Winding,
};
use super::core::DeviceTable as WireTable;
use super::device::device_table;
use super::link::{check_ports, Link};
use super::site_v1::{AssetType, Phase as WirePhase};
use crate::error::CoreError;
use crate::modbus::table::{CtRatio, DeviceTable};
use crate::site::{
    within, AssetKind, AssetSpec, Battery, CircuitSpec, Evse, Modbus, Phase, PhaseMap, Pv, Revert, Site, SiteParts,
    Timing, Transformer, SPAN_MS_MAX,
};
use crate::units::{Milliamps, Millis, Millivolts, Permille, WattHours, Watts};

const NOMINAL_VOLTAGE_MV: i64 = 230_000;
const MARGIN_PERMILLE: i64 = 10;
const SOC_MIN_PERMILLE: i64 = 200;
const SOC_MAX_PERMILLE: i64 = 900;
const REVERT_S: i64 = 30;
const METER_POLL_MS: i64 = 100;
const DEVICE_POLL_MS: i64 = 200;
const WRITE_LATENCY_MS: i64 = 50;
const MODBUS_TIMEOUT_MS: i64 = 500;
const CT_SECONDARY_A: i64 = 5;
const CURRENT_MIN_MA: i64 = 6_000;
const CURRENT_STEP_MA: i64 = 1_000;
const TURNS_PERMILLE: i64 = 1_000;

/// The site that `DgmConfig` bytes describe.
pub fn decode_site(bytes: &[u8]) -> Result<Site, CoreError> {
    let config = DgmConfig::decode(bytes)
        .map_err(|error| CoreError::Decode { message: "DgmConfig", reason: error.to_string() })?;
    Site::new(parts(&config)?)
}

fn parts(config: &DgmConfig) -> Result<SiteParts, CoreError> {
    let mut assets = config.assets.iter().map(|found| asset(found, &config.devices)).collect::<Result<Vec<_>, _>>()?;
    for station in &config.stations {
        for evse in &station.evses {
            assets.push(evse_asset(station, evse)?);
        }
    }
    let links = assets.iter().filter_map(|asset| Some((&asset.id, asset.modbus.as_ref()?)));
    check_ports(links.map(|(id, modbus)| (format!("assets.{id}.modbus"), &modbus.endpoint)))?;
    let voltage_mv = config.site.as_ref().map_or(0, |site| site.nominal_voltage_mv);
    Ok(SiteParts {
        nominal_voltage: Millivolts::new(or_default(voltage_mv, NOMINAL_VOLTAGE_MV)),
        circuits: config.circuits.iter().map(circuit).collect::<Result<_, _>>()?,
        assets,
        timing: config.ems.as_ref().map_or_else(Timing::default, timing),
    })
}

fn circuit(config: &CircuitConfig) -> Result<CircuitSpec, CoreError> {
    let place = format!("circuits.{}.transformer", config.id);
    Ok(CircuitSpec {
        id: config.id.clone(),
        parent: text(&config.parent),
        import_limit: config.import_limit_w.map(Watts::new),
        export_limit: config.export_limit_w.map(Watts::new),
        current_limit: config.current_limit_ma.map(Milliamps::new),
        meter: text(&config.meter),
        max_uncontrolled: config.max_uncontrolled_w.map(Watts::new),
        min_uncontrolled: config.min_uncontrolled_w.map(Watts::new),
        margin: Permille::new(config.margin_permille.unwrap_or(MARGIN_PERMILLE)),
        transformer: config.transformer.as_ref().map(|found| transformer(found, &place)).transpose()?,
    })
}

fn transformer(config: &TransformerConfig, place: &str) -> Result<Transformer, CoreError> {
    let is_delta = match Winding::try_from(config.supply) {
        Ok(Winding::Delta) => true,
        Ok(Winding::Wye) => false,
        Ok(Winding::Unspecified) | Err(_) => {
            return Err(CoreError::site(format!("{place}.supply"), config.supply, "DELTA or WYE"));
        }
    };
    Ok(Transformer {
        is_delta,
        load_limit: config.load_limit_ma.map(Milliamps::new),
        supply_limit: config.supply_limit_ma.map(Milliamps::new),
        turns: Permille::new(or_default(config.turns_permille, TURNS_PERMILLE)),
    })
}

fn asset(config: &AssetConfig, tables: &[WireTable]) -> Result<AssetSpec, CoreError> {
    let place = format!("assets.{}", config.id);
    let kind = match AssetType::try_from(config.r#type) {
        Ok(AssetType::Meter) => AssetKind::Meter,
        Ok(AssetType::Load) => AssetKind::Load,
        Ok(AssetType::Pv) => AssetKind::Pv(pv(config, &place)?),
        Ok(AssetType::Battery) => AssetKind::Battery(battery(config, &place)?),
        Ok(AssetType::Evse | AssetType::Unspecified) | Err(_) => {
            return Err(CoreError::site(format!("{place}.type"), config.r#type, "METER, PV, BATTERY or LOAD"));
        }
    };
    let poll_ms = if matches!(kind, AssetKind::Meter) { METER_POLL_MS } else { DEVICE_POLL_MS };
    Ok(AssetSpec {
        id: config.id.clone(),
        circuit: config.circuit.clone(),
        phases: phases(&config.phases, &place)?,
        kind,
        modbus: config.modbus.as_ref().map(|found| modbus(found, tables, poll_ms, &place)).transpose()?,
    })
}

fn pv(config: &AssetConfig, place: &str) -> Result<Pv, CoreError> {
    let power_max = rating(config.power_max_w, place, "power_max_w")?;
    Ok(Pv { power_max: Watts::new(power_max), revert: revert(config, power_max, place)? })
}

fn battery(config: &AssetConfig, place: &str) -> Result<Battery, CoreError> {
    let power_max = rating(config.power_max_w, place, "power_max_w")?;
    Ok(Battery {
        power_max: Watts::new(power_max),
        charge_max: Watts::new(config.charge_max_w.unwrap_or(power_max)),
        energy: WattHours::new(rating(config.energy_wh, place, "energy_wh")?),
        soc_min: Permille::new(config.soc_min_permille.unwrap_or(SOC_MIN_PERMILLE)),
        soc_max: Permille::new(config.soc_max_permille.unwrap_or(SOC_MAX_PERMILLE)),
        bridge_reserve: Watts::new(config.bridge_reserve_w.unwrap_or(0)),
        revert: revert(config, 0, place)?,
    })
}

fn rating(found: Option<i64>, place: &str, field: &str) -> Result<i64, CoreError> {
    found.ok_or_else(|| CoreError::site(format!("{place}.{field}"), "nothing", "the rating"))
}

fn revert(config: &AssetConfig, power_w: i64, place: &str) -> Result<Revert, CoreError> {
    let after_s = config.revert_s.unwrap_or(REVERT_S);
    within(&format!("{place}.revert_s"), after_s, 1, SPAN_MS_MAX / 1000)?;
    Ok(Revert { power: Watts::new(config.revert_w.unwrap_or(power_w)), after: Millis::new(after_s * 1000) })
}

fn modbus(config: &ModbusConfig, tables: &[WireTable], poll_ms: i64, place: &str) -> Result<Modbus, CoreError> {
    let link = Link { host: &config.host, port: config.port, serial: config.serial.as_ref(), tls: config.tls.as_ref() };
    let (endpoint, transport) = link.decode(&format!("{place}.modbus"), 1)?;
    let place = |field: &str| format!("{place}.modbus.{field}");
    let poll_interval = or_default(config.poll_interval_ms, poll_ms);
    let timeout = or_default(config.timeout_ms, MODBUS_TIMEOUT_MS);
    within(&place("poll_interval_ms"), poll_interval, 1, SPAN_MS_MAX)?;
    within(&place("timeout_ms"), timeout, 1, SPAN_MS_MAX)?;
    let write_latency = match config.write_latency_ms {
        0 => WRITE_LATENCY_MS,
        found => found,
    };
    within(&place("write_latency_ms"), write_latency, 1, SPAN_MS_MAX)?;
    within(&place("unit_id"), config.unit_id, 1, 247)?;
    Ok(Modbus {
        endpoint,
        transport,
        unit_id: u8::try_from(config.unit_id).unwrap_or(u8::MAX),
        poll_interval: Millis::new(poll_interval),
        timeout: Millis::new(timeout),
        write_latency: Millis::new(write_latency),
        table: table(config, tables, &place("device"))?,
    })
}

/// The table an asset names, with its own current transformer.
fn table(config: &ModbusConfig, tables: &[WireTable], place: &str) -> Result<Option<Arc<DeviceTable>>, CoreError> {
    let Some(name) = text(&config.device) else { return Ok(None) };
    let is_named = |table: &&WireTable| table.map.as_ref().is_some_and(|map| map.name == name);
    let expected = "the name of a device table in `devices`";
    let found = tables.iter().find(is_named).ok_or_else(|| CoreError::site(place, &name, expected))?;
    let ct = (config.ct_primary_a > 0).then(|| CtRatio {
        primary: config.ct_primary_a,
        secondary: or_default(config.ct_secondary_a, CT_SECONDARY_A),
    });
    let table = device_table(found, ct, &format!("{place} {name}: "));
    table.map(|table| Some(Arc::new(table))).map_err(|problems| CoreError::all(&problems))
}

fn evse_asset(station: &StationConfig, config: &EvseConfig) -> Result<AssetSpec, CoreError> {
    let place = format!("stations.{}.evses.{}", station.id, config.id);
    let phases = phases(&config.phases, &place)?;
    let evse = Evse {
        phases: phases.clone(),
        current_max: Milliamps::new(config.current_max_ma),
        current_min: Milliamps::new(config.current_min_ma.unwrap_or(CURRENT_MIN_MA)),
        current_step: Milliamps::new(config.current_step_ma.unwrap_or(CURRENT_STEP_MA)),
        fallback: Milliamps::new(config.fallback_ma.unwrap_or(0)),
        discharge_max: Milliamps::new(config.discharge_max_ma),
        weight: config.weight.unwrap_or(1),
        stratum: config.stratum.unwrap_or(1),
        station: station.id.clone(),
    };
    Ok(AssetSpec {
        id: config.id.clone(),
        circuit: config.circuit.clone(),
        phases,
        kind: AssetKind::Evse(evse),
        modbus: None,
    })
}

fn timing(config: &EmsConfig) -> Timing {
    let default = Timing::default();
    let span = |found: i64, default: Millis| Millis::new(or_default(found, default.get()));
    Timing {
        tick: span(config.tick_ms, default.tick),
        cycle: span(config.cycle_ms, default.cycle),
        evse_deadband: Milliamps::new(or_default(config.evse_deadband_ma, default.evse_deadband.get())),
        evse_up_interval: span(config.evse_up_interval_ms, default.evse_up_interval),
        sample_max_age: span(config.sample_max_age_ms, default.sample_max_age),
        meter_max_age: span(config.meter_max_age_ms, default.meter_max_age),
        setpoint_ttl: span(config.setpoint_ttl_ms, default.setpoint_ttl),
        rotation: span(config.rotation_ms, default.rotation),
    }
}

fn phases(found: &[i32], place: &str) -> Result<PhaseMap, CoreError> {
    let place = format!("{place}.phases");
    let phase = |number: &i32| match WirePhase::try_from(*number) {
        Ok(WirePhase::L1) => Ok(Phase::L1),
        Ok(WirePhase::L2) => Ok(Phase::L2),
        Ok(WirePhase::L3) => Ok(Phase::L3),
        Ok(WirePhase::Unspecified) | Err(_) => Err(CoreError::site(place.clone(), number, "L1, L2 or L3")),
    };
    PhaseMap::new(&found.iter().map(phase).collect::<Result<Vec<_>, _>>()?, &place)
}

fn or_default(found: i64, default: i64) -> i64 {
    if found == 0 {
        default
    } else {
        found
    }
}

fn text(found: &str) -> Option<String> {
    (!found.is_empty()).then(|| found.to_owned())
}
