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
    let mut filler = Filler::new(matrix, budgets, phasors, shares);
    let mut strata: Vec<i64> =
        shares.iter().filter(|share| share.cap > share.floor).map(|share| share.stratum).collect();
    strata.sort_unstable();
    strata.dedup();
    for stratum in strata {
        filler.fill_stratum(stratum);
    }
    filler.filled
}

type Heap = BinaryHeap<Reverse<(i64, usize)>>;

/// State of one filling: what is left in each row, and the weight still rising in it.
struct Filler<'a> {
    matrix: &'a Matrix,
    phasors: &'a Phasors,
    shares: &'a [Share],
    residual: Vec<i64>,
    weight: Vec<i64>,
    standings: Vec<Standing>,
    is_rising: Vec<bool>,
    filled: Vec<Filled>,
}

impl<'a> Filler<'a> {
    fn new(matrix: &'a Matrix, budgets: &[i64], phasors: &'a Phasors, shares: &'a [Share]) -> Self {
        let mut left = budgets.to_vec();
        let mut standings = vec![Standing::default(); phasors.rows().len()];
        for (column, share) in shares.iter().enumerate() {
            matrix.take(column, share.floor, &mut left);
            phasors.column(column).for_each(|(row, class)| standings[row].hold(class, share.floor << SHIFT));
        }
        Self {
            matrix,
            phasors,
            shares,
            residual: left.iter().map(|rest| (*rest).clamp(0, RESIDUAL_MAX) << SHIFT).collect(),
            weight: vec![0; budgets.len()],
            standings,
            is_rising: vec![false; shares.len()],
            filled: shares.iter().map(|share| Filled { value: share.floor, row: None }).collect(),
        }
    }

    fn fill_stratum(&mut self, stratum: i64) {
        let mut caps = self.start(stratum);
        let lines = (0..self.residual.len()).filter(|row| self.weight[*row] > 0);
        let mut heap: Heap = lines.map(|row| Reverse((self.line_level(row), row))).collect();
        let phasors = self.standings.iter().enumerate().filter(|(_, standing)| standing.is_rising());
        heap.extend(
            phasors
                .map(|(row, standing)| Reverse((standing.level(&self.phasors.rows()[row]), self.residual.len() + row))),
        );
        loop {
            while caps.last().is_some_and(|(_, column)| !self.is_rising[*column]) {
                caps.pop();
            }
            let Some(&(cap_level, column)) = caps.last() else { return };
            match heap.peek() {
                Some(&Reverse((level, row))) if level < cap_level => {
                    heap.pop();
                    match row.checked_sub(self.residual.len()) {
                        None => self.visit_line(row, level, &mut heap),
                        Some(phasor) => self.visit_phasor(phasor, level, &mut heap),
                    }
                }
                _ => self.stop(column, (self.shares[column].cap - self.shares[column].floor) << SHIFT, None),
            }
        }
    }

    /// Lets the columns of the stratum rise; returns the levels at which their caps stop them, the lowest last.
    fn start(&mut self, stratum: i64) -> Vec<(i64, usize)> {
        let mut caps = Vec::new();
        for (column, share) in self.shares.iter().enumerate() {
            if share.stratum != stratum || share.cap <= share.floor {
                continue;
            }
            self.is_rising[column] = true;
            for &(row, coefficient) in self.matrix.column(column) {
                self.weight[row] += coefficient * share.weight;
            }
            let rise = (share.cap - share.floor) << SHIFT;
            let mut level = rise / share.weight;
            for (row, class) in self.phasors.column(column) {
                self.standings[row].start(class, share.weight, rise);
                // Rounded up there: a phasor row has no whole milliamps that would absorb the rest of the division.
                level = (rise + share.weight - 1) / share.weight;
            }
            caps.push((level, column));
        }
        caps.sort_unstable_by(|one, other| other.cmp(one));
        caps
    }

    fn line_level(&self, row: usize) -> i64 {
        self.residual[row] / self.weight[row]
    }

    /// Levels only grow as columns stop, so a row whose level has grown is put back instead of being searched for.
    fn visit_line(&mut self, row: usize, level: i64, heap: &mut Heap) {
        if self.weight[row] == 0 {
            return;
        }
        let now = self.line_level(row);
        if now > level {
            heap.push(Reverse((now, row)));
            return;
        }
        let matrix = self.matrix;
        for &(column, _) in matrix.row(row) {
            if self.is_rising[column] {
                self.stop(column, self.shares[column].weight * now, Some(row));
            }
        }
    }

    /// As `visit_line`, but a full phasor row stops only the classes that could not rise alone.
    fn visit_phasor(&mut self, row: usize, level: i64, heap: &mut Heap) {
        if !self.standings[row].is_rising() {
            return;
        }
        let phasors = self.phasors;
        let now = self.standings[row].level(&phasors.rows()[row]);
        if now <= level {
            let stopped = self.standings[row].stopped(&phasors.rows()[row], now);
            for &(column, class) in phasors.row(row) {
                if self.is_rising[column] && stopped[class] {
                    self.stop(column, self.shares[column].weight * now, Some(self.residual.len() + row));
                }
            }
        }
        if self.standings[row].is_rising() {
            heap.push(Reverse((self.standings[row].level(&phasors.rows()[row]), self.residual.len() + row)));
        }
    }

    fn stop(&mut self, column: usize, rise: i64, row: Option<usize>) {
        let share = &self.shares[column];
        self.is_rising[column] = false;
        self.filled[column] = Filled { value: share.floor + (rise >> SHIFT), row };
        for &(above, coefficient) in self.matrix.column(column) {
            self.residual[above] = (self.residual[above] - coefficient * rise).max(0);
            self.weight[above] -= coefficient * share.weight;
        }
        for (above, class) in self.phasors.column(column) {
            self.standings[above].hold(class, rise);
            self.standings[above].stop(class, share.weight, (share.cap - share.floor) << SHIFT);
        }
    }
}

#[cfg(test)]
#[path = "fill_test.rs"]
mod tests;
