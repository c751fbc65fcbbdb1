//! One allocation without a site, as words: for tests, oracle, benchmark and policies that share among groups.
//!
//! Words of a `Problem` (int64, native order):
//! ```text
//! 1                                              version of this layout; 2: with phasor rows
//! columns  rows  [phasor rows]                   the third only in version 2
//! floor_ma  cap_ma  weight  stratum              per column
//! budget  entries  (column  coefficient) ...     per row; coefficient 1..3, budget as sum of coefficient x mA
//! limit  entries  (column  u  v) ...             per phasor row; coefficient u + v x (unit at +120 degrees), -8..8,
//!                                                limit as magnitude of the sum of coefficient x mA
//! ```
//! Answer: one mA word per column, rounded down. Version 2 adds one word per column: the row that stopped it, phasor rows
//! counted after the others, -1: its cap did.

use super::fill::{refill, Filled, Filler, Share, RESIDUAL_MAX};
use super::left::Tree;
use super::matrix::Matrix;
use super::phasor::{Phasor, PhasorRow, Phasors, COEFFICIENT_MAX};
use super::sharing::{Claim, Sharing};
use crate::error::CoreError;
use crate::site::{QUANTITY_MAX, WEIGHT_MAX};
use crate::units::count;

const LINES_VERSION: i64 = 1;
const PHASORS_VERSION: i64 = 2;
const COLUMNS_MAX: usize = 1_000_000;
const PHASOR_ROWS_MAX: usize = 10_000;
const NO_ROW: i64 = -1;

/// One allocation without a site: for tests, oracle and benchmark.
#[derive(Clone, Debug)]
pub struct Problem {
    matrix: Matrix,
    budgets: Vec<i64>,
    phasors: Phasors,
    names_rows: bool,
    shares: Vec<Share>,
}

impl Problem {
    /// Reads the words described at the head of this file.
    pub fn from_words(words: &[i64]) -> Result<Self, CoreError> {
        let mut words = Words { words, next: 0 };
        let version = words.within("version", LINES_VERSION, PHASORS_VERSION)?;
        let columns = words.size("columns", COLUMNS_MAX)?;
        let rows = words.size("rows", COLUMNS_MAX)?;
        let names_rows = version == PHASORS_VERSION;
        let phasor_rows = if names_rows { words.size("phasor rows", PHASOR_ROWS_MAX)? } else { 0 };
        let shares = (0..columns).map(|_| words.share()).collect::<Result<Vec<_>, _>>()?;
        let (mut budgets, mut entries) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            budgets.push(words.within("budget", 0, QUANTITY_MAX * 100)?);
            entries.push(words.entries(columns)?);
        }
        let phasors = (0..phasor_rows).map(|_| words.phasor_row(columns)).collect::<Result<Vec<_>, _>>()?;
        words.finish()?;
        let phasors = Phasors::new(columns, phasors);
        let problem = Self { matrix: Matrix::new(columns, entries.into_iter()), budgets, phasors, names_rows, shares };
        problem.refuse_floors_that_do_not_fit()?;
        Ok(problem)
    }

    /// The answer words described at the head of this file.
    pub fn solve(&self) -> Vec<i64> {
        let mut filler = Filler::default();
        let filled = filler.fill(self.tree(), &self.shares);
        let values = filled.iter().map(|filled| filled.value);
        let rows = filled.iter().map(|filled| filled.row.map_or(NO_ROW, count));
        values.chain(rows.take(if self.names_rows { filled.len() } else { 0 })).collect()
    }

    fn tree(&self) -> Tree<'_> {
        Tree { matrix: &self.matrix, budgets: &self.budgets, phasors: &self.phasors, taken: &[] }
    }

    fn refuse_floors_that_do_not_fit(&self) -> Result<(), CoreError> {
        for (row, budget) in self.budgets.iter().enumerate() {
            let floors = self.matrix.row(row).map(|(column, times)| times * self.shares[column].floor).sum();
            if floors > *budget {
                return Err(CoreError::value(format!("row {row}: floors"), floors, format!("at most {budget}")));
            }
        }
        match self.phasors.broken(|column| self.shares[column].floor) {
            Some(row) => Err(CoreError::value("phasor row", count(row), "floors that fit for any draw below them")),
            None => Ok(()),
        }
    }
}

/// Numbers of one claim: cap_ma, weight, stratum, minimum_ma, step_ma, rank (lower is admitted first in its stratum).
pub const CLAIM_WIDTH: usize = 6;

/// A problem whose rows stay while its columns change: shared again and again without allocating anything.
#[derive(Clone, Debug)]
pub struct SharedProblem {
    problem: Problem,
    sharing: Sharing,
    filler: Filler,
    claims: Vec<Claim>,
    ranks: Vec<(i64, i64, usize)>,
    ranked: Vec<(i64, i64, usize)>,
    order: Vec<usize>,
}

impl SharedProblem {
    /// The rows of the problem; its columns until the first claims.
    pub fn new(problem: Problem) -> Self {
        let claim = |share: &Share| Claim {
            cap: share.cap,
            weight: share.weight,
            stratum: share.stratum,
            minimum: 1,
            step: 1,
            held: 0,
        };
        let claims: Vec<_> = problem.shares.iter().map(claim).collect();
        let ranks = (0..claims.len()).map(|column| (claims[column].stratum, 0, column)).collect();
        let (sharing, filler) = (Sharing::default(), Filler::default());
        Self { problem, sharing, filler, claims, ranks, ranked: Vec::new(), order: Vec::new() }
    }

    /// New columns, `CLAIM_WIDTH` numbers each; one that is out of range, and nothing changes.
    pub fn claim<'a>(&mut self, rows: impl ExactSizeIterator<Item = &'a [i32]> + Clone) -> Result<(), CoreError> {
        if rows.len() != self.claims.len() {
            let expected = format!("{} rows", self.claims.len());
            return Err(CoreError::Shape { what: "claims", found: rows.len(), expected });
        }
        rows.clone().enumerate().try_for_each(|(column, row)| check_claim(column, row))?;
        for (column, row) in rows.enumerate() {
            let [cap, weight, stratum, minimum, step, rank] = claim_numbers(row);
            self.claims[column] = Claim { cap, weight, stratum, minimum, step, held: 0 };
            self.problem.shares[column] = Share { floor: 0, cap, weight, stratum };
            self.ranks[column] = (stratum, rank, column);
        }
        Ok(())
    }

    /// Only cap, weight and stratum count: mA of each column, and the row that stopped it.
    pub fn fill(&mut self) -> &[Filled] {
        self.filler.fill(self.problem.tree(), &self.problem.shares)
    }

    /// The same with 0 or the minimum, whole steps, and crumbs in the order of stratum and rank.
    pub fn share(&mut self) -> &[Filled] {
        let claims = &self.claims;
        let taking_part = self.ranks.iter().filter(|(_, _, column)| claims[*column].cap >= claims[*column].minimum);
        let mut ranked = std::mem::take(&mut self.ranked);
        refill(&mut ranked, taking_part.copied());
        ranked.sort_unstable();
        refill(&mut self.order, ranked.iter().map(|(_, _, column)| *column));
        self.ranked = ranked;
        self.sharing.share(self.problem.tree(), &self.claims, &self.order)
    }
}

fn claim_numbers(row: &[i32]) -> [i64; CLAIM_WIDTH] {
    let mut numbers = [0; CLAIM_WIDTH];
    numbers.iter_mut().zip(row).for_each(|(number, found)| *number = i64::from(*found));
    numbers
}

fn check_claim(column: usize, row: &[i32]) -> Result<(), CoreError> {
    let found = claim_numbers(row);
    let most = i64::from(i32::MAX);
    let ranges = [
        ("cap_ma", 0, QUANTITY_MAX),
        ("weight", 1, WEIGHT_MAX),
        ("stratum", 0, most),
        ("minimum_ma", 1, QUANTITY_MAX),
        ("step_ma", 1, QUANTITY_MAX),
        ("rank", i64::from(i32::MIN), most),
    ];
    for ((name, low, high), found) in ranges.into_iter().zip(found) {
        if !(low..=high).contains(&found) {
            return Err(CoreError::value(format!("claim {column}: {name}"), found, format!("{low}..={high}")));
        }
    }
    if found[3] % found[4] != 0 {
        let expected = format!("a multiple of step_ma ({})", found[4]);
        return Err(CoreError::value(format!("claim {column}: minimum_ma"), found[3], expected));
    }
    Ok(())
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
        each_column_once(row.iter().map(|entry| entry.0))?;
        Ok(row)
    }

    fn phasor_row(&mut self, columns: usize) -> Result<PhasorRow, CoreError> {
        let limit = self.within("phasor limit", 0, RESIDUAL_MAX)?;
        let entries = self.size("entries", columns)?;
        let mut row = Vec::new();
        for _ in 0..entries {
            let column = self.size("column", columns.saturating_sub(1))?;
            let u = self.within("coefficient u", -COEFFICIENT_MAX, COEFFICIENT_MAX)?;
            let v = self.within("coefficient v", -COEFFICIENT_MAX, COEFFICIENT_MAX)?;
            row.push((column, Phasor { u, v }));
        }
        row.sort_unstable_by_key(|entry| entry.0);
        each_column_once(row.iter().map(|entry| entry.0))?;
        PhasorRow::new(limit, &row)
    }

    fn finish(&self) -> Result<(), CoreError> {
        if self.next == self.words.len() {
            return Ok(());
        }
        let expected = format!("{}, as its counts say", self.next);
        Err(CoreError::Shape { what: "problem", found: self.words.len(), expected })
    }
}

fn each_column_once(columns: impl Iterator<Item = usize> + Clone) -> Result<(), CoreError> {
    match columns.clone().zip(columns.skip(1)).find(|(one, next)| one == next) {
        Some((column, _)) => Err(CoreError::value("row: column", count(column), "each column once")),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "problem_test.rs"]
mod tests;
