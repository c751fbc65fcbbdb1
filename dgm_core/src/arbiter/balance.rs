//! The balance of each metered circuit: what its meter shows, and what of it nobody controls.
//!
//! ```text
//! meter, PV, battery at one time ─> net without battery ─> battery setpoint
//!                               └─> net without PV and battery ─> PV cap;  less EV draw ─> window ─> uncontrolled
//! ```
//! What a silent battery or inverter still puts out is in the meter's reading and may end any moment: it counts as load.
//! A battery that nobody controls is load to the others' setpoints; what it may do at worst is in `worst`.

use super::draw::Draw;
use super::load::{Load, Window};
use super::scene::{phase_current, Scene};
use super::trace::{signed_currents, Flow};
use super::witness::Witness;
use super::worst;
use crate::site::{Phase, PhaseMap, Site};
use crate::units::{div_up, AssetIndex, CircuitIndex, Milliamps, Millis, Watts};

const NOTHING: Load = [None; 4];

/// One circuit now. Every `Load` is W, then mA of L1 to L3, signed, positive import.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// It has a meter, and the meter cannot be relied on: it is silent, frozen or flipped.
    pub is_lost: bool,
    /// At its meter.
    pub measured: Load,
    /// At its meter, without what its batteries do that are relied on.
    pub without_storage: Load,
    /// At its meter, without what its batteries and PV do.
    pub without_der: Load,
    /// What nobody controls; absent: unknown, nothing may be granted. Without a meter: as configured.
    pub uncontrolled: Load,
    /// The newest that its meter showed, without PV and batteries, with what silent ones may put out.
    last_net: Load,
    witness: Witness,
}

/// Balances of all circuits with their windows.
#[derive(Clone, Debug)]
pub struct Balances {
    windows: Vec<Window>,
    /// Of each circuit, in the configuration's order.
    pub circuits: Vec<Balance>,
}

impl Balances {
    /// Nothing seen yet: metered circuits are lost.
    pub fn new(site: &Site) -> Self {
        let timing = site.timing();
        let window = Window::new(timing.tick, timing.sample_max_age + timing.tick);
        let count = site.circuits().len();
        Self { windows: vec![window; count], circuits: vec![Balance::default(); count] }
    }

    /// Reads the meters of one tick.
    pub fn update(&mut self, scene: &Scene<'_>, draws: &[Draw]) {
        for index in 0..self.circuits.len() {
            let balance = &mut self.circuits[index];
            match scene.site.circuits()[index].meter {
                None => balance.uncontrolled = configured(scene, index, Some(0)),
                Some(meter) => {
                    balance.read(scene, CircuitIndex(index), meter);
                    balance.estimate(&mut self.windows[index], scene, CircuitIndex(index), draws);
                }
            }
        }
    }
}

impl Balance {
    /// What the meter shows; nothing if it is lost.
    fn read(&mut self, scene: &Scene<'_>, circuit: CircuitIndex, meter: AssetIndex) {
        let seen = scene.fresh(meter).and_then(|flow| flow.power).zip(inverters(scene, circuit));
        let fault = self.witness.look(scene.now, seen.map(|(meter, inverters)| (meter.get(), inverters.get())));
        self.is_lost = scene.is_meter_lost(circuit.0) || fault.is_some();
        if self.is_lost {
            (self.measured, self.without_storage, self.without_der) = (NOTHING, NOTHING, NOTHING);
            return;
        }
        let mut storages = flows(scene, circuit, Kind::Storage);
        let ders: Vec<_> = storages.iter().copied().chain(flows(scene, circuit, Kind::Pv)).collect();
        storages.retain(|(asset, _)| scene.controlled[asset.0]);
        self.measured = scene.fresh(meter).map_or(NOTHING, |flow| load_of(flow, scene));
        self.without_storage = without(scene, meter, &storages);
        self.without_der = without(scene, meter, &ders);
        let silent = silent_output(scene, circuit);
        for (item, net) in self.without_der.iter().enumerate() {
            self.last_net[item] = net.map_or(self.last_net[item], |net| Some(net + silent[item]));
        }
    }

    /// The worst of the window. What the meter does not show is at worst case: as configured (unknown where nothing is),
    /// and never less than what was last seen.
    fn estimate(&mut self, window: &mut Window, scene: &Scene<'_>, circuit: CircuitIndex, draws: &[Draw]) {
        let (drawn, oldest) = drawn(scene, circuit, draws);
        window.put(scene.now, [0, 1, 2, 3].map(|item| self.last_net[item].map(|net| net - drawn[item])));
        let worst = window.worst(scene.now, oldest + scene.site.timing().tick);
        let most = configured(scene, circuit.0, None);
        self.uncontrolled = [0, 1, 2, 3].map(|item| match self.without_der[item] {
            Some(_) => worst[item],
            None => most[item].map(|most| worst[item].map_or(most, |worst| worst.max(most))),
        });
    }
}

/// W into the batteries and PV below a circuit; absent where one is not heard.
fn inverters(scene: &Scene<'_>, circuit: CircuitIndex) -> Option<Watts> {
    let (layout, below) = (scene.layout, &scene.layout.below[circuit.0]);
    let storages = below.storages.iter().map(|unit| layout.storages[*unit].asset);
    let pvs = below.pvs.iter().map(|unit| layout.pvs[*unit].asset);
    storages.chain(pvs).map(|asset| scene.fresh(asset).and_then(|flow| flow.power)).sum()
}

/// `max_uncontrolled_w` in W and, balanced over three phases, in mA.
fn configured(scene: &Scene<'_>, circuit: usize, default: Option<i64>) -> Load {
    let most = scene.site.circuits()[circuit].spec.max_uncontrolled.map(Watts::get).or(default);
    let volts = scene.site.nominal_voltage().get();
    let per_phase = most.map(|most| div_up(Watts::new(most).micro().get(), 3 * volts));
    [most, per_phase, per_phase, per_phase]
}

#[derive(Clone, Copy)]
enum Kind {
    Storage,
    Pv,
}

/// Devices below a circuit that are heard now, with their conductors.
fn flows<'a>(scene: &Scene<'a>, circuit: CircuitIndex, kind: Kind) -> Vec<(AssetIndex, &'a PhaseMap)> {
    let (layout, below) = (scene.layout, &scene.layout.below[circuit.0]);
    let units: Vec<_> = match kind {
        Kind::Storage => {
            below.storages.iter().map(|unit| &layout.storages[*unit]).map(|unit| (unit.asset, &unit.phases)).collect()
        }
        Kind::Pv => below.pvs.iter().map(|unit| &layout.pvs[*unit]).map(|unit| (unit.asset, &unit.phases)).collect(),
    };
    units.into_iter().filter(|(asset, _)| scene.fresh(*asset).and_then(|flow| flow.power).is_some()).collect()
}

/// The meter less the devices, all at the newest time that all of them know.
fn without(scene: &Scene<'_>, meter: AssetIndex, devices: &[(AssetIndex, &PhaseMap)]) -> Load {
    let newest = |asset: AssetIndex| scene.traces[asset.0].last().map(|flow| flow.at);
    let common = devices.iter().filter_map(|(asset, _)| newest(*asset)).chain(newest(meter)).min();
    let at = |asset: AssetIndex| common.and_then(|common| scene.traces[asset.0].nearest(common));
    let mut net = at(meter).map_or(NOTHING, |flow| load_of(flow, scene));
    for (asset, phases) in devices {
        let power = at(*asset).and_then(|flow| flow.power).unwrap_or(Watts::ZERO);
        add(&mut net, -1, power, phases, scene);
    }
    net
}

fn load_of(flow: &Flow, scene: &Scene<'_>) -> Load {
    let [l1, l2, l3] = signed_currents(flow, scene.voltage_seen.get());
    [flow.power.map(Watts::get), l1, l2, l3]
}

fn add(load: &mut Load, times: i64, power: Watts, phases: &PhaseMap, scene: &Scene<'_>) {
    let per_phase = phase_current(power, phases, scene.voltage_seen);
    load[0] = load[0].map(|watts| watts + times * power.get());
    for phase in Phase::ALL.into_iter().filter(|phase| phases.has(*phase)) {
        let item = phase.slot() + 1;
        load[item] = load[item].map(|current| current + times * per_phase);
    }
}

/// What silent batteries and inverters may still put out, W and mA.
fn silent_output(scene: &Scene<'_>, circuit: CircuitIndex) -> [i64; 4] {
    let (layout, below) = (scene.layout, &scene.layout.below[circuit.0]);
    let mut output: Load = [Some(0); 4];
    for unit in below.storages.iter().filter(|unit| scene.storage_power(&layout.storages[**unit]).is_none()) {
        let reach = scene.storages[*unit].reach_discharge;
        add(&mut output, -1, -reach, &layout.storages[*unit].phases, scene);
    }
    for pv in below.pvs.iter().map(|unit| &layout.pvs[*unit]).filter(|pv| scene.pv_output(pv).is_none()) {
        let last = scene.traces[pv.asset.0].last().and_then(|flow| flow.power).unwrap_or(Watts::ZERO);
        add(&mut output, -1, last.min(Watts::ZERO), &pv.phases, scene);
    }
    output.map(|item| item.unwrap_or(0))
}

/// The least that the EVSEs below draw (samples that have aged out prove nothing), and how old the oldest one is. What a
/// V2X EVSE drew says nothing: it may be giving back by now, and hide as much load from the meter.
fn drawn(scene: &Scene<'_>, circuit: CircuitIndex, draws: &[Draw]) -> ([i64; 4], Millis) {
    let longest = scene.site.timing().sample_max_age;
    let (mut sum, mut oldest) = ([0_i64; 4], Millis::ZERO);
    for column in scene.layout.below[circuit.0].columns.iter().copied() {
        let draw = &draws[column];
        if scene.layout.columns[column].evse.discharge_max > Milliamps::ZERO {
            let hidden = worst::vehicle_load(scene, column);
            sum = [0, 1, 2, 3].map(|item| sum[item] - hidden[item]);
            continue;
        }
        let age = scene.now - draw.at;
        if draw.is_used() {
            oldest = oldest.max(age).min(longest);
        }
        if age <= longest {
            sum = [0, 1, 2, 3].map(|item| sum[item] + draw.least[item]);
        }
    }
    (sum, oldest)
}
