//! One tick: rows, EVSE grants when they are due, battery and PV always, and the record of why.

use std::sync::Arc;

use super::account::Counted;
use super::balance::Balances;
use super::bound::{Bound, Bounds, RowKind};
use super::budget::{row_value, Budget};
use super::credit::Credits;
use super::decision::{CountedReason, Grant, GrantValue, Row};
use super::generation::{caps, Caps};
use super::layout::Layout;
use super::limit::{ActiveLimit, Quantity, Scope};
use super::plan::{plan, Entrant, Rows};
use super::publish::{moves, Move, Pace};
use super::scene::Scene;
use super::seat::Ask;
use super::storage::{storage_plan, StorageInputs, StoragePlan};
use super::{worst, Arbiter, ColumnState};
use crate::site::{Image, Phase};
use crate::units::{CircuitIndex, Milliamps, Millis, Watts};

impl Arbiter {
    /// One tick. True: EVSE grants were recomputed in it. Time does not run backwards: an older `now` is the last one.
    pub fn decide(&mut self, now: Millis) -> bool {
        let now = self.last_tick.map_or(now, |last| last.max(now));
        self.bounds.refresh(&self.layout, &self.limits, now);
        let budgets = self.budgets(now);
        let mut counted = self.counted(now);
        let is_cycle = self.is_cycle_due(&budgets, &counted, now);
        self.decision.grants.iter_mut().for_each(|grant| grant.published = false);
        if is_cycle {
            self.share(&budgets, &counted, now);
            counted = self.counted(now);
        }
        let (storage, caps) = self.steer(&budgets, &counted, now);
        self.record(&budgets, &counted, &storage, now);
        self.record_field(&storage, &caps);
        self.decision.time = now;
        self.decision.evse_cycle = is_cycle;
        self.last_tick = Some(now);
        self.is_dirty = false;
        is_cycle
    }

    fn budgets(&mut self, now: Millis) -> Vec<Budget> {
        let scene = self.feed.scene(&self.site, &self.layout, now);
        let draws: Vec<_> = self.columns.iter().map(|state| state.draw).collect();
        self.balances.update(&scene, &draws);
        let output = self.bounds.of_kind(RowKind::GrossGeneration).chain(self.bounds.of_kind(RowKind::DerOutput));
        let credits = Credits::new(&scene, output);
        let budget = |row| Budget::new(&scene, &self.balances, &credits, row);
        self.bounds.rows.iter().map(budget).collect()
    }

    fn counted(&self, now: Millis) -> Vec<Counted> {
        let columns = self.columns.iter().zip(&self.layout.columns);
        columns.map(|(state, column)| state.account.count(column, self.is_link_up, now)).collect()
    }

    /// On the cycle; at once on new limits, the end of a lease, and where a row with grants under it is overrun.
    fn is_cycle_due(&self, budgets: &[Budget], counted: &[Counted], now: Millis) -> bool {
        let is_due = self.last_cycle.is_none_or(|last| now - last >= self.site.timing().cycle);
        is_due || self.is_dirty || self.has_turned(now) || self.is_overrun(budgets, counted)
    }

    /// Whether a lease ended since the last tick.
    fn has_turned(&self, now: Millis) -> bool {
        self.last_tick.is_some_and(|last| self.limits.has_turned(last, now))
    }

    fn is_overrun(&self, budgets: &[Budget], counted: &[Counted]) -> bool {
        let granted = |column: usize| self.columns[column].seat.granted;
        budgets.iter().enumerate().any(|(index, budget)| {
            let entries = self.bounds.matrix.row(index);
            let settled = |(column, times): (usize, i64)| times * counted[column].settled(granted(column));
            let is_over = budget.measured.is_some_and(|measured| measured > self.bounds.rows[index].bound);
            let has_grants = entries.clone().any(|(column, _)| granted(column) > 0);
            has_grants && (is_over || entries.map(settled).sum::<i64>() > budget.room)
        }) || self.is_transformer_overrun(counted)
    }

    fn is_transformer_overrun(&self, counted: &[Counted]) -> bool {
        let granted = |column: usize| self.columns[column].seat.granted;
        let phasors = &self.bounds.phasors;
        (0..phasors.rows().len()).any(|row| {
            let has_grants = phasors.row(row).iter().any(|(column, _)| granted(*column) > 0);
            let settled = || phasors.totals(row, |column| counted[column].settled(granted(column)));
            has_grants && !phasors.rows()[row].fits(&settled(), 0, 0)
        })
    }

    /// Plans and publishes EVSE grants.
    fn share(&mut self, budgets: &[Budget], counted: &[Counted], now: Millis) {
        let asks = self.asks(now);
        let timing = *self.site.timing();
        for (state, ask) in self.columns.iter_mut().zip(&asks) {
            state.seat.watch(ask.cap > 0, now);
            state.seat.forget(&timing, now);
        }
        let mut sharing = std::mem::take(&mut self.sharing);
        let entrants = self.entrants(&asks, counted);
        let rows = Rows { matrix: &self.bounds.matrix, phasors: &self.bounds.phasors, budgets };
        let planned = plan(&mut sharing, rows, &entrants, now, timing.rotation);
        let is_tightening = self.is_dirty || self.has_turned(now);
        let is_frozen = is_tightening && self.bounds.tightened;
        let pace = Pace { timing: &timing, now, is_frozen };
        let moves = moves(rows, &entrants, &planned, &pace);
        self.sharing = sharing;
        self.publish(&asks, &moves, now);
        let is_due = self.last_cycle.is_none_or(|last| now - last >= timing.cycle);
        if is_due && !is_frozen {
            self.last_cycle = Some(now);
        }
    }

    fn asks(&self, now: Millis) -> Vec<Ask> {
        let at = (now, self.site.timing().sample_max_age);
        let ask = |index: usize| {
            let column = &self.layout.columns[index];
            let reading = self.feed.image.reading(column.asset);
            let want = &self.wants[column.asset.0];
            Ask::new(column, want, &self.columns[index].seat, reading, &self.bounds.caps[index], at)
        };
        (0..self.columns.len()).map(ask).collect()
    }

    fn entrants<'a>(&'a self, asks: &'a [Ask], counted: &[Counted]) -> Vec<Entrant<'a>> {
        let entrant = |index: usize| Entrant {
            column: &self.layout.columns[index],
            ask: &asks[index],
            seat: &self.columns[index].seat,
            counted: counted[index],
        };
        (0..asks.len()).map(entrant).collect()
    }

    /// A grant set is what changed, and whatever was never told anything.
    fn publish(&mut self, asks: &[Ask], moves: &[Move], now: Millis) {
        let is_new = |state: &ColumnState, to: &Move| to.value != state.seat.granted || state.seat.sequence == 0;
        let sequence = self.decision.sequence + 1;
        for (index, (ask, to)) in asks.iter().zip(moves).enumerate() {
            let state = &mut self.columns[index];
            state.binding = binding(&self.bounds, ask, to);
            if !is_new(state, to) {
                continue;
            }
            state.seat.is_safety =
                to.value < state.seat.granted && (ask.limit.is_some() || ask.cap >= state.seat.granted);
            state.seat.publish(to.value, sequence, ask.cap > 0, now);
            state.account.publish(sequence, Milliamps::new(to.value), now);
            self.decision.grants[self.layout.columns[index].asset.0].published = true;
            self.decision.sequence = sequence;
        }
    }

    /// Battery setpoints and PV caps.
    fn steer(&mut self, budgets: &[Budget], counted: &[Counted], now: Millis) -> (StoragePlan, Caps) {
        let scene = self.feed.scene(&self.site, &self.layout, now);
        let rows = &self.bounds.rows;
        let want = |asset: crate::units::AssetIndex| self.wants[asset.0].at(now);
        let evse_counted: Vec<i64> = (0..rows.len()).map(|row| self.evse_counted(&scene, row, counted)).collect();
        let storage_wants: Vec<_> = self.layout.storages.iter().map(|unit| want(unit.asset)).collect();
        let pv_wants: Vec<_> = self.layout.pvs.iter().map(|unit| want(unit.asset)).collect();
        let (balances, wants) = (&self.balances, storage_wants.as_slice());
        let inputs = StorageInputs { scene: &scene, balances, rows, budgets, evse_counted: &evse_counted, wants };
        let storage = storage_plan(&inputs);
        let caps = caps(&scene, balances, rows, &storage, &pv_wants, &self.pv_caps);
        let measured = |unit| scene.storage_power(unit).filter(|_| scene.is_storage_relied_on(unit));
        let measured: Vec<_> = self.layout.storages.iter().map(measured).collect();
        self.pv_caps = caps.iter().map(|(cap, _)| *cap).collect();
        self.feed.command(&self.layout, &storage.setpoints, &measured, now);
        (storage, caps)
    }

    /// W (rounded up) or mA that the EVSEs under a row count at.
    fn evse_counted(&self, scene: &Scene<'_>, row: usize, counted: &[Counted]) -> i64 {
        let entries = self.bounds.matrix.row(row);
        let sum = entries.map(|(column, times)| times * counted[column].current.get()).sum();
        row_value(sum, self.bounds.rows[row].kind, scene)
    }

    /// Rows and EVSE grants.
    fn record(&mut self, budgets: &[Budget], counted: &[Counted], storage: &StoragePlan, now: Millis) {
        let scene = self.feed.scene(&self.site, &self.layout, now);
        let row = |index: usize| {
            let (row, budget) = (&self.bounds.rows[index], &budgets[index]);
            Row {
                circuit: row.circuit,
                quantity: row.kind.quantity(),
                phase: row.kind.phase(),
                bound: row.bound,
                limit_id: row.limit_id.clone(),
                uncontrolled: budget.uncontrolled + budget.kept,
                help: budget.help,
                evse_counted: self.evse_counted(&scene, index, counted),
                shortfall: self.shortfall(&scene, index, budget, counted, storage),
                measured: budget.measured,
                meter_lost: budget.is_lost,
            }
        };
        let line = |index: usize| self.transformer_row(index, counted);
        let rows = (0..budgets.len()).map(row).chain((0..self.bounds.lines.len()).map(line)).collect();
        for ((state, column), counted) in self.columns.iter().zip(&self.layout.columns).zip(counted) {
            let grant = &mut self.decision.grants[column.asset.0];
            grant.value = GrantValue::Current(Milliamps::new(state.seat.granted));
            (grant.counted, grant.reason) = (counted.current, counted.reason);
            (grant.binding_row, grant.binding_limit) = state.binding.clone();
            (grant.safety, grant.sequence) = (state.seat.is_safety, state.seat.sequence);
        }
        self.decision.rows = rows;
    }

    /// One conductor of a transformer: what EVSEs draw in it at worst, at anything up to what they count at.
    fn transformer_row(&self, index: usize, counted: &[Counted]) -> Row {
        let (line, phasors) = (&self.bounds.lines[index], &self.bounds.phasors);
        let worst = |value: &dyn Fn(&Counted) -> i64| {
            line.worst(&phasors.rows()[index], &phasors.totals(index, |column| value(&counted[column])))
        };
        Row {
            circuit: line.circuit,
            quantity: Quantity::Current,
            phase: Some(line.phase),
            bound: line.bound,
            limit_id: line.limit_id.clone(),
            uncontrolled: line.uncontrolled,
            help: 0,
            evse_counted: worst(&|counted| counted.current.get()),
            shortfall: (worst(&|counted| counted.unmovable()) + line.uncontrolled - line.bound).max(0),
            measured: None,
            meter_lost: false,
        }
    }

    /// By how much the bound is missed when everything that can be moved is at its least.
    fn shortfall(
        &self,
        scene: &Scene<'_>,
        index: usize,
        budget: &Budget,
        counted: &[Counted],
        storage: &StoragePlan,
    ) -> i64 {
        let row = &self.bounds.rows[index];
        let least = match row.kind {
            RowKind::NetImport | RowKind::GrossLoad | RowKind::Current(_) => {
                let entries = self.bounds.matrix.row(index);
                let stuck = entries.map(|(column, times)| times * counted[column].unmovable()).sum();
                budget.uncontrolled + budget.kept - budget.help + row_value(stuck, row.kind, scene)
            }
            RowKind::NetExport => least_export(scene, &self.balances, row, storage).get(),
            RowKind::GrossGeneration | RowKind::DerOutput => {
                (worst::generation(scene, row.circuit) + worst::discharge(scene, row.circuit)).get()
            }
        };
        (least - row.bound).max(0)
    }

    fn record_field(&mut self, storage: &StoragePlan, caps: &Caps) {
        let (rows, feed) = (&self.bounds.rows, &self.feed);
        let grants = &mut self.decision.grants;
        let set = |grant: &mut Grant, power: Watts, row: Option<usize>| {
            grant.value = GrantValue::Power(power);
            let is_controlled = feed.is_controlled(grant.asset);
            grant.reason = if is_controlled { CountedReason::Proved } else { CountedReason::Nameplate };
            grant.binding_row = row;
            grant.binding_limit = row.map(|row| rows[row].limit_id.clone());
        };
        for (index, unit) in self.layout.storages.iter().enumerate() {
            set(&mut grants[unit.asset.0], storage.setpoints[index], storage.rows[index]);
        }
        for (unit, (cap, row)) in self.layout.pvs.iter().zip(caps) {
            set(&mut grants[unit.asset.0], -*cap, *row);
        }
    }
}

fn binding(bounds: &Bounds, ask: &Ask, to: &Move) -> (Option<usize>, Option<Arc<str>>) {
    match to.row {
        Some(row) if to.value < ask.cap => (Some(row), bounds.limit_id(row).cloned()),
        _ => (None, ask.limit.clone()),
    }
}

/// W that flow out with every PV unit at 0 and every battery charging as it can, those not relied on at their worst.
fn least_export(scene: &Scene<'_>, balances: &Balances, row: &Bound, storage: &StoragePlan) -> Watts {
    // What no meter tells is the least load that the site states.
    let least_load = || scene.site.circuit(row.circuit).spec.min_uncontrolled.unwrap_or(Watts::ZERO);
    let net = balances.circuits[row.circuit.0].without_der[0].map_or_else(least_load, Watts::new);
    let below = scene.layout.below[row.circuit.0].storages.iter();
    let open = worst::generation(scene, row.circuit) + worst::export(scene, row.circuit);
    open - net - below.map(|unit| storage.chargeable[*unit]).sum()
}

/// What a limit's quantity is now, W or mA: where a ramp starts.
pub fn shown(
    layout: &Layout,
    image: &Image,
    balances: &Balances,
    columns: &[ColumnState],
    limit: &ActiveLimit,
    since: Millis,
) -> Option<i64> {
    let circuit = match limit.scope {
        Scope::Circuit(circuit) => circuit,
        Scope::Asset(asset) => return layout.column_of[asset.0].map(|column| columns[column].seat.granted),
    };
    let measured = balances.circuits.get(circuit.0)?.measured;
    match limit.quantity {
        Quantity::NetImport => measured[0].map(|net| net.max(0)),
        Quantity::NetExport => measured[0].map(|net| (-net).max(0)),
        Quantity::Current => Phase::ALL.iter().filter_map(|phase| measured[1 + phase.slot()]).map(i64::abs).max(),
        Quantity::DerOutput => output(layout, image, circuit, |out| out).map(|net| net.max(0)),
        Quantity::GrossGeneration => output(layout, image, circuit, |out| out.max(0)),
        Quantity::GrossLoad => Some(gross_load(layout, image, columns, circuit, since)),
    }
}

/// W that EVSEs and batteries below a circuit are seen to take, measured at `since` or later: what is not seen counts as
/// nothing, so that a ramp starts no higher than the load is.
fn gross_load(layout: &Layout, image: &Image, columns: &[ColumnState], circuit: CircuitIndex, since: Millis) -> i64 {
    let below = &layout.below[circuit.0];
    let draws = below.columns.iter().map(|column| &columns[*column].draw).filter(|draw| draw.at >= since);
    let drawn: i64 = draws.map(|draw| draw.least[0].max(0)).sum();
    let batteries = below.storages.iter().map(|unit| image.reading(layout.storages[*unit].asset));
    let heard = batteries.filter(|reading| reading.measured_at >= since).filter_map(|reading| reading.power);
    drawn + heard.map(|power| power.get().max(0)).sum::<i64>()
}

/// Sum of what each inverter and battery below a circuit puts out, as it counts; absent where one is not heard.
fn output(layout: &Layout, image: &Image, circuit: CircuitIndex, counts: fn(i64) -> i64) -> Option<i64> {
    let below = layout.below.get(circuit.0)?;
    let pvs = below.pvs.iter().map(|unit| layout.pvs[*unit].asset);
    let storages = below.storages.iter().map(|unit| layout.storages[*unit].asset);
    pvs.chain(storages).map(|asset| image.reading(asset).power.map(|power| counts(-power.get()))).sum()
}
