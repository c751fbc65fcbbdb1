//! Step 1: what every EVSE should have, as if every change were proved at once.
//!
//! ```text
//! budgets less what cannot be moved ─> admit (minimum each) ─> fill above it ─> quantise down ─> crumbs
//! ```
//! Sharing with a minimum is not convex: who gets the minimum is decided first, by order; the rest is exact. A car that
//! step 2 could never start has no part: what is kept for it would be set free when data ages or a limit tightens, and
//! then the others would rise because there is less.

use super::account::Counted;
use super::budget::Budget;
use super::fill::Filled;
use super::layout::Column;
use super::left::{Left, Tree};
use super::matrix::Matrix;
use super::phasor::Phasors;
use super::seat::{Ask, Seat};
use super::sharing::{admit, Claim, Sharing};
use crate::units::Millis;

/// A car that is on stays on at least so long while others could go first only by their wait.
pub const ON_MIN_MS: i64 = 60_000;

/// One EVSE in the sharing.
pub struct Entrant<'a> {
    /// Ratings.
    pub column: &'a Column,
    /// Wish.
    pub ask: &'a Ask,
    /// Grant and clocks.
    pub seat: &'a Seat,
    /// What it counts at now, and whether it follows.
    pub counted: Counted,
}

/// The rows of one cycle.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Who loads them.
    pub matrix: &'a Matrix,
    /// Rows of angles.
    pub phasors: &'a Phasors,
    /// What each row of the matrix leaves.
    pub budgets: &'a [Budget],
}

impl Entrant<'_> {
    /// mA per phase below which it is not lowered without being stopped.
    pub fn least(&self) -> i64 {
        let minimum =
            if self.counted.follows() && self.seat.granted > 0 { self.column.evse.current_min.get() } else { 0 };
        minimum + self.counted.unmovable()
    }
}

/// mA per EVSE, on its step, and the row that stopped it.
pub fn plan(
    sharing: &mut Sharing,
    rows: Rows<'_>,
    entrants: &[Entrant<'_>],
    now: Millis,
    rotation: Millis,
) -> Vec<Filled> {
    let left = left_for_grants(rows.matrix, rows.budgets.iter().map(|budget| budget.budget), entrants);
    let tree = Tree { matrix: rows.matrix, budgets: &left, phasors: rows.phasors, taken: &[] };
    let claims: Vec<Claim> = entrants.iter().map(claim).collect();
    let order = admission_order(entrants, now, rotation);
    let (mut filled, order) = admit_startable(tree, rows.budgets, &claims, entrants, order);
    sharing.share_admitted(tree, &claims, &order, &mut filled);
    hold_the_stuck(rows.matrix, rows.budgets, entrants, &mut filled);
    filled
}

fn claim(entrant: &Entrant<'_>) -> Claim {
    Claim {
        cap: entrant.ask.cap,
        weight: entrant.ask.weight,
        stratum: entrant.ask.stratum,
        minimum: entrant.column.evse.current_min.get(),
        step: entrant.column.evse.current_step.get(),
        held: entrant.seat.granted,
    }
}

/// What the rows leave after everything that no grant can move.
pub fn left_for_grants(matrix: &Matrix, limits: impl Iterator<Item = i64>, entrants: &[Entrant<'_>]) -> Vec<i64> {
    let mut left: Vec<i64> = limits.collect();
    for (column, entrant) in entrants.iter().enumerate() {
        matrix.take(column, entrant.counted.unmovable(), &mut left);
    }
    left
}

/// Who is admitted first: by stratum; then those that take no turns; then those just switched on, those who waited too long, those on (newest first,
/// so that a turn ends for whoever had the longest), those who wait (longest first); then the configuration's order.
fn admission_order(entrants: &[Entrant<'_>], now: Millis, rotation: Millis) -> Vec<usize> {
    let key = |column: usize| {
        let (seat, stratum) = (entrants[column].seat, entrants[column].ask.stratum);
        let span = |since: Option<Millis>| since.map_or(0, |since| (now - since).get());
        let (on, waiting) = (span(seat.on_since), span(seat.waiting_since));
        if entrants[column].ask.keeps_on {
            return (stratum, -1, 0, column);
        }
        match seat.granted > 0 {
            true if on < ON_MIN_MS => (stratum, 0, on, column),
            true => (stratum, 2, on, column),
            false if waiting >= rotation.get() => (stratum, 1, -waiting, column),
            false => (stratum, 3, -waiting, column),
        }
    };
    let takes_part = |column: &usize| entrants[*column].counted.follows() && entrants[*column].ask.cap > 0;
    let mut order: Vec<usize> = (0..entrants.len()).filter(takes_part).collect();
    order.sort_by_cached_key(|column| key(*column));
    order
}

/// The minimum to each in order, without those that could not be started; and the order of those that take part.
fn admit_startable(
    tree: Tree<'_>,
    budgets: &[Budget],
    claims: &[Claim],
    entrants: &[Entrant<'_>],
    mut order: Vec<usize>,
) -> (Vec<Filled>, Vec<usize>) {
    let (mut left, mut kept_out) = (Left::default(), vec![None; entrants.len()]);
    loop {
        let mut filled = vec![Filled::default(); entrants.len()];
        left.reset(tree);
        admit(tree, &mut left, claims, &order, &mut filled);
        if keep_out(tree, budgets, entrants, (&order, &filled), &mut kept_out) {
            order.retain(|column| kept_out[*column].is_none());
            continue;
        }
        for (filled, row) in filled.iter_mut().zip(kept_out).filter(|(_, row)| row.is_some()) {
            filled.row = row;
        }
        return (filled, order);
    }
}

/// Marks those admitted that are off and will find no room to start (see `Budget::for_starts`) once everybody else who is
/// admitted is at the minimum and seen there; whether there are any.
fn keep_out(
    tree: Tree<'_>,
    budgets: &[Budget],
    entrants: &[Entrant<'_>],
    (order, admitted): (&[usize], &[Filled]),
    kept_out: &mut [Option<usize>],
) -> bool {
    let (off, on): (Vec<usize>, Vec<usize>) = order
        .iter()
        .filter(|column| admitted[**column].value > 0)
        .partition(|column| entrants[**column].seat.granted == 0);
    let (mut left, mut is_found) = (tree.budgets.to_vec(), false);
    on.iter().for_each(|column| tree.matrix.take(*column, admitted[*column].value, &mut left));
    for column in off {
        let minimum = admitted[column].value;
        match tree.matrix.lacking(column, minimum, |row| budgets[row].for_starts(left[row])) {
            row @ Some(_) => (kept_out[column], is_found) = (row, true),
            None => tree.matrix.take(column, minimum, &mut left),
        }
    }
    is_found
}

/// Who cannot be relied on keeps what it was told, unless it wants less or a row cannot be met even so.
fn hold_the_stuck(matrix: &Matrix, budgets: &[Budget], entrants: &[Entrant<'_>], filled: &mut [Filled]) {
    let left = left_for_grants(matrix, budgets.iter().map(|budget| budget.room), entrants);
    for (column, entrant) in entrants.iter().enumerate().filter(|(_, entrant)| !entrant.counted.follows()) {
        let over = matrix.column(column).map(|(row, _)| row).find(|row| left[*row] < 0);
        filled[column] = match over {
            Some(row) => Filled { value: 0, row: Some(row) },
            None => Filled { value: entrant.seat.granted.min(entrant.ask.cap), row: None },
        };
    }
}
