//! How much PV and battery may carry EV grants, and how much of what they do is granted to themselves.
//!
//! A battery is credited up to the least of: its rating less the bridge reserve, what empties the energy above its reserve
//! in 15 minutes, and (per row) the overload that the breaker bears until the EVs have followed. One that is silent or that
//! nobody controls: nothing; one that gives less than it is told: what it has shown.
//! GROSS_GENERATION and DER_OUTPUT limits bind the credit first: help that may not flow is no help.

use super::bound::RowKind;
use super::scene::{phase_current, Scene};
use super::worst;
use crate::site::{Phase, PhaseMap, Site};
use crate::units::{CircuitIndex, Permille, Watts};

/// Energy above the reserve is credited as if it had to last for a quarter of an hour.
const QUARTERS_PER_HOUR: i64 = 4;
/// What a breaker bears while the EVs follow.
const OVERLOAD: Permille = Permille::new(300);

/// W credited, per PV and per storage unit, all >= 0.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    /// Measured output that may go on.
    pub pv: Vec<Watts>,
    /// Discharge that can be called upon.
    pub storage: Vec<Watts>,
}

impl Credits {
    /// What is available, cut to the GROSS_GENERATION and DER_OUTPUT bounds (per circuit).
    pub fn new(scene: &Scene<'_>, generation_bounds: impl Iterator<Item = (CircuitIndex, i64)>) -> Self {
        let layout = scene.layout;
        let mut credits = Self {
            pv: layout.pvs.iter().map(|unit| scene.pv_output(unit).unwrap_or(Watts::ZERO)).collect(),
            storage: (0..layout.storages.len()).map(|unit| storage(scene, unit)).collect(),
        };
        for (circuit, bound) in generation_bounds {
            credits.cut(scene, circuit, Watts::new(bound));
        }
        credits
    }

    /// PV and battery credited in a row: W in a row of W, mA in a row of current.
    pub fn help(&self, scene: &Scene<'_>, circuit: CircuitIndex, kind: RowKind) -> [i64; 2] {
        let below = &scene.layout.below[circuit.0];
        match kind {
            RowKind::NetImport => {
                let pv: Watts = below.pvs.iter().map(|unit| self.pv[*unit]).sum();
                let storage: Watts = below.storages.iter().map(|unit| self.storage[*unit]).sum();
                [pv.get(), storage.get().min(overload_w(scene.site, circuit))]
            }
            RowKind::Current(phase) => {
                let [pv, storage] = self.phase_help(scene, circuit, phase);
                [pv, storage.min(overload_ma(scene.site, circuit))]
            }
            RowKind::NetExport | RowKind::GrossLoad | RowKind::GrossGeneration | RowKind::DerOutput => [0, 0],
        }
    }

    fn phase_help(&self, scene: &Scene<'_>, circuit: CircuitIndex, phase: Phase) -> [i64; 2] {
        let (layout, below) = (scene.layout, &scene.layout.below[circuit.0]);
        let pv = below.pvs.iter().map(|unit| (&layout.pvs[*unit].phases, self.pv[*unit]));
        let storage = below.storages.iter().map(|unit| (&layout.storages[*unit].phases, self.storage[*unit]));
        let on_phase = |(phases, power): (&PhaseMap, Watts)| {
            if phases.has(phase) {
                phase_current(power, phases, scene.voltage)
            } else {
                0
            }
        };
        [pv.map(on_phase).sum(), storage.map(on_phase).sum()]
    }

    /// PV goes first; batteries get what it cannot reach, each in proportion.
    fn cut(&mut self, scene: &Scene<'_>, circuit: CircuitIndex, bound: Watts) {
        let below = &scene.layout.below[circuit.0];
        let reach: Watts = below.pvs.iter().map(|unit| scene.pv_reach(&scene.layout.pvs[*unit])).sum();
        shrink(&mut self.pv, &below.pvs, bound);
        shrink(&mut self.storage, &below.storages, bound - reach - worst::discharge(scene, circuit));
    }
}

/// Scales the chosen amounts down so that their sum keeps the bound; returns the sum.
pub fn shrink(amounts: &mut [Watts], chosen: &[usize], bound: Watts) -> Watts {
    let (bound, sum) = (bound.max(Watts::ZERO), chosen.iter().map(|unit| amounts[*unit]).sum::<Watts>());
    if sum <= bound {
        return sum;
    }
    for unit in chosen {
        amounts[*unit] = share(amounts[*unit], bound, sum);
    }
    chosen.iter().map(|unit| amounts[*unit]).sum()
}

/// `part * bound / whole`, rounded down; all >= 0.
fn share(part: Watts, bound: Watts, whole: Watts) -> Watts {
    let product = i128::from(part.get()) * i128::from(bound.get());
    Watts::new(i64::try_from(product / i128::from(whole.get().max(1))).unwrap_or(i64::MAX))
}

/// `part * bound / whole`, rounded up; all >= 0.
pub fn share_up(part: Watts, bound: Watts, whole: Watts) -> Watts {
    let (product, whole) = (i128::from(part.get()) * i128::from(bound.get()), i128::from(whole.get().max(1)));
    Watts::new(i64::try_from((product + whole - 1) / whole).unwrap_or(i64::MAX))
}

fn storage(scene: &Scene<'_>, index: usize) -> Watts {
    let unit = &scene.layout.storages[index];
    if !scene.is_storage_relied_on(unit) {
        return Watts::ZERO;
    }
    let battery = &unit.battery;
    let above_reserve = scene.soc(unit).map_or(Permille::ZERO, |soc| (soc - battery.soc_min).max(Permille::ZERO));
    let by_energy = Watts::new(above_reserve.of(battery.energy.get()).saturating_mul(QUARTERS_PER_HOUR));
    let by_rating = (scene.discharge_max(unit) - battery.bridge_reserve).min(by_energy).max(Watts::ZERO);
    scene.storages[index].shown.of(by_rating)
}

fn overload_w(site: &Site, circuit: CircuitIndex) -> i64 {
    let spec = &site.circuit(circuit).spec;
    let breaker = spec.current_limit.map(|limit| limit.power(site.nominal_voltage(), 3).watts_down());
    OVERLOAD.of(breaker.or(spec.import_limit).map_or(0, Watts::get))
}

fn overload_ma(site: &Site, circuit: CircuitIndex) -> i64 {
    let spec = &site.circuit(circuit).spec;
    let three_phase = 3 * site.nominal_voltage().get();
    let import = spec.import_limit.map(|limit| limit.micro().get() / three_phase);
    OVERLOAD.of(spec.current_limit.map(crate::units::Milliamps::get).or(import).unwrap_or(0))
}
