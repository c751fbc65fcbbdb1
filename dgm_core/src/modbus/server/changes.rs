//! What clients and leases changed and the owner of the image was not told yet: in order, bounded.
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::pdu::Table;
use super::party::Party;
use super::write_table::Change;
use crate::units::Millis;

/// Changes kept for a consumer that does not take them; then only the newest of each value is kept.
pub const CHANGES_MAX: usize = 32_768;
/// Writable values of all units together, so that the newest of each always fits.
pub const WRITABLES_MAX: usize = CHANGES_MAX / 2;

/// A change of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitChange {
    /// Unit id.
    pub unit: u8,
    /// Holding registers or coils.
    pub table: Table,
    /// Which value, and what it is now.
    pub change: Change,
    /// When it happened.
    pub at: Millis,
    /// Who wrote it; `None`: its lease ended and it fell back.
    pub by: Option<Arc<Party>>,
}

/// The changes not taken yet.
#[derive(Debug, Default)]
pub struct Changes {
    queue: VecDeque<UnitChange>,
    /// Older changes of a value dropped because nobody took them.
    pub conflated: u64,
}

impl Changes {
    /// Keeps a change.
    pub fn push(&mut self, change: UnitChange) {
        if self.queue.len() >= CHANGES_MAX {
            self.conflate();
        }
        self.queue.push_back(change);
    }

    /// Hands over all of them, in order.
    pub fn take(&mut self) -> VecDeque<UnitChange> {
        std::mem::take(&mut self.queue)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Keeps the newest change of each value; there are fewer values than `CHANGES_MAX`.
    fn conflate(&mut self) {
        let before = self.queue.len();
        let mut seen = BTreeSet::new();
        let mut newest: VecDeque<UnitChange> = VecDeque::with_capacity(before);
        for change in self.queue.drain(..).rev() {
            if seen.insert((change.unit, change.table, change.change.address)) {
                newest.push_front(change);
            }
        }
        self.conflated += u64::try_from(before - newest.len()).unwrap_or(u64::MAX);
        self.queue = newest;
    }
}
