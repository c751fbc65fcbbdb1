//! Step 2: from the plan to what is sent now. Down at once; up only into room that is proved to be there.
//!
//! An increase counts from the moment it is sent, everything else counts at its worst until proved: so what others were
//! told to give up is not used before they are seen to have given it up. In the tick in which a limit tightens nothing
//! rises.
//!
//! Until a sample shows what a raised EVSE draws, its meter sees that draw as load that nobody controls. So under a metered
//! row a rise needs its size twice, and a start needs that everybody could stay at the minimum meanwhile: else the raise
//! would take itself back.

use super::budget::Budget;
use super::fill::{Filled, Filler, Share};
use super::left::{Left, Tree};
use super::plan::{Entrant, Rows};
use super::seat::on_step;
use crate::site::Timing;
use crate::units::Millis;

/// What to do with each EVSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// mA per phase from now on.
    pub value: i64,
    /// The row that keeps it from more; absent: none does.
    pub row: Option<usize>,
}

/// When raises are allowed.
pub struct Pace<'a> {
    /// Intervals and deadband.
    pub timing: &'a Timing,
    /// The tick.
    pub now: Millis,
    /// A row was tightened just now: nothing rises before the next tick.
    pub is_frozen: bool,
}

/// The moves of one cycle.
pub fn moves(rows: Rows<'_>, entrants: &[Entrant<'_>], planned: &[Filled], pace: &Pace<'_>) -> Vec<Move> {
    let budgets: Vec<i64> = rows.budgets.iter().map(|budget| budget.budget).collect();
    let tree = Tree { matrix: rows.matrix, budgets: &budgets, phasors: rows.phasors, taken: &[] };
    let lowered = |(entrant, filled): (&Entrant<'_>, &Filled)| Move {
        value: filled.value.min(entrant.seat.granted),
        row: filled.row,
    };
    let moves = entrants.iter().zip(planned).map(lowered).collect();
    let mut raises = Raises::new(tree, rows.budgets, entrants, planned, moves);
    let order = raises.keep_possible(raise_order(entrants, planned, pace));
    raises.start(&order);
    let on: Vec<usize> = order.into_iter().filter(|column| raises.moves[*column].value > 0).collect();
    raises.rise(&on);
    raises.hand_out_crumbs(&on);
    for column in on {
        let (granted, to) = (entrants[column].seat.granted, &mut raises.moves[column]);
        if granted > 0 && to.value - granted < pace.timing.evse_deadband.get() {
            to.value = granted;
        }
    }
    raises.moves
}

/// Those who should rise and may, lowest current grant first.
fn raise_order(entrants: &[Entrant<'_>], planned: &[Filled], pace: &Pace<'_>) -> Vec<usize> {
    let may_rise = |column: &usize| {
        let entrant = &entrants[*column];
        let is_ready = entrant.counted.follows() && !entrant.seat.is_paced(pace.timing, pace.now);
        planned[*column].value > entrant.seat.granted && is_ready && !pace.is_frozen
    };
    let mut order: Vec<usize> = (0..entrants.len()).filter(may_rise).collect();
    order.sort_by_cached_key(|column| {
        let (seat, ask) = (entrants[*column].seat, entrants[*column].ask);
        (ask.stratum, !ask.keeps_on, seat.granted, seat.waiting_since, *column)
    });
    order
}

/// The raises of one cycle and what is left for them, per row.
struct Raises<'a> {
    tree: Tree<'a>,
    entrants: &'a [Entrant<'a>],
    planned: &'a [Filled],
    /// By the books.
    left: Left,
    /// For rises that will be seen as uncontrolled load for a while; no meter shows a row of angles.
    for_rises: Vec<i64>,
    /// For starts that will, with everybody who is on at the minimum.
    for_starts: Vec<i64>,
    moves: Vec<Move>,
}

impl<'a> Raises<'a> {
    fn new(
        tree: Tree<'a>,
        budgets: &[Budget],
        entrants: &'a [Entrant<'a>],
        planned: &'a [Filled],
        moves: Vec<Move>,
    ) -> Self {
        let mut left = Left::default();
        left.reset(tree);
        let (mut for_rises, mut for_starts) = (tree.budgets.to_vec(), tree.budgets.to_vec());
        for (column, entrant) in entrants.iter().enumerate() {
            let (counted, unseen) = (entrant.counted.current.get(), entrant.seat.unseen);
            left.take(tree, column, counted);
            tree.matrix.take(column, counted + unseen, &mut for_rises);
            tree.matrix.take(column, entrant.least() + unseen, &mut for_starts);
        }
        for (row, budget) in budgets.iter().enumerate() {
            let by_books = left.tree(tree).budgets[row];
            for_rises[row] = if budget.has_meter() { for_rises[row].div_euclid(2) } else { by_books };
            for_starts[row] = budget.for_starts(for_starts[row]);
        }
        Self { tree, entrants, planned, left, for_rises, for_starts, moves }
    }

    /// Leaves out those under a row that is over its budget already.
    fn keep_possible(&mut self, mut order: Vec<usize>) -> Vec<usize> {
        order.retain(|column| {
            let lacking = self.left.lacking(self.tree, *column, 0);
            if lacking.is_some() {
                self.moves[*column].row = lacking;
            }
            lacking.is_none()
        });
        order
    }

    /// Those at nothing get their minimum, in order.
    fn start(&mut self, order: &[usize]) {
        for &column in order.iter().filter(|column| self.entrants[**column].seat.granted == 0) {
            let minimum = self.entrants[column].column.evse.current_min.get();
            let cost = (minimum - self.base(column)).max(0);
            let by_meter = || self.tree.matrix.lacking(column, minimum, |row| self.for_starts[row]);
            if let Some(row) = self.left.lacking(self.tree, column, cost).or_else(by_meter) {
                self.moves[column].row = Some(row);
                continue;
            }
            self.tree.matrix.take(column, minimum, &mut self.for_starts);
            self.take(column, cost);
            self.moves[column].value = minimum;
        }
    }

    /// Those who are on rise together, as far as the rows leave it.
    fn rise(&mut self, on: &[usize]) {
        let mut shares = vec![Share { floor: 0, cap: 0, weight: 1, stratum: 0 }; self.entrants.len()];
        for &column in on {
            let (ask, rest) = (self.entrants[column].ask, self.planned[column].value - self.base(column));
            shares[column] = Share { floor: 0, cap: rest.max(0), weight: ask.weight, stratum: ask.stratum };
        }
        let left = self.left.tree(self.tree);
        let budgets: Vec<i64> = left.budgets.iter().zip(&self.for_rises).map(|(left, seen)| *left.min(seen)).collect();
        let mut filler = Filler::default();
        let filled = filler.fill(Tree { budgets: &budgets, ..left }, &shares);
        for &column in on {
            let (planned, highest) = (self.planned[column].value, self.base(column) + filled[column].value);
            let value = on_step(self.entrants[column].column, highest.min(planned));
            if value < planned {
                self.moves[column].row = filled[column].row;
            }
            self.reach(column, value.max(self.moves[column].value));
        }
    }

    /// What is less than a step for everybody is a step for some.
    fn hand_out_crumbs(&mut self, on: &[usize]) {
        for &column in on {
            let value = self.moves[column].value + self.entrants[column].column.evse.current_step.get();
            if value <= self.planned[column].value {
                self.reach(column, value);
            }
        }
    }

    /// What is counted or given already costs nothing more.
    fn base(&self, column: usize) -> i64 {
        self.entrants[column].counted.current.get().max(self.moves[column].value)
    }

    /// Takes a value if every row has room for it; else the row says so.
    fn reach(&mut self, column: usize, value: i64) {
        let cost = (value - self.base(column)).max(0);
        let by_meter = || self.tree.matrix.lacking(column, cost, |row| self.for_rises[row]);
        let lacking = || self.left.lacking(self.tree, column, cost).or_else(by_meter);
        if let Some(row) = lacking().filter(|_| cost > 0) {
            self.moves[column].row = Some(row);
            return;
        }
        self.take(column, cost);
        self.moves[column].value = value;
    }

    fn take(&mut self, column: usize, cost: i64) {
        self.left.take(self.tree, column, cost);
        self.tree.matrix.take(column, cost, &mut self.for_rises);
    }
}
