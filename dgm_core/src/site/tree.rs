//! The electrical tree: a `Site` that exists is valid.
//!
//! ```text
//! SiteParts ──Site::new──> Site: one root, no cycle, known references, ranges that make sense
//!    connection point > feeder > panel > assets (METER, PV, BATTERY, LOAD, EVSE)
//! ```
//! Order of assets everywhere: `assets` of the configuration, then the EVSEs of its stations. Building a site is the
//! only validation; nothing that takes a `Site` checks it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check;
use crate::error::CoreError;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::session::Transport;
use crate::modbus::table::DeviceTable;
use crate::units::{AssetIndex, CircuitIndex, Milliamps, Millis, Millivolts, Permille, WattHours, Watts};

/// A conductor of the grid connection, as the site names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// L1.
    L1,
    /// L2.
    L2,
    /// L3.
    L3,
}

impl Phase {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::L1, Self::L2, Self::L3];

    /// 0 for L1 to 2 for L3.
    pub const fn slot(self) -> usize {
        match self {
            Self::L1 => 0,
            Self::L2 => 1,
            Self::L3 => 2,
        }
    }
}

/// Wired conductors of a device in the order of its own L1, L2, L3: at least one, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseMap(Vec<Phase>);

impl PhaseMap {
    /// L1 L2 L3.
    pub fn three() -> Self {
        Self(Phase::ALL.to_vec())
    }

    /// An empty list is an unproved map and counts on every phase.
    pub fn new(phases: &[Phase], place: &str) -> Result<Self, CoreError> {
        if phases.is_empty() {
            return Ok(Self::three());
        }
        for (position, phase) in phases.iter().enumerate() {
            if phases[..position].contains(phase) {
                return Err(CoreError::site(place, format!("{phase:?} twice"), "each phase once"));
            }
        }
        Ok(Self(phases.to_vec()))
    }

    /// The wired phases, in the device's order.
    pub fn phases(&self) -> &[Phase] {
        &self.0
    }

    /// How many conductors carry its current, 1..=3.
    pub fn conductors(&self) -> i64 {
        crate::units::count(self.0.len())
    }

    /// Whether the device has this conductor.
    pub fn has(&self, phase: Phase) -> bool {
        self.0.contains(&phase)
    }
}

/// A circuit as it is configured.
#[derive(Clone, Debug, Default)]
pub struct CircuitSpec {
    /// Unique id.
    pub id: String,
    /// Absent for exactly one circuit, the connection point.
    pub parent: Option<String>,
    /// W, >= 0.
    pub import_limit: Option<Watts>,
    /// W, >= 0.
    pub export_limit: Option<Watts>,
    /// mA per phase, >= 0.
    pub current_limit: Option<Milliamps>,
    /// Id of the METER asset that measures it.
    pub meter: Option<String>,
    /// The most the load that nobody controls can be, balanced over the phases.
    pub max_uncontrolled: Option<Watts>,
    /// The least it can be.
    pub min_uncontrolled: Option<Watts>,
    /// Of the bound, kept free on NET rows.
    pub margin: Permille,
    /// That feeds it.
    pub transformer: Option<Transformer>,
}

/// The limits of a transformer with a wye winding towards its circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformer {
    /// The winding towards the grid is a delta.
    pub is_delta: bool,
    /// mA per line conductor towards the circuit, >= 1.
    pub load_limit: Option<Milliamps>,
    /// mA per line conductor towards the grid, >= 1.
    pub supply_limit: Option<Milliamps>,
    /// Turns towards the grid per turn towards the circuit.
    pub turns: Permille,
}

/// A circuit of a valid site.
#[derive(Clone, Debug)]
pub struct Circuit {
    /// As configured.
    pub spec: CircuitSpec,
    /// Absent for the connection point.
    pub parent: Option<CircuitIndex>,
    /// The METER asset that measures it.
    pub meter: Option<AssetIndex>,
    /// Itself, then its parents up to the connection point.
    pub path: Vec<CircuitIndex>,
}

/// What an inverter falls back to when its revert timer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revert {
    /// PV: generation allowed; battery: power.
    pub power: Watts,
    /// Length of the timer.
    pub after: Millis,
}

/// A PV inverter.
#[derive(Clone, Debug)]
pub struct Pv {
    /// Rated output.
    pub power_max: Watts,
    /// Its own fallback.
    pub revert: Revert,
}

/// A battery with its inverter.
#[derive(Clone, Debug)]
pub struct Battery {
    /// Rated discharge.
    pub power_max: Watts,
    /// Rated charge.
    pub charge_max: Watts,
    /// Usable energy.
    pub energy: WattHours,
    /// Reserve: below it nothing is discharged.
    pub soc_min: Permille,
    /// Above it nothing is charged.
    pub soc_max: Permille,
    /// Never credited to EV grants.
    pub bridge_reserve: Watts,
    /// Its own fallback.
    pub revert: Revert,
}

/// One EVSE of a station.
#[derive(Clone, Debug)]
pub struct Evse {
    /// Wired conductors in the EVSE's own order.
    pub phases: PhaseMap,
    /// mA per phase: rating, and what it counts at while nothing is proved.
    pub current_max: Milliamps,
    /// mA: below it means 0.
    pub current_min: Milliamps,
    /// mA: grants are multiples of it.
    pub current_step: Milliamps,
    /// mA per phase with nobody alive.
    pub fallback: Milliamps,
    /// mA per phase that it may ever give back (V2X); 0: it only charges.
    pub discharge_max: Milliamps,
    /// Share weight, >= 1.
    pub weight: i64,
    /// Served before higher numbers.
    pub stratum: i64,
    /// Station (OCPP identity) it belongs to.
    pub station: String,
}

/// What an asset is.
#[derive(Clone, Debug)]
pub enum AssetKind {
    /// Measures a circuit.
    Meter,
    /// A load that is only watched.
    Load,
    /// Generates, can be capped.
    Pv(Pv),
    /// Charges and discharges.
    Battery(Battery),
    /// Charges cars.
    Evse(Evse),
}

/// How a device is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modbus {
    /// Where its line is.
    pub endpoint: Endpoint,
    /// What carries the frames there.
    pub transport: Transport,
    /// 1..=247.
    pub unit_id: u8,
    /// Time between two polls.
    pub poll_interval: Millis,
    /// How long an answer may take.
    pub timeout: Millis,
    /// How long a setpoint may wait for the line.
    pub write_latency: Millis,
    /// Its registers, if it does not describe itself by SunSpec models.
    pub table: Option<Arc<DeviceTable>>,
}

/// An asset as it is configured.
#[derive(Clone, Debug)]
pub struct AssetSpec {
    /// Unique id.
    pub id: String,
    /// Id of the circuit it hangs on.
    pub circuit: String,
    /// Wired conductors (an EVSE has its own in `Evse`).
    pub phases: PhaseMap,
    /// What it is, with its ratings.
    pub kind: AssetKind,
    /// How it is reached; absent for EVSEs and for what others report.
    pub modbus: Option<Modbus>,
}

/// An asset of a valid site.
#[derive(Clone, Debug)]
pub struct Asset {
    /// As configured.
    pub spec: AssetSpec,
    /// The circuit it hangs on.
    pub circuit: CircuitIndex,
}

/// Rhythm and ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Field loop.
    pub tick: Millis,
    /// EVSE grants.
    pub cycle: Millis,
    /// Smallest raise worth a message.
    pub evse_deadband: Milliamps,
    /// Least time between two raises of one EVSE.
    pub evse_up_interval: Millis,
    /// Older EVSE samples are no lower bound of draw.
    pub sample_max_age: Millis,
    /// An older meter reading is a lost meter.
    pub meter_max_age: Millis,
    /// Lease of an EVSE setpoint.
    pub setpoint_ttl: Millis,
    /// How long a car that got nothing waits for its turn at most.
    pub rotation: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick: Millis::new(100),
            cycle: Millis::new(1_000),
            evse_deadband: Milliamps::new(1_000),
            evse_up_interval: Millis::new(5_000),
            sample_max_age: Millis::new(12_000),
            meter_max_age: Millis::new(2_000),
            setpoint_ttl: Millis::new(15_000),
            rotation: Millis::new(900_000),
        }
    }
}

/// Everything a site is made of, not yet checked.
#[derive(Clone, Debug)]
pub struct SiteParts {
    /// Phase to neutral.
    pub nominal_voltage: Millivolts,
    /// In the configuration's order.
    pub circuits: Vec<CircuitSpec>,
    /// In the configuration's order, EVSEs last.
    pub assets: Vec<AssetSpec>,
    /// Rhythm and ages.
    pub timing: Timing,
}

/// One valid site.
#[derive(Clone, Debug)]
pub struct Site {
    nominal_voltage: Millivolts,
    circuits: Vec<Circuit>,
    assets: Vec<Asset>,
    root: CircuitIndex,
    timing: Timing,
}

impl Site {
    /// Checks the parts and joins them; the first thing wrong is told.
    pub fn new(parts: SiteParts) -> Result<Self, CoreError> {
        check::parts(&parts)?;
        let assets_by_id = index(parts.assets.iter().map(|asset| asset.id.as_str()), "assets")?;
        let circuits_by_id = index(parts.circuits.iter().map(|circuit| circuit.id.as_str()), "circuits")?;
        let parents = check::parents(&parts.circuits, &circuits_by_id)?;
        let root = check::root(&parts.circuits)?;
        let meters = check::meters(&parts, &assets_by_id)?;
        let homes = check::homes(&parts.assets, &circuits_by_id)?;
        let paths = check::paths(&parts.circuits, &parents)?;
        check::transformers(&parts, &homes, &paths)?;
        let circuits = parts.circuits.into_iter().zip(parents).zip(meters).zip(paths);
        let assets = parts.assets.into_iter().zip(homes);
        Ok(Self {
            nominal_voltage: parts.nominal_voltage,
            circuits: circuits.map(|(((spec, parent), meter), path)| Circuit { spec, parent, meter, path }).collect(),
            assets: assets.map(|(spec, circuit)| Asset { spec, circuit }).collect(),
            root,
            timing: parts.timing,
        })
    }

    /// Phase to neutral.
    pub fn nominal_voltage(&self) -> Millivolts {
        self.nominal_voltage
    }

    /// Rhythm and ages.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The connection point.
    pub fn root(&self) -> CircuitIndex {
        self.root
    }

    /// In the configuration's order.
    pub fn circuits(&self) -> &[Circuit] {
        &self.circuits
    }

    /// In the configuration's order, EVSEs last.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// The circuit at `index`, which this site handed out.
    pub fn circuit(&self, index: CircuitIndex) -> &Circuit {
        &self.circuits[index.0]
    }

    /// The asset at `index`, if there is one.
    pub fn asset(&self, index: AssetIndex) -> Option<&Asset> {
        self.assets.get(index.0)
    }

    /// Itself, then its parents up to the connection point.
    pub fn path(&self, index: CircuitIndex) -> &[CircuitIndex] {
        &self.circuits[index.0].path
    }
}

fn index<'a>(ids: impl Iterator<Item = &'a str>, list: &str) -> Result<BTreeMap<&'a str, usize>, CoreError> {
    let mut by_id = BTreeMap::new();
    for (position, id) in ids.enumerate() {
        if id.is_empty() {
            return Err(CoreError::site(format!("{list}[{position}].id"), "nothing", "an id"));
        }
        if by_id.insert(id, position).is_some() {
            return Err(CoreError::site(format!("{list}[{position}].id"), format!("{id} again"), "an id used once"));
        }
    }
    Ok(by_id)
}
