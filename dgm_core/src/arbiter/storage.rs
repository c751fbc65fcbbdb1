//! Battery setpoints, every tick, from what the meters would show without the batteries: no integrator, nothing to wind up.
//!
//! ```text
//! need      = what a row imports above its bound less margin, without batteries          -> discharge
//! excess    = what a row exports above its bound less margin, without batteries          -> charge
//! otherwise the target, as far as the rows leave it
//! ```
//! A battery that is not heard, that nobody controls, that has no known state of charge or hangs below a lost meter gets 0:
//! written all the same, so that control can be proved again.

use super::balance::Balances;
use super::bound::{Bound, RowKind};
use super::budget::{margin, Budget};
use super::credit::{share_up, shrink};
use super::scene::Scene;
use super::worst;
use crate::units::{CircuitIndex, Milliamps, Millivolts, Watts};

/// What the batteries do now, and could do, per storage unit.
#[derive(Clone, Debug, Default)]
pub struct StoragePlan {
    /// W, positive charges.
    pub setpoints: Vec<Watts>,
    /// W of charge that battery, state of charge and rows allow, >= 0.
    pub chargeable: Vec<Watts>,
    /// Row that decided it, as index into the rows.
    pub rows: Vec<Option<usize>>,
}

/// Everything a battery's setpoint follows from.
pub struct StorageInputs<'a> {
    /// The tick.
    pub scene: &'a Scene<'a>,
    /// Meters.
    pub balances: &'a Balances,
    /// Rows in the order of the decision.
    pub rows: &'a [Bound],
    /// Their numbers, same order.
    pub budgets: &'a [Budget],
    /// What EVSEs count at in them, W or mA, same order.
    pub evse_counted: &'a [i64],
    /// Wanted W per storage unit.
    pub wants: &'a [Option<i64>],
}

/// Discharge first, then charge into what the rows leave.
pub fn storage_plan(inputs: &StorageInputs<'_>) -> StoragePlan {
    let mut plan = StoragePlan { rows: vec![None; inputs.wants.len()], ..StoragePlan::default() };
    let needed = inputs.needed(&mut plan.rows);
    plan.chargeable = inputs.chargeable();
    let charge = inputs.charge(&needed, &plan.chargeable, &mut plan.rows);
    let mut discharge = inputs.discharge(&needed, &charge);
    inputs.keep_generation(&mut discharge, &mut plan.rows);
    plan.setpoints = charge.iter().zip(&discharge).map(|(charge, discharge)| *charge - *discharge).collect();
    plan
}

impl StorageInputs<'_> {
    /// Whether it may be used at all.
    fn is_usable(&self, unit: usize) -> bool {
        let found = &self.scene.layout.storages[unit];
        let is_blind = |circuit: &CircuitIndex| {
            self.balances.circuits[circuit.0].is_lost && self.rows.iter().any(|row| row.circuit == *circuit)
        };
        let is_known = self.scene.is_storage_relied_on(found) && self.scene.soc(found).is_some();
        is_known && !self.scene.site.path(found.circuit).iter().any(is_blind)
    }

    fn dischargeable(&self, unit: usize) -> Watts {
        let found = &self.scene.layout.storages[unit];
        let has_energy = self.scene.soc(found).is_some_and(|soc| soc > found.battery.soc_min);
        if has_energy && self.is_usable(unit) {
            self.scene.discharge_max(found)
        } else {
            Watts::ZERO
        }
    }

    fn able_to_discharge(&self) -> Vec<Watts> {
        (0..self.wants.len()).map(|unit| self.dischargeable(unit)).collect()
    }

    /// Rows of one kind or another, those farthest from the connection point first.
    fn deepest_first(&self) -> impl Iterator<Item = (usize, &Bound)> {
        let of = |circuit: CircuitIndex| self.rows.iter().enumerate().filter(move |(_, row)| row.circuit == circuit);
        self.scene.layout.deepest_first.iter().flat_map(move |circuit| of(*circuit))
    }

    /// Units below a row that load it.
    fn loading(&self, row: &Bound) -> Vec<usize> {
        let units = self.scene.layout.below[row.circuit.0].storages.iter().copied();
        let phases = |unit: usize| &self.scene.layout.storages[unit].phases;
        units.filter(|unit| row.kind.phase().is_none_or(|phase| phases(*unit).has(phase))).collect()
    }

    /// Discharge per unit that rows need, >= 0.
    fn needed(&self, marks: &mut [Option<usize>]) -> Vec<Watts> {
        let able = self.able_to_discharge();
        let mut used = vec![Watts::ZERO; able.len()];
        for (index, row) in self.deepest_first() {
            let chosen = self.loading(row);
            if call(self.need(row, &chosen), &chosen, &able, &mut used) {
                mark(marks, &chosen, index);
            }
        }
        used
    }

    /// W that the units of a row must deliver for it; none where it is negative.
    fn need(&self, row: &Bound, chosen: &[usize]) -> Watts {
        let balance = &self.balances.circuits[row.circuit.0];
        match row.kind {
            RowKind::NetImport => balance.without_storage[0]
                .map_or(Watts::ZERO, |net| Watts::new(net - (row.bound - margin(self.scene, row)))),
            RowKind::Current(phase) => {
                let kept = self.scene.site.circuit(row.circuit).spec.margin.of(row.bound);
                let over = balance.without_storage[1 + phase.slot()].map_or(0, |net| net - (row.bound - kept));
                self.on_conductors(over.max(0), chosen, self.scene.voltage, Iterator::max)
            }
            RowKind::NetExport
            | RowKind::GrossLoad
            | RowKind::GrossGeneration
            | RowKind::DerOutput
            | RowKind::StorageCharge => Watts::ZERO,
        }
    }

    /// W that units with the chosen number of conductors carry at a current per conductor.
    fn on_conductors(
        &self,
        current_ma: i64,
        chosen: &[usize],
        voltage: Millivolts,
        choose: fn(std::vec::IntoIter<i64>) -> Option<i64>,
    ) -> Watts {
        let conductors = chosen.iter().map(|unit| self.scene.layout.storages[*unit].phases.conductors());
        let conductors = choose(conductors.collect::<Vec<_>>().into_iter()).unwrap_or(0);
        Milliamps::new(current_ma).power(voltage, conductors).watts_down()
    }

    /// What rows need, or what the target wants and export bounds leave.
    fn discharge(&self, needed: &[Watts], charge: &[Watts]) -> Vec<Watts> {
        let able = self.able_to_discharge();
        let wish = |unit: usize| {
            if charge[unit] > Watts::ZERO {
                Watts::ZERO
            } else {
                (-Watts::new(self.wants[unit].unwrap_or(0))).max(Watts::ZERO).min(able[unit])
            }
        };
        let mut wanted: Vec<Watts> = (0..able.len()).map(wish).collect();
        for (_, row) in self.deepest_first().filter(|(_, row)| row.kind == RowKind::NetExport) {
            let net = self.balances.circuits[row.circuit.0].without_der[0];
            let room = net.map_or(Watts::ZERO, |net| Watts::new(net + row.bound - margin(self.scene, row)));
            let taken = self.pv_reach(row) + worst::export(self.scene, row.circuit);
            shrink(&mut wanted, &self.loading(row), room - taken);
        }
        wanted.iter().zip(needed).map(|(wanted, needed)| *wanted.max(needed)).collect()
    }

    fn pv_reach(&self, row: &Bound) -> Watts {
        let below = self.scene.layout.below[row.circuit.0].pvs.iter();
        below.map(|unit| self.scene.pv_reach(&self.scene.layout.pvs[*unit])).sum()
    }

    /// GROSS_GENERATION, DER_OUTPUT: PV goes first, the battery takes what is left.
    fn keep_generation(&self, discharge: &mut [Watts], marks: &mut [Option<usize>]) {
        let is_output = |row: &Bound| matches!(row.kind, RowKind::GrossGeneration | RowKind::DerOutput);
        for (index, row) in self.deepest_first().filter(|(_, row)| is_output(row)) {
            let taken = self.pv_reach(row) + worst::discharge(self.scene, row.circuit);
            let (chosen, left) = (self.loading(row), Watts::new(row.bound) - taken);
            let before: Watts = chosen.iter().map(|unit| discharge[*unit]).sum();
            if shrink(discharge, &chosen, left) < before {
                mark(marks, &chosen, index);
            }
        }
    }

    /// Charge per unit that state of charge, rating and rows allow.
    fn chargeable(&self) -> Vec<Watts> {
        let able = |unit: usize| {
            let found = &self.scene.layout.storages[unit];
            let has_room = self.scene.soc(found).is_some_and(|soc| soc < found.battery.soc_max);
            if has_room && self.is_usable(unit) {
                self.scene.charge_max(found)
            } else {
                Watts::ZERO
            }
        };
        let mut charge: Vec<Watts> = (0..self.wants.len()).map(able).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let chosen = self.loading(row);
            if let Some(room) = self.charge_room(index, row, &chosen) {
                shrink(&mut charge, &chosen, room);
            }
        }
        charge
    }

    /// W of charge that a row leaves: by the books (EVSEs at what they count at) and by the meter.
    fn charge_room(&self, index: usize, row: &Bound, chosen: &[usize]) -> Option<Watts> {
        let budget = &self.budgets[index];
        let bound = row.bound - margin(self.scene, row);
        let by_books = bound - budget.uncontrolled + budget.pv_help - budget.kept - self.evse_counted[index];
        let shown = row.kind.item().and_then(|item| self.balances.circuits[row.circuit.0].without_storage[item]);
        let room = shown.map_or(by_books, |net| by_books.min(bound - net));
        match row.kind {
            RowKind::NetImport | RowKind::GrossLoad | RowKind::StorageCharge => Some(Watts::new(room)),
            RowKind::Current(_) => {
                Some(self.on_conductors(room.max(0), chosen, self.scene.voltage_seen, Iterator::min))
            }
            RowKind::NetExport | RowKind::GrossGeneration | RowKind::DerOutput => None,
        }
    }

    /// What the target wants, and what export bounds need.
    fn charge(&self, needed: &[Watts], chargeable: &[Watts], marks: &mut [Option<usize>]) -> Vec<Watts> {
        let able: Vec<Watts> = chargeable
            .iter()
            .zip(needed)
            .map(|(able, needed)| if *needed > Watts::ZERO { Watts::ZERO } else { *able })
            .collect();
        let wish = |unit: usize| Watts::new(self.wants[unit].unwrap_or(0)).max(Watts::ZERO).min(able[unit]);
        let mut charge: Vec<Watts> = (0..able.len()).map(wish).collect();
        for (index, row) in self.deepest_first().filter(|(_, row)| row.kind == RowKind::NetExport) {
            let net = self.balances.circuits[row.circuit.0].without_storage[0].unwrap_or(0);
            let excess = Watts::new(-net - (row.bound - margin(self.scene, row)));
            let chosen = self.loading(row);
            if call(excess, &chosen, &able, &mut charge) {
                mark(marks, &chosen, index);
            }
        }
        charge
    }
}

fn mark(marks: &mut [Option<usize>], chosen: &[usize], row: usize) {
    chosen.iter().for_each(|unit| marks[*unit] = Some(row));
}

/// Shares what is missing of `amount` among the chosen, in proportion to what each has left; whether anything was missing.
fn call(amount: Watts, chosen: &[usize], able: &[Watts], used: &mut [Watts]) -> bool {
    let missing = amount - chosen.iter().map(|unit| used[*unit]).sum::<Watts>();
    let spare: Watts = chosen.iter().map(|unit| able[*unit] - used[*unit]).sum();
    if missing <= Watts::ZERO || spare <= Watts::ZERO {
        return false;
    }
    for unit in chosen {
        let free = able[*unit] - used[*unit];
        used[*unit] += share_up(free, missing, spare).min(free);
    }
    true
}
