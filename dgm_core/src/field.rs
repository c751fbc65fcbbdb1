//! One tick of the field loop: what was read goes to the Arbiter, what it grants goes to the devices.
//!
//! ```text
//! lines ── readings ──> Arbiter.put_reading ──> decide ──> grants of PV and batteries ──> lines
//!                ^ inputs (limits, targets, samples, outcomes, link), each with the time of its receipt
//! ```
//!
//! Pure: the reactor moves the bytes and says what time it is. Setpoints of EVSEs are not sent here: they leave with
//! the grants. A grant that is withdrawn is not replaced: the device falls back by its own revert timer. What PV and
//! batteries are told is written whether they are controlled or not; the Arbiter relies on it only while it is proved.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::arbiter::{Arbiter, EvseSample, GrantValue, LimitSet, Outcome, Target};
use crate::error::CoreError;
use crate::modbus::actuator::Fallback;
use crate::modbus::control::Setpoint;
use crate::modbus::device::{DeviceConfig, Role};
use crate::modbus::endpoint::Endpoint;
use crate::modbus::line::{Line, LineCounters};
use crate::modbus::occupancy::LineLoad;
use crate::modbus::plan::Slots;
use crate::modbus::session::{Jitter, Transport};
use crate::modbus::standing::{Hold, Standing};
use crate::site::{AssetKind, AssetSpec, Modbus, PhaseMap, Reading, Revert, Site};
use crate::units::{AssetIndex, Micros, Millis, Watts};

/// Ticks for which a setpoint holds: a tick that comes late does not end it, a loop that stands still does.
const SETPOINT_TICKS: i64 = 10;

/// How often the lines are asked what they carry.
const LINES_EVERY: Micros = Micros::from_millis(10_000);

/// What Python hands in.
#[derive(Clone, Debug)]
pub enum Input {
    /// All active limits.
    Limits(LimitSet),
    /// Wants and how long they hold.
    Targets(Vec<Target>, Millis),
    /// What EVSEs reported.
    Samples(Vec<EvseSample>),
    /// What EVSEs did with their setpoints.
    Outcomes(Vec<Outcome>),
    /// Whether the ocpp role is heard.
    Link(bool),
}

/// Counters of the tick itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldCounters {
    /// Ticks carried out.
    pub ticks: u64,
    /// Ticks left out because the one before came too late.
    pub tick_overruns: u64,
    /// Inputs that the Arbiter refused.
    pub inputs_refused: u64,
    /// PV and batteries that count as uncontrolled in the newest tick.
    pub devices_uncontrolled: u64,
    /// Times that one was controlled and is not any more.
    pub control_lost: u64,
}

struct Served {
    line: usize,
    device: usize,
    hold: Hold,
}

/// The lines of a site and the Arbiter that decides for it.
pub struct Field {
    arbiter: Arbiter,
    lines: Vec<(Endpoint, Line)>,
    /// Assets behind each line, in the order of its devices.
    assets: Vec<Vec<AssetIndex>>,
    commanded: Vec<(AssetIndex, Served)>,
    /// PV and batteries; what no line reaches is never controlled.
    controllable: Vec<AssetIndex>,
    slots: Slots,
    /// Readings are asked at the slots and used half a tick later, when the answers are in.
    lag: Micros,
    epoch: i64,
    /// How long a setpoint of PV or a battery is written without a newer tick.
    setpoint_ttl: Micros,
    /// How each line stands, and from when on that is asked anew.
    loads: Vec<LineLoad>,
    loads_due: Micros,
    /// Counted since start.
    pub counters: FieldCounters,
}

impl Field {
    /// Nothing connected, nothing known, nothing controlled. `seed` spreads the reconnects of the lines.
    pub fn new(site: &Arc<Site>, epoch: i64, seed: u64, now: Micros) -> Self {
        let mut by_line: BTreeMap<(Endpoint, Transport), (Vec<DeviceConfig>, Vec<AssetIndex>)> = BTreeMap::new();
        for (position, asset) in site.assets().iter().enumerate() {
            if let Some((modbus, config)) = device(&asset.spec) {
                let line = (modbus.endpoint.clone(), modbus.transport);
                let (configs, assets) = by_line.entry(line).or_default();
                configs.push(config);
                assets.push(AssetIndex(position));
            }
        }
        let (mut lines, mut assets) = (Vec::new(), Vec::new());
        for (salt, ((endpoint, transport), (configs, behind))) in (seed..).zip(by_line) {
            lines.push((endpoint, Line::new(&configs, transport, Jitter::new(salt), now)));
            assets.push(behind);
        }
        let tick = site.timing().tick;
        let lag = Micros::new(Micros::from(tick).get() / 2);
        let mut field = Self {
            commanded: commanded(site, &assets),
            controllable: (0..site.assets().len())
                .map(AssetIndex)
                .filter(|index| is_controllable(site, *index))
                .collect(),
            arbiter: Arbiter::new(Arc::clone(site), epoch),
            lines,
            assets,
            slots: Slots::new(Micros::from(tick), now - lag),
            lag,
            epoch,
            setpoint_ttl: Micros::new(Micros::from(tick).get() * SETPOINT_TICKS),
            loads: Vec::new(),
            loads_due: now,
            counters: FieldCounters::default(),
        };
        for asset in field.controllable.clone() {
            field.put_control(asset, false, now.to_millis());
        }
        field
    }

    /// The lines with their endpoints; their positions are stable.
    pub fn lines(&self) -> &[(Endpoint, Line)] {
        &self.lines
    }

    /// A line to be fed.
    pub fn line_mut(&mut self, index: usize) -> Option<&mut Line> {
        self.lines.get_mut(index).map(|(_, line)| line)
    }

    /// The Arbiter with its newest decision and image.
    pub fn arbiter(&self) -> &Arbiter {
        &self.arbiter
    }

    /// When the next tick is due.
    pub fn next_tick(&self) -> Micros {
        self.slots.due() + self.lag
    }

    /// Takes what Python handed in at `received`; a refusal changes nothing and is counted.
    pub fn put(&mut self, input: Input, received: Millis) -> Result<(), CoreError> {
        let done = match input {
            Input::Limits(set) => self.arbiter.put_limits(set, received),
            Input::Targets(rows, ttl) => self.arbiter.put_targets(&rows, ttl, received),
            Input::Samples(rows) => self.arbiter.put_samples(&rows, received),
            Input::Outcomes(rows) => self.arbiter.put_outcomes(&rows, received),
            Input::Link(up) => {
                self.arbiter.put_link(up, received);
                Ok(())
            }
        };
        done.inspect_err(|_| self.counters.inputs_refused += 1)
    }

    /// One tick. True: the EVSE grants were recomputed in it. Ticks that passed are not made up for.
    pub fn tick(&mut self, now: Micros) -> bool {
        self.counters.tick_overruns += self.slots.advance(now - self.lag);
        self.counters.ticks += 1;
        self.take_readings();
        self.take_control(now);
        let recomputed = self.arbiter.decide(now.to_millis());
        self.command(now);
        if self.loads_due <= now {
            self.loads_due = now + LINES_EVERY;
            self.loads = self.lines.iter_mut().map(|(_, line)| line.report(now)).collect();
        }
        recomputed
    }

    /// How each line stands, by position, as of the newest of the looks that come every ten seconds.
    pub fn line_loads(&self) -> &[LineLoad] {
        &self.loads
    }

    /// Sum over all lines.
    pub fn line_counters(&self) -> LineCounters {
        self.lines.iter().fold(LineCounters::default(), |sum, (_, line)| sum + line.counters())
    }

    fn take_readings(&mut self) {
        for ((_, line), assets) in self.lines.iter_mut().zip(&self.assets) {
            for (device, reading) in line.take_readings() {
                let Some(index) = assets.get(device) else { continue };
                let Some(asset) = self.arbiter.site().asset(*index) else { continue };
                let reading = on_site_phases(reading, &asset.spec.phases);
                self.arbiter.put_reading(*index, reading);
            }
        }
    }

    /// Silence is found by the age of the readings: an answer that is lost is borne for as long.
    fn take_control(&mut self, now: Micros) {
        let patience = self.arbiter.site().timing().meter_max_age;
        let lines = &self.lines;
        let answer = |(asset, served): &mut (AssetIndex, Served)| {
            let standing = lines.get(served.line).map_or(Standing::Silent, |(_, line)| line.standing(served.device));
            (*asset, served.hold.update(standing, Micros::from(patience), now))
        };
        let answers: Vec<_> = self.commanded.iter_mut().map(answer).collect();
        for (asset, is_controlled) in answers {
            self.counters.control_lost += u64::from(self.arbiter.is_controlled(asset) && !is_controlled);
            self.put_control(asset, is_controlled, now.to_millis());
        }
        let uncontrolled = self.controllable.iter().filter(|asset| !self.arbiter.is_controlled(**asset));
        self.counters.devices_uncontrolled = uncontrolled.map(|_| 1).sum();
    }

    fn put_control(&mut self, asset: AssetIndex, is_controlled: bool, now: Millis) {
        let done = self.arbiter.put_control(asset, is_controlled, now);
        self.counters.inputs_refused += u64::from(done.is_err());
    }

    fn command(&mut self, now: Micros) {
        for (asset, served) in &self.commanded {
            let expires_at = now + self.setpoint_ttl;
            let want = match self.arbiter.grants().get(asset.0).map(|grant| grant.value) {
                Some(GrantValue::Power(power)) => Some(Setpoint { power, epoch: self.epoch, expires_at }),
                Some(GrantValue::Nothing | GrantValue::Current(_)) | None => None,
            };
            if let Some((_, line)) = self.lines.get_mut(served.line) {
                line.set_power(served.device, want, now);
            }
        }
    }
}

/// The PV inverters and batteries among the assets behind the lines.
fn commanded(site: &Site, assets: &[Vec<AssetIndex>]) -> Vec<(AssetIndex, Served)> {
    let of_line = |(line, behind): (usize, &Vec<AssetIndex>)| {
        let devices = behind.iter().enumerate().filter(|(_, index)| is_controllable(site, **index));
        devices.map(|(device, index)| (*index, Served { line, device, hold: Hold::default() })).collect::<Vec<_>>()
    };
    assets.iter().enumerate().flat_map(of_line).collect()
}

fn is_controllable(site: &Site, index: AssetIndex) -> bool {
    site.asset(index).is_some_and(|asset| matches!(asset.spec.kind, AssetKind::Pv(_) | AssetKind::Battery(_)))
}

fn device(asset: &AssetSpec) -> Option<(&Modbus, DeviceConfig)> {
    let modbus = asset.modbus.as_ref()?;
    let fallback =
        |revert: Revert, rating: Watts| Fallback { output: revert.power, after: revert.after.into(), rating };
    let role = match &asset.kind {
        AssetKind::Meter | AssetKind::Load => Role::Meter,
        AssetKind::Pv(pv) => Role::Pv(fallback(pv.revert, pv.power_max)),
        AssetKind::Battery(battery) => {
            Role::Battery(fallback(battery.revert, battery.power_max.max(battery.charge_max)))
        }
        AssetKind::Evse(_) => return None,
    };
    let config = DeviceConfig {
        unit: modbus.unit_id,
        role,
        period: modbus.poll_interval.into(),
        timeout: modbus.timeout.into(),
        write_latency: modbus.write_latency.into(),
        table: modbus.table.clone(),
    };
    Some((modbus, config))
}

/// Moves values from the device's own L1, L2, L3 to the conductors it is wired to.
fn on_site_phases(reading: Reading, phases: &PhaseMap) -> Reading {
    let mut moved = Reading { current: [None; 3], voltage: [None; 3], ..reading.clone() };
    let wired = phases.phases().iter().zip(reading.current).zip(reading.voltage);
    for ((phase, current), voltage) in wired {
        moved.current[phase.slot()] = current;
        moved.voltage[phase.slot()] = voltage;
    }
    moved
}

#[path = "field_audit.rs"]
mod audit;
#[path = "field_learnt.rs"]
mod learnt;
#[path = "field_survey.rs"]
mod survey;

pub use survey::ModelQuestion;

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
