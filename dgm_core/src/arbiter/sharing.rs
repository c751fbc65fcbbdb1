//! One sharing of a tree of rows with everything that is not convex: 0 or the minimum, whole steps, crumbs.
//!
//! ```text
//! order ─> admit (minimum each, while it fits) ─> fill above it ─> quantise down ─> crumbs in the same order
//! ```
//! Who is admitted is decided by the order that the caller gives; all that follows is exact. It knows no site and keeps
//! nothing but its memory: a sharing that is repeated allocates nothing.

use super::fill::{refill, Filled, Filler, Share};
use super::left::{Left, Tree};

/// What one column asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// mA, >= 0; 0: it takes no part.
    pub cap: i64,
    /// 1..=`WEIGHT_MAX`.
    pub weight: i64,
    /// Lower is served first.
    pub stratum: i64,
    /// mA that it gets at least, or nothing.
    pub minimum: i64,
    /// mA, >= 1: grants are whole multiples.
    pub step: i64,
    /// mA that it has already: of what quantising leaves, those come first for whom a step changes nothing.
    pub held: i64,
}

/// Memory of sharings.
#[derive(Clone, Debug, Default)]
pub struct Sharing {
    filler: Filler,
    shares: Vec<Share>,
    left: Left,
    filled: Vec<Filled>,
    later: Vec<usize>,
}

impl Sharing {
    /// mA per column, 0 or at least its minimum and on its step, and the row that stopped it. `order` has every column that
    /// takes part once, those admitted first at its head.
    pub fn share(&mut self, tree: Tree<'_>, claims: &[Claim], order: &[usize]) -> &[Filled] {
        refill(&mut self.filled, claims.iter().map(|_| Filled::default()));
        self.left.reset(tree);
        admit(tree, &mut self.left, claims, order, &mut self.filled);
        self.fill(tree, claims, order);
        &self.filled
    }

    /// The same for columns that are admitted already: `filled` has their minimum, or 0 and why.
    pub fn share_admitted(&mut self, tree: Tree<'_>, claims: &[Claim], order: &[usize], filled: &mut Vec<Filled>) {
        std::mem::swap(&mut self.filled, filled);
        self.left.reset(tree);
        for (column, admitted) in self.filled.iter().enumerate().filter(|(_, admitted)| admitted.value > 0) {
            self.left.take(tree, column, admitted.value);
        }
        self.fill(tree, claims, order);
        std::mem::swap(&mut self.filled, filled);
    }

    /// From what admission left: levels above the minimum, down to whole steps, then crumbs.
    fn fill(&mut self, tree: Tree<'_>, claims: &[Claim], order: &[usize]) {
        let above = claims.iter().zip(&self.filled).map(|(claim, admitted)| Share {
            floor: 0,
            cap: if admitted.value > 0 { (claim.cap - admitted.value).max(0) } else { 0 },
            weight: claim.weight,
            stratum: claim.stratum,
        });
        refill(&mut self.shares, above);
        let filled = self.filler.fill(self.left.tree(tree), &self.shares);
        for (column, (admitted, above)) in self.filled.iter_mut().zip(filled).enumerate() {
            if admitted.value > 0 {
                let value = admitted.value + above.value;
                let value = value - value % claims[column].step;
                if value > admitted.value {
                    self.left.take(tree, column, value - admitted.value);
                }
                *admitted = Filled { value, row: above.row };
            }
        }
        self.hand_out_crumbs(tree, claims, order);
    }

    /// What quantising left over, one step each: first to those who have that step already, so that nobody moves for it.
    fn hand_out_crumbs(&mut self, tree: Tree<'_>, claims: &[Claim], order: &[usize]) {
        let mut later = std::mem::take(&mut self.later);
        later.clear();
        for &column in order {
            if claims[column].held > self.filled[column].value {
                self.hand_out_crumb(tree, column, &claims[column]);
            } else {
                later.push(column);
            }
        }
        later.iter().for_each(|column| self.hand_out_crumb(tree, *column, &claims[*column]));
        self.later = later;
    }

    fn hand_out_crumb(&mut self, tree: Tree<'_>, column: usize, claim: &Claim) {
        let filled = &mut self.filled[column];
        let is_possible = filled.value > 0 && filled.value + claim.step <= claim.cap;
        if is_possible && self.left.lacking(tree, column, claim.step).is_none() {
            self.left.take(tree, column, claim.step);
            filled.value += claim.step;
        }
    }
}

/// The minimum to each in order, where it fits; who gets nothing is told the row.
pub fn admit(tree: Tree<'_>, left: &mut Left, claims: &[Claim], order: &[usize], filled: &mut [Filled]) {
    for &column in order {
        let minimum = claims[column].minimum;
        let lacking = left.lacking(tree, column, minimum);
        filled[column] = Filled { value: if lacking.is_none() { minimum } else { 0 }, row: lacking };
        if lacking.is_none() {
            left.take(tree, column, minimum);
        }
    }
}

#[cfg(test)]
#[path = "sharing_test.rs"]
mod tests;
