//! Weighted max-min sharing on a whole tree of rows: exact water-filling in integers, without state.
//!
//! Every column starts at its floor and rises at the speed of its weight. A row that is full stops all its columns; a
//! column at its cap stops alone. On rows of non-negative coefficients this is the lexicographic max-min answer
//! (Radunovic & Le Boudec, "A Unified Framework for Max-Min and Min-Max Fairness"). Strata are filled one after the
//! other, lower numbers first, each into what the ones before left.
//!
//! Levels are reckoned in 2^-30 mA per unit of weight, so the sum of all rounding stays far below 1 mA.
//!
//! Words of a `Problem` (int64, native order):
//! ```text
//! 1                                              version of this layout
//! columns  rows
//! floor_ma  cap_ma  weight  stratum              per column
//! budget  entries  (column  coefficient) ...     per row; coefficient 1..3, budget as sum of coefficient x mA
//! ```
//! Answer: one mA word per column, rounded down.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::matrix::Matrix;
use crate::error::CoreError;
use crate::site::{QUANTITY_MAX, WEIGHT_MAX};
use crate::units::count;

const SHIFT: u32 = 30;
/// Widest residual of a row, mA x conductors: more is not usable and would leave 64 bits.
const RESIDUAL_MAX: i64 = 8_000_000_000;
const WORDS_VERSION: i64 = 1;
const COLUMNS_MAX: usize = 1_000_000;

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
    /// The full row that stopped it; absent: its cap did.
    pub row: Option<usize>,
}

/// Shares the budgets of the rows among the columns.
pub fn fill(matrix: &Matrix, budgets: &[i64], shares: &[Share]) -> Vec<Filled> {
    let mut filler = Filler::new(matrix, budgets, shares);
    let mut strata: Vec<i64> =
        shares.iter().filter(|share| share.cap > share.floor).map(|share| share.stratum).collect();
    strata.sort_unstable();
    strata.dedup();
    for stratum in strata {
        filler.fill_stratum(stratum);
    }
    filler.filled
}

/// State of one filling: what is left in each row, and the weight still rising in it.
struct Filler<'a> {
    matrix: &'a Matrix,
    shares: &'a [Share],
    residual: Vec<i64>,
    weight: Vec<i64>,
    is_rising: Vec<bool>,
    filled: Vec<Filled>,
}

impl<'a> Filler<'a> {
    fn new(matrix: &'a Matrix, budgets: &[i64], shares: &'a [Share]) -> Self {
        let mut left = budgets.to_vec();
        for (column, share) in shares.iter().enumerate() {
            matrix.take(column, share.floor, &mut left);
        }
        Self {
            matrix,
            shares,
            residual: left.iter().map(|rest| (*rest).clamp(0, RESIDUAL_MAX) << SHIFT).collect(),
            weight: vec![0; budgets.len()],
            is_rising: vec![false; shares.len()],
            filled: shares.iter().map(|share| Filled { value: share.floor, row: None }).collect(),
        }
    }

    fn fill_stratum(&mut self, stratum: i64) {
        let mut caps = self.start(stratum);
        let rows = (0..self.residual.len()).filter(|row| self.weight[*row] > 0);
        let mut heap: BinaryHeap<_> = rows.map(|row| Reverse((self.level(row), row))).collect();
        loop {
            while caps.last().is_some_and(|(_, column)| !self.is_rising[*column]) {
                caps.pop();
            }
            let Some(&(cap_level, column)) = caps.last() else { return };
            match heap.peek() {
                Some(&Reverse((level, row))) if level < cap_level => {
                    heap.pop();
                    self.visit(row, level, &mut heap);
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
            caps.push((((share.cap - share.floor) << SHIFT) / share.weight, column));
        }
        caps.sort_unstable_by(|one, other| other.cmp(one));
        caps
    }

    fn level(&self, row: usize) -> i64 {
        self.residual[row] / self.weight[row]
    }

    /// Levels only grow as columns stop, so a row whose level has grown is put back instead of being searched for.
    fn visit(&mut self, row: usize, level: i64, heap: &mut BinaryHeap<Reverse<(i64, usize)>>) {
        if self.weight[row] == 0 {
            return;
        }
        let now = self.level(row);
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

    fn stop(&mut self, column: usize, rise: i64, row: Option<usize>) {
        let share = &self.shares[column];
        self.is_rising[column] = false;
        self.filled[column] = Filled { value: share.floor + (rise >> SHIFT), row };
        for &(above, coefficient) in self.matrix.column(column) {
            self.residual[above] = (self.residual[above] - coefficient * rise).max(0);
            self.weight[above] -= coefficient * share.weight;
        }
    }
}

/// One allocation without a site: for tests, oracle and benchmark.
#[derive(Clone, Debug)]
pub struct Problem {
    matrix: Matrix,
    budgets: Vec<i64>,
    shares: Vec<Share>,
}

impl Problem {
    /// Reads the words described at the head of this file.
    pub fn from_words(words: &[i64]) -> Result<Self, CoreError> {
        let mut words = Words { words, next: 0 };
        words.within("version", WORDS_VERSION, WORDS_VERSION)?;
        let columns = words.size("columns", COLUMNS_MAX)?;
        let rows = words.size("rows", COLUMNS_MAX)?;
        let shares = (0..columns).map(|_| words.share()).collect::<Result<Vec<_>, _>>()?;
        let (mut budgets, mut entries) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            budgets.push(words.within("budget", 0, QUANTITY_MAX * 100)?);
            entries.push(words.entries(columns)?);
        }
        words.finish()?;
        let problem = Self { matrix: Matrix::new(columns, entries.into_iter()), budgets, shares };
        problem.refuse_floors_that_do_not_fit()?;
        Ok(problem)
    }

    /// mA per column.
    pub fn solve(&self) -> Vec<i64> {
        fill(&self.matrix, &self.budgets, &self.shares).iter().map(|filled| filled.value).collect()
    }

    fn refuse_floors_that_do_not_fit(&self) -> Result<(), CoreError> {
        for (row, budget) in self.budgets.iter().enumerate() {
            let floors = self.matrix.row(row).iter().map(|(column, times)| times * self.shares[*column].floor).sum();
            if floors > *budget {
                return Err(CoreError::value(format!("row {row}: floors"), floors, format!("at most {budget}")));
            }
        }
        Ok(())
    }
}

/// Reader of words that never goes past the end.
struct Words<'a> {
    words: &'a [i64],
    next: usize,
}

impl Words<'_> {
    fn within(&mut self, what: &str, low: i64, high: i64) -> Result<i64, CoreError> {
        let Some(found) = self.words.get(self.next).copied() else {
            let expected = format!("{what} at word {}", self.next);
            return Err(CoreError::Shape { what: "problem", found: self.words.len(), expected });
        };
        if !(low..=high).contains(&found) {
            return Err(CoreError::value(format!("word {}: {what}", self.next), found, format!("{low}..={high}")));
        }
        self.next += 1;
        Ok(found)
    }

    fn size(&mut self, what: &str, most: usize) -> Result<usize, CoreError> {
        Ok(usize::try_from(self.within(what, 0, count(most))?).unwrap_or(0))
    }

    fn share(&mut self) -> Result<Share, CoreError> {
        let floor = self.within("floor_ma", 0, QUANTITY_MAX)?;
        Ok(Share {
            floor,
            cap: self.within("cap_ma", floor, QUANTITY_MAX)?,
            weight: self.within("weight", 1, WEIGHT_MAX)?,
            stratum: self.within("stratum", 0, i64::from(i32::MAX))?,
        })
    }

    fn entries(&mut self, columns: usize) -> Result<Vec<(usize, i64)>, CoreError> {
        let entries = self.size("entries", columns)?;
        let mut row: Vec<(usize, i64)> = Vec::new();
        for _ in 0..entries {
            let column = self.size("column", columns.saturating_sub(1))?;
            row.push((column, self.within("coefficient", 1, 3)?));
        }
        row.sort_unstable();
        match row.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(CoreError::value("row: column", count(pair[0].0), "each column once")),
            None => Ok(row),
        }
    }

    fn finish(&self) -> Result<(), CoreError> {
        if self.next == self.words.len() {
            return Ok(());
        }
        let expected = format!("{}, as its counts say", self.next);
        Err(CoreError::Shape { what: "problem", found: self.words.len(), expected })
    }
}

#[cfg(test)]
#[path = "fill_test.rs"]
mod tests;
