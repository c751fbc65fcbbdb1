//! What the rows of a tree leave while amounts are taken out of them one by one.

use super::fill::refill;
use super::matrix::Matrix;
use super::phasor::{Phasors, Totals};

/// The rows of one sharing. Phasor rows are counted after the others.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// Rows of non-negative coefficients.
    pub matrix: &'a Matrix,
    /// What each of them allows, mA x coefficient.
    pub budgets: &'a [i64],
    /// Rows of angles, with their limits.
    pub phasors: &'a Phasors,
    /// mA per class that are gone in each of them beforehand; shorter: nothing in those that follow.
    pub taken: &'a [Totals],
}

impl Tree<'_> {
    /// mA per class that are gone in a phasor row beforehand.
    pub fn taken(&self, row: usize) -> Totals {
        self.taken.get(row).copied().unwrap_or_default()
    }
}

/// What is left in each row.
#[derive(Clone, Debug, Default)]
pub struct Left {
    lines: Vec<i64>,
    /// Per phasor row: mA taken per class.
    taken: Vec<Totals>,
}

impl Left {
    /// Everything is left.
    pub fn reset(&mut self, tree: Tree<'_>) {
        refill(&mut self.lines, tree.budgets.iter().copied());
        refill(&mut self.taken, (0..tree.phasors.rows().len()).map(|row| tree.taken(row)));
    }

    /// What is left as the rows of another sharing.
    pub fn tree<'a>(&'a self, tree: Tree<'a>) -> Tree<'a> {
        Tree { budgets: &self.lines, taken: &self.taken, ..tree }
    }

    /// The row that has least room for a column, where a row has no room for `amount` mA of it; absent: it fits.
    pub fn lacking(&self, tree: Tree<'_>, column: usize, amount: i64) -> Option<usize> {
        tree.matrix.lacking(column, amount, |row| self.lines[row]).or_else(|| {
            let fits = |(row, class): (usize, usize)| tree.phasors.rows()[row].fits(&self.taken[row], class, amount);
            let full = tree.phasors.column(column).find(|entry| !fits(*entry));
            full.map(|(row, _)| self.lines.len() + row)
        })
    }

    /// Takes `amount` mA of a column out of its rows.
    pub fn take(&mut self, tree: Tree<'_>, column: usize, amount: i64) {
        tree.matrix.take(column, amount, &mut self.lines);
        tree.phasors.column(column).for_each(|(row, class)| self.taken[row][class] += amount);
    }
}
