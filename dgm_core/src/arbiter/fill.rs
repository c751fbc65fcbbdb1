//! Weighted max-min sharing on a whole tree of rows: exact water-filling in integers, without state.
//!
//! Every column starts at its floor and rises at the speed of its weight. A row that is full stops all its columns; a
//! column at its cap stops alone. On rows of non-negative coefficients this is the lexicographic max-min answer
//! (Radunovic & Le Boudec, "A Unified Framework for Max-Min and Min-Max Fairness"). Strata are filled one after the
//! other, lower numbers first, each into what the ones before left.
//!
//! Levels are reckoned in 2^-30 mA per unit of weight, so the sum of all rounding stays far below 1 mA.
//!
//! A phasor row (`phasor.rs`) bounds the magnitude of a sum of currents of different angles. It is full for those of its
//! classes that could not rise alone; the others of its columns go on rising.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::left::Tree;
use super::matrix::Matrix;
use super::phasor::{Phasors, Standing};

const SHIFT: u32 = 30;
/// Widest residual of a row, mA x conductors: more is not usable and would leave 64 bits.
pub const RESIDUAL_MAX: i64 = 8_000_000_000;

/// What one column asks for. `cap == floor`: it takes no part beyond its floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// mA that it has in any case; floors are already within every budget.
    pub floor: i64,
    /// mA, at least `floor`.
    pub cap: i64,
    /// 1..=`WEIGHT_MAX`.
    pub weight: i64,
    /// Lower is filled first.
    pub stratum: i64,
}

/// What one column got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// mA, rounded down.
    pub value: i64,
    /// The full row that stopped it, phasor rows after the others; absent: its cap did.
    pub row: Option<usize>,
}

/// Shares the budgets of the rows among the columns.
pub fn fill(matrix: &Matrix, budgets: &[i64], shares: &[Share]) -> Vec<Filled> {
    fill_phasors(matrix, budgets, &Phasors::default(), shares)
}

/// The same where phasor rows hold as well: at the floors they must.
pub fn fill_phasors(matrix: &Matrix, budgets: &[i64], phasors: &Phasors, shares: &[Share]) -> Vec<Filled> {
    let mut filler = Filler::default();
    filler.fill(Tree { matrix, budgets, phasors, taken: &[] }, shares);
    filler.filled
}

type Heap = BinaryHeap<Reverse<(i64, usize)>>;

/// One row while it fills.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// What is left, 2^-30 mA x conductors.
    residual: i64,
    /// Coefficient x weight of the columns that still rise.
    weight: i64,
}

/// Memory of fillings: one that is kept allocates nothing after its first.
#[derive(Clone, Debug, Default)]
pub struct Filler {
    lines: Vec<Line>,
    standings: Vec<Standing>,
    is_rising: Vec<bool>,
    /// Columns that rise at all, stratum by stratum.
    members: Vec<usize>,
    /// Levels at which caps stop their columns, the lowest last.
    caps: Vec<(i64, usize)>,
    heap: Heap,
    filled: Vec<Filled>,
}

impl Filler {
    /// What every column gets; at the floors, and what is taken beforehand, phasor rows must hold.
    pub fn fill(&mut self, tree: Tree<'_>, shares: &[Share]) -> &[Filled] {
        self.reset(tree, shares);
        let members = std::mem::take(&mut self.members);
        for stratum in members.chunk_by(|one, next| shares[*one].stratum == shares[*next].stratum) {
            self.fill_stratum(tree, shares, stratum);
        }
        self.members = members;
        &self.filled
    }

    fn reset(&mut self, tree: Tree<'_>, shares: &[Share]) {
        refill(&mut self.lines, tree.budgets.iter().map(|rest| Line { residual: *rest, weight: 0 }));
        refill(&mut self.standings, (0..tree.phasors.rows().len()).map(|row| Standing::holding(&tree.taken(row))));
        refill(&mut self.is_rising, shares.iter().map(|_| false));
        refill(&mut self.filled, shares.iter().map(|share| Filled { value: share.floor, row: None }));
        refill(&mut self.members, (0..shares.len()).filter(|column| shares[*column].cap > shares[*column].floor));
        self.members.sort_by_key(|column| shares[*column].stratum);
        for (column, share) in shares.iter().enumerate().filter(|(_, share)| share.floor > 0) {
            for (row, coefficient) in tree.matrix.column(column) {
                self.lines[row].residual = self.lines[row].residual.saturating_sub(coefficient * share.floor);
            }
            tree.phasors.column(column).for_each(|(row, class)| self.standings[row].hold(class, share.floor << SHIFT));
        }
        self.lines.iter_mut().for_each(|line| line.residual = line.residual.clamp(0, RESIDUAL_MAX) << SHIFT);
    }

    fn fill_stratum(&mut self, tree: Tree<'_>, shares: &[Share], members: &[usize]) {
        self.start(tree, shares, members);
        self.queue_rows(tree);
        let lines = self.lines.len();
        loop {
            while self.caps.last().is_some_and(|(_, column)| !self.is_rising[*column]) {
                self.caps.pop();
            }
            let Some(&(cap_level, column)) = self.caps.last() else { return };
            match self.heap.peek() {
                Some(&Reverse((level, row))) if level < cap_level => {
                    self.heap.pop();
                    match row.checked_sub(lines) {
                        None => self.visit_line(tree, shares, row, level),
                        Some(phasor) => self.visit_phasor(tree, shares, phasor, level),
                    }
                }
                _ => self.stop(tree, shares, column, (shares[column].cap - shares[column].floor) << SHIFT, None),
            }
        }
    }

    /// Lets the columns of a stratum rise, and notes the levels at which their caps stop them.
    fn start(&mut self, tree: Tree<'_>, shares: &[Share], members: &[usize]) {
        self.caps.clear();
        for &column in members {
            let share = &shares[column];
            self.is_rising[column] = true;
            for (row, coefficient) in tree.matrix.column(column) {
                self.lines[row].weight += coefficient * share.weight;
            }
            let rise = (share.cap - share.floor) << SHIFT;
            let mut level = rise / share.weight;
            for (row, class) in tree.phasors.column(column) {
                self.standings[row].start(class, share.weight, rise);
                // Rounded up there: a phasor row has no whole milliamps that would absorb the rest of the division.
                level = (rise + share.weight - 1) / share.weight;
            }
            self.caps.push((level, column));
        }
        // By level alone: few levels are different, and whose cap comes first among equals changes nothing.
        self.caps.sort_unstable_by_key(|(level, _)| Reverse(*level));
    }

    /// The levels at which rows are full, phasor rows after the others.
    fn queue_rows(&mut self, tree: Tree<'_>) {
        let mut queue = std::mem::take(&mut self.heap).into_vec();
        let lines = self.lines.iter().enumerate().filter(|(_, line)| line.weight > 0);
        let lines = lines.map(|(row, line)| Reverse((line.residual / line.weight, row)));
        let rising = self.standings.iter().enumerate().filter(|(_, standing)| standing.is_rising());
        let after = self.lines.len();
        let phasors = rising.map(|(row, standing)| Reverse((standing.level(&tree.phasors.rows()[row]), after + row)));
        refill(&mut queue, lines.chain(phasors));
        self.heap = Heap::from(queue);
    }

    /// Levels only grow as columns stop, so a row whose level has grown is put back instead of being searched for.
    fn visit_line(&mut self, tree: Tree<'_>, shares: &[Share], row: usize, level: i64) {
        let line = self.lines[row];
        if line.weight == 0 {
            return;
        }
        let now = line.residual / line.weight;
        if now > level {
            self.heap.push(Reverse((now, row)));
            return;
        }
        for (column, _) in tree.matrix.row(row) {
            if self.is_rising[column] {
                self.stop(tree, shares, column, shares[column].weight * now, Some(row));
            }
        }
    }

    /// As `visit_line`, but a full phasor row stops only the classes that could not rise alone.
    fn visit_phasor(&mut self, tree: Tree<'_>, shares: &[Share], row: usize, level: i64) {
        if !self.standings[row].is_rising() {
            return;
        }
        let (found, place) = (&tree.phasors.rows()[row], self.lines.len() + row);
        let now = self.standings[row].level(found);
        if now <= level {
            let stopped = self.standings[row].stopped(found, now);
            for &(column, class) in tree.phasors.row(row) {
                if self.is_rising[column] && stopped[class] {
                    self.stop(tree, shares, column, shares[column].weight * now, Some(place));
                }
            }
        }
        if self.standings[row].is_rising() {
            self.heap.push(Reverse((self.standings[row].level(found), place)));
        }
    }

    fn stop(&mut self, tree: Tree<'_>, shares: &[Share], column: usize, rise: i64, row: Option<usize>) {
        let share = &shares[column];
        self.is_rising[column] = false;
        self.filled[column] = Filled { value: share.floor + (rise >> SHIFT), row };
        for (above, coefficient) in tree.matrix.column(column) {
            let line = &mut self.lines[above];
            line.residual = (line.residual - coefficient * rise).max(0);
            line.weight -= coefficient * share.weight;
        }
        for (above, class) in tree.phasors.column(column) {
            self.standings[above].hold(class, rise);
            self.standings[above].stop(class, share.weight, (share.cap - share.floor) << SHIFT);
        }
    }
}

/// New items in the memory of the old ones.
pub fn refill<T>(items: &mut Vec<T>, new: impl Iterator<Item = T>) {
    items.clear();
    items.extend(new);
}

#[cfg(test)]
#[path = "fill_test.rs"]
mod tests;
