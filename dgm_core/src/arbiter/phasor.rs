//! Rows that bound the magnitude of a sum of currents of different angles: the line currents of a delta or wye transformer.
//!
//! Columns that add with the same coefficient form a class; the row bounds `|sum over classes of coefficient x total|`.
//! Coefficients are u + v x w with w the unit at +120 degrees: whole numbers give every multiple of 60 degrees, and the
//! squared magnitude u2 - uv + v2 is a whole number too, so that nothing is rounded but the totals, upwards.
//!
//! ```text
//!   line A of a delta load   = AB - CA            AB: 1   BC: w2 = -1-w   CA: w
//!   line A of its primary    = (AB + BC - 2 CA) / turns          (bound turns x limit instead)
//! ```
//! A car may draw less than it was granted, which can RAISE such a magnitude. A row therefore holds only when it holds for
//! every draw at or below the totals. The magnitude is convex, so its maximum over that box is at a vertex: each class
//! fully drawn or not at all. What holds in this sense holds for anything below it as well.

use super::matrix::Matrix;
use crate::error::CoreError;
use crate::units::count;

/// More classes than this a row cannot have: its vertices are enumerated.
pub const CLASSES_MAX: usize = 6;
/// Largest u or v.
pub const COEFFICIENT_MAX: i64 = 8;
/// Totals are compared in 2^-10 mA; they come in 2^-30 mA.
const UNIT_SHIFT: u32 = 20;
const LIMIT_SHIFT: u32 = 10;

/// Coefficient u + v x (unit at +120 degrees).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phasor {
    /// Along 0 degrees.
    pub u: i64,
    /// Along +120 degrees.
    pub v: i64,
}

/// One row: its limit, the coefficient of each class, and the class of each of its columns.
#[derive(Clone, Debug)]
pub struct PhasorRow {
    limit: i64,
    classes: Vec<Phasor>,
    entries: Vec<(usize, usize)>,
}

impl PhasorRow {
    /// limit: mA x coefficient, 0..=8_000_000_000. Refused: a coefficient of zero, more than `CLASSES_MAX` different ones.
    pub fn new(limit: i64, entries: &[(usize, Phasor)]) -> Result<Self, CoreError> {
        let mut row = Self { limit, classes: Vec::new(), entries: Vec::new() };
        for &(column, phasor) in entries {
            if phasor == (Phasor { u: 0, v: 0 }) {
                return Err(CoreError::value("phasor row: coefficient", 0, "u or v other than 0"));
            }
            let known = row.classes.iter().position(|class| *class == phasor);
            let class = known.unwrap_or_else(|| {
                row.classes.push(phasor);
                row.classes.len() - 1
            });
            row.entries.push((column, class));
        }
        if row.classes.len() > CLASSES_MAX {
            let expected = format!("at most {CLASSES_MAX}");
            return Err(CoreError::value("phasor row: different coefficients", count(row.classes.len()), expected));
        }
        Ok(row)
    }

    /// Whether the row holds with `amount` more in one class; all in mA per class.
    pub fn fits(&self, taken: &Totals, class: usize, amount: i64) -> bool {
        let mut totals = *taken;
        totals[class] = totals[class].saturating_add(amount);
        self.holds(&totals.map(|total| total.saturating_mul(1 << LIMIT_SHIFT)))
    }

    /// Whether no draw at or below these totals (2^-10 mA, one per class) is over the limit.
    fn holds(&self, totals: &Totals) -> bool {
        let limit = self.limit << LIMIT_SHIFT;
        // Alone, a class weighs at least its total; and what is within the limit cannot overflow below.
        if totals.iter().any(|total| *total > limit) {
            return false;
        }
        let square = i128::from(limit) * i128::from(limit);
        (1..1_usize << self.classes.len()).all(|vertex| self.squared(totals, vertex) <= square)
    }

    /// Totals of the classes from 2^-30 mA, rounded up.
    fn totals(&self, exact: impl Fn(usize) -> i128) -> Totals {
        let mut totals = [0; CLASSES_MAX];
        for (class, total) in totals.iter_mut().enumerate().take(self.classes.len()) {
            let rounded = (exact(class) + (1 << UNIT_SHIFT) - 1) >> UNIT_SHIFT;
            *total = i64::try_from(rounded).unwrap_or(i64::MAX);
        }
        totals
    }

    /// Squared magnitude with only those classes drawing whose bit is in `vertex`.
    fn squared(&self, totals: &Totals, vertex: usize) -> i128 {
        let (mut along, mut across) = (0_i64, 0_i64);
        for (class, phasor) in self.classes.iter().enumerate() {
            if vertex >> class & 1 == 1 {
                along += phasor.u * totals[class];
                across += phasor.v * totals[class];
            }
        }
        let (along, across) = (i128::from(along), i128::from(across));
        along * along - along * across + across * across
    }
}

/// One amount per class.
pub type Totals = [i64; CLASSES_MAX];

/// Where a row stands: what its classes have in any case, and the weight still rising in each.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// 2^-30 mA.
    held: [i128; CLASSES_MAX],
    /// What the rising columns would add at their caps, 2^-30 mA.
    rest: [i128; CLASSES_MAX],
    weight: [i64; CLASSES_MAX],
}

impl Standing {
    /// Nothing rises; these amounts (mA per class) are there in any case.
    pub fn holding(taken: &Totals) -> Self {
        Self { held: taken.map(|taken| i128::from(taken) << (UNIT_SHIFT + LIMIT_SHIFT)), ..Self::default() }
    }

    /// `amount` (2^-30 mA) more in a class.
    pub fn hold(&mut self, class: usize, amount: i64) {
        self.held[class] += i128::from(amount);
    }

    /// A column begins to rise at the speed of its weight, by at most `rest` (2^-30 mA).
    pub fn start(&mut self, class: usize, weight: i64, rest: i64) {
        self.weight[class] += weight;
        self.rest[class] += i128::from(rest);
    }

    /// A column that began so stops.
    pub fn stop(&mut self, class: usize, weight: i64, rest: i64) {
        self.weight[class] -= weight;
        self.rest[class] -= i128::from(rest);
    }

    /// Whether any column of the row still rises.
    pub fn is_rising(&self) -> bool {
        self.weight.iter().any(|weight| *weight > 0)
    }

    /// The highest level (2^-30 mA per unit of weight) at which the row holds; 0 where it does not even hold there, no
    /// bound where it holds with every column at its cap.
    pub fn level(&self, row: &PhasorRow) -> i64 {
        if row.holds(&row.totals(|class| self.held[class] + self.rest[class])) {
            return i64::MAX;
        }
        let (mut holds, mut fails) = (0, self.level_that_fails(row));
        while fails - holds > 1 {
            let middle = holds + (fails - holds) / 2;
            if row.holds(&self.totals(row, middle)) {
                holds = middle;
            } else {
                fails = middle;
            }
        }
        holds
    }

    /// The classes that could not rise alone from a level at which the row is full.
    ///
    /// One level more fails for all m rising classes together. The magnitude is convex, so at least one of them fails
    /// alone with m times its step: a full row always stops somebody.
    pub fn stopped(&self, row: &PhasorRow, level: i64) -> [bool; CLASSES_MAX] {
        let now = self.totals(row, level);
        let next = self.totals(row, level + 1);
        let rising = count(self.weight.iter().filter(|weight| **weight > 0).count());
        let mut stopped = [false; CLASSES_MAX];
        for class in 0..row.classes.len() {
            let mut alone = now;
            alone[class] += rising * (next[class] - now[class]).max(1);
            stopped[class] = self.weight[class] > 0 && !row.holds(&alone);
        }
        stopped
    }

    /// A level at which one class alone is over the limit.
    fn level_that_fails(&self, row: &PhasorRow) -> i64 {
        let over = (i128::from(row.limit << LIMIT_SHIFT) + 1) << UNIT_SHIFT;
        let classes = self.weight.iter().zip(&self.held).filter(|(weight, _)| **weight > 0);
        let levels = classes.map(|(weight, held)| (over - held).max(0) / i128::from(*weight) + 1);
        levels.min().and_then(|level| i64::try_from(level).ok()).unwrap_or(i64::MAX)
    }

    fn totals(&self, row: &PhasorRow, level: i64) -> Totals {
        row.totals(|class| self.held[class] + i128::from(level) * i128::from(self.weight[class]))
    }
}

/// All phasor rows of a problem.
#[derive(Clone, Debug, Default)]
pub struct Phasors {
    rows: Vec<PhasorRow>,
    /// Row and class as coefficient of each column.
    columns: Matrix,
}

impl Phasors {
    /// Of a problem with this many columns.
    pub fn new(columns: usize, rows: Vec<PhasorRow>) -> Self {
        let classes = |row: &PhasorRow| row.entries.iter().map(|(column, class)| (*column, count(*class))).collect();
        let columns = Matrix::new(columns, rows.iter().map(classes).collect::<Vec<_>>().into_iter());
        Self { rows, columns }
    }

    /// The rows.
    pub fn rows(&self) -> &[PhasorRow] {
        &self.rows
    }

    /// Rows of a column, and its class in each.
    pub fn column(&self, column: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let entries = (!self.rows.is_empty()).then(|| self.columns.column(column));
        entries.into_iter().flatten().map(|(row, class)| (row, usize::try_from(class).unwrap_or_default()))
    }

    /// Columns of a row, and the class of each.
    pub fn row(&self, row: usize) -> &[(usize, usize)] {
        &self.rows[row].entries
    }

    /// The first row that does not hold for these values, mA per column.
    pub fn broken(&self, values: impl Fn(usize) -> i64) -> Option<usize> {
        self.rows.iter().position(|row| {
            let mut standing = Standing::default();
            row.entries.iter().for_each(|&(column, class)| standing.held[class] += i128::from(values(column)) << 30);
            !row.holds(&standing.totals(row, 0))
        })
    }
}

#[cfg(test)]
#[path = "phasor_test.rs"]
mod tests;
