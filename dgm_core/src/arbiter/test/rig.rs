//! A small site and a hand on every input of its Arbiter.
//!
//! ```text
//! site (meter, 60 kW, 125 A) ── panel (80 A): evse 0..3      ── evse 4, 5 (L1 alone), pv, battery at the connection point
//! ```

use std::sync::Arc;

use super::super::*;
use crate::site::{
    AssetKind, AssetSpec, Battery, CircuitSpec, Evse, Phase, PhaseMap, PlugState, Pv, Revert, SiteParts, Timing,
};
use crate::units::{CircuitIndex, Permille, WattHours};

/// What the rig states of its uncontrolled load, W.
pub const LEAST_LOAD: i64 = 1_000;
pub const MOST_LOAD: i64 = 20_000;
pub const METER: AssetIndex = AssetIndex(0);
pub const PV: AssetIndex = AssetIndex(1);
pub const BATTERY: AssetIndex = AssetIndex(2);
pub const SITE: CircuitIndex = CircuitIndex(0);
pub const PANEL: CircuitIndex = CircuitIndex(1);
pub const EVSES: usize = 6;

pub fn ma(amps: i64) -> Milliamps {
    Milliamps::new(amps * 1_000)
}

pub fn ms(value: i64) -> Millis {
    Millis::new(value)
}

pub fn evse(index: usize) -> AssetIndex {
    AssetIndex(3 + index)
}

fn asset(id: &str, circuit: &str, kind: AssetKind) -> AssetSpec {
    let phases = match &kind {
        AssetKind::Evse(evse) => evse.phases.clone(),
        _ => PhaseMap::three(),
    };
    AssetSpec { id: id.to_owned(), circuit: circuit.to_owned(), phases, kind, modbus: None }
}

fn charger(index: usize) -> AssetSpec {
    let phases = if index == 5 { PhaseMap::new(&[Phase::L1], "test").unwrap() } else { PhaseMap::three() };
    let evse = Evse {
        phases,
        current_max: ma(32),
        current_min: ma(6),
        current_step: ma(1),
        fallback: ma(8),
        discharge_max: Milliamps::ZERO,
        weight: 1,
        stratum: 1,
        station: "station".to_owned(),
    };
    asset(&format!("evse{index}"), if index < 4 { "panel" } else { "site" }, AssetKind::Evse(evse))
}

pub fn parts() -> SiteParts {
    let revert = Revert { power: Watts::ZERO, after: ms(30_000) };
    let battery = Battery {
        power_max: Watts::new(20_000),
        charge_max: Watts::new(15_000),
        energy: WattHours::new(40_000),
        soc_min: Permille::new(200),
        soc_max: Permille::new(900),
        bridge_reserve: Watts::new(5_000),
        revert,
    };
    let pv = Pv { power_max: Watts::new(30_000), revert: Revert { power: Watts::new(30_000), ..revert } };
    let mut assets = vec![
        asset("meter", "site", AssetKind::Meter),
        asset("pv", "site", AssetKind::Pv(pv)),
        asset("battery", "site", AssetKind::Battery(battery)),
    ];
    assets.extend((0..EVSES).map(charger));
    let site = CircuitSpec {
        id: "site".to_owned(),
        import_limit: Some(Watts::new(60_000)),
        export_limit: Some(Watts::new(25_000)),
        current_limit: Some(ma(125)),
        meter: Some("meter".to_owned()),
        max_uncontrolled: Some(Watts::new(MOST_LOAD)),
        min_uncontrolled: Some(Watts::new(LEAST_LOAD)),
        margin: Permille::new(10),
        ..CircuitSpec::default()
    };
    let panel = CircuitSpec {
        id: "panel".to_owned(),
        parent: Some("site".to_owned()),
        current_limit: Some(ma(80)),
        ..CircuitSpec::default()
    };
    SiteParts {
        nominal_voltage: Millivolts::new(230_000),
        circuits: vec![site, panel],
        assets,
        timing: Timing::default(),
    }
}

/// An Arbiter, its clock, and the link to devices that do as they are told when asked to.
#[derive(Clone)]
pub struct Rig {
    pub arbiter: Arbiter,
    pub now: i64,
    limit_sequence: i64,
}

impl Rig {
    pub fn new() -> Self {
        Self::of(parts())
    }

    pub fn of(parts: SiteParts) -> Self {
        Self { arbiter: Arbiter::new(Arc::new(Site::new(parts).unwrap()), 1), now: 1_000, limit_sequence: 0 }
    }

    /// A quiet site with every meter read, every EVSE proved at 0 and every car wanting `amps`.
    pub fn ready(amps: i64) -> Self {
        let mut rig = Self::new();
        rig.read(10_000, 0, 0, 500);
        rig.tick(0);
        rig.prove_all();
        rig.want_all(amps);
        rig
    }

    /// Meter, PV output, battery power (positive charges) and its state of charge, all measured now.
    pub fn read(&mut self, meter_w: i64, pv_w: i64, battery_w: i64, soc: i64) {
        let per_phase = (meter_w * 1_000 / 690).abs();
        self.put(METER, meter_w, Some(per_phase), None);
        self.put(PV, -pv_w, None, None);
        self.put(BATTERY, battery_w, None, Some(soc));
    }

    pub fn put(&mut self, asset: AssetIndex, power_w: i64, current_ma: Option<i64>, soc: Option<i64>) {
        let reading = Reading {
            quality: Quality::Good,
            measured_at: ms(self.now),
            power: Some(Watts::new(power_w)),
            current: [current_ma.map(Milliamps::new); 3],
            voltage: [Some(Millivolts::new(230_000)); 3],
            soc: soc.map(Permille::new),
            ..Reading::NEVER
        };
        self.arbiter.put_reading(asset, reading);
    }

    /// Lets time pass, then decides.
    pub fn tick(&mut self, passed_ms: i64) -> bool {
        self.now += passed_ms;
        self.arbiter.decide(ms(self.now))
    }

    /// Ten ticks in which the same is measured and everything is proved at once.
    pub fn settle(&mut self, seconds: i64, meter_w: i64, pv_w: i64, battery_w: i64, soc: i64) {
        for _ in 0..seconds * 10 {
            self.now += 100;
            self.read(meter_w, pv_w, battery_w, soc);
            self.arbiter.decide(ms(self.now));
            self.prove_all();
        }
    }

    pub fn outcome(&mut self, index: usize, state: OutcomeState) {
        let seat = &self.arbiter.columns[index].seat;
        let (sequence, value) = (seat.sequence, Some(Milliamps::new(seat.granted)));
        let outcome = Outcome { asset: evse(index), sequence, state, value, fallback: None };
        self.arbiter.put_outcomes(&[outcome], ms(self.now)).unwrap();
    }

    pub fn prove_all(&mut self) {
        (0..EVSES).for_each(|index| self.outcome(index, OutcomeState::Confirmed));
    }

    pub fn want(&mut self, index: usize, amps: i64) {
        let target =
            Target { asset: evse(index), want: Some(amps * 1_000), weight: None, stratum: None, keeps_on: false };
        self.arbiter.put_targets(&[target], ms(3_600_000), ms(self.now)).unwrap();
    }

    pub fn want_all(&mut self, amps: i64) {
        (0..EVSES).for_each(|index| self.want(index, amps));
    }

    pub fn want_w(&mut self, asset: AssetIndex, watts: i64) {
        let target = Target { asset, want: Some(watts), weight: None, stratum: None, keeps_on: false };
        self.arbiter.put_targets(&[target], ms(3_600_000), ms(self.now)).unwrap();
    }

    pub fn sample(&mut self, index: usize, plug: PlugState, amps: i64, age_ms: i64) {
        let wired = if index == 5 { 1 } else { 3 };
        let current = [0, 1, 2].map(|conductor| (conductor < wired).then(|| ma(amps)));
        let power = Some(Watts::new(amps * 230 * wired));
        let row = EvseSample { asset: evse(index), age: ms(age_ms), plug, power, current, soc: None, energy: None };
        self.arbiter.put_samples(&[row], ms(self.now)).unwrap();
    }

    pub fn limit(&mut self, quantity: Quantity, circuit: CircuitIndex, bound: i64) -> ActiveLimit {
        let scope = Scope::Circuit(circuit);
        ActiveLimit {
            id: Arc::from("test"),
            scope,
            quantity,
            bound,
            ttl: None,
            failsafe: None,
            ends_by_rule: false,
            ramp: None,
        }
    }

    pub fn put_limits(&mut self, limits: Vec<ActiveLimit>) {
        self.limit_sequence += 1;
        let set = LimitSet { epoch: 1, sequence: self.limit_sequence, limits };
        self.arbiter.put_limits(set, ms(self.now)).unwrap();
    }

    pub fn bound(&mut self, quantity: Quantity, circuit: CircuitIndex, bound: i64) {
        let limit = self.limit(quantity, circuit, bound);
        self.put_limits(vec![limit]);
    }

    /// Granted A per EVSE.
    pub fn amps(&self) -> Vec<i64> {
        self.arbiter.columns.iter().map(|state| state.seat.granted / 1_000).collect()
    }

    pub fn power(&self, asset: AssetIndex) -> i64 {
        match self.arbiter.grants()[asset.0].value {
            GrantValue::Power(power) => power.get(),
            other => panic!("{asset:?} has {other:?}"),
        }
    }

    pub fn row(&self, quantity: Quantity, circuit: CircuitIndex) -> &Row {
        let rows = &self.arbiter.decision().rows;
        rows.iter().find(|row| row.quantity == quantity && row.circuit == circuit).unwrap()
    }
}
