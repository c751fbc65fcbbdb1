//! What each row leaves for EVSEs, in the unit of the row and in the mA x conductors of the matrix.
//!
//! ```text
//! room = bound - uncontrolled + help - kept          what the rules allow
//! budget = room - margin                             what is granted out of it
//! ```

use super::balance::Balances;
use super::bound::{Bound, RowKind};
use super::credit::Credits;
use super::scene::Scene;
use super::worst;
use crate::units::{Microwatts, Watts};

/// One row in numbers; W or mA unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// Load that nobody controls.
    pub uncontrolled: i64,
    /// PV and battery credited.
    pub help: i64,
    /// The part of it that is PV.
    pub pv_help: i64,
    /// Charge of batteries that are not relied on: it cannot be taken back.
    pub kept: i64,
    /// At the row's meter.
    pub measured: Option<i64>,
    /// The row is at worst case.
    pub is_lost: bool,
    /// mA x conductors within the bound; negative: over.
    pub room: i64,
    /// mA x conductors within the bound less the margin.
    pub budget: i64,
}

impl Budget {
    /// The numbers of `row`.
    pub fn new(scene: &Scene<'_>, balances: &Balances, credits: &Credits, row: &Bound) -> Self {
        let balance = &balances.circuits[row.circuit.0];
        let known = row.kind.item().map_or(Some(0), |item| balance.uncontrolled[item]);
        let is_metered = scene.site.circuit(row.circuit).meter.is_some();
        let measured = row.kind.item().and_then(|item| balance.measured[item]);
        let is_lost = is_metered && row.kind.item().is_some() && measured.is_none();
        let helps = is_metered && !is_lost;
        let [pv_help, storage_help] = if helps { credits.help(scene, row.circuit, row.kind) } else { [0, 0] };
        let mut budget = Self {
            uncontrolled: known.unwrap_or(row.bound),
            help: pv_help + storage_help,
            pv_help,
            kept: kept(scene, row, helps),
            measured,
            is_lost,
            ..Self::default()
        };
        if known.is_none() {
            budget.uncontrolled = budget.uncontrolled.max(row.bound);
        }
        let room = row.bound - budget.uncontrolled + budget.help - budget.kept;
        budget.room = conductor_ma(room, row.kind, scene);
        budget.budget = conductor_ma(room - margin(scene, row), row.kind, scene);
        budget
    }

    /// Room for starts, mA x conductors, of what is `left` with everybody who is on at the minimum. A meter shows a start
    /// as load that nobody controls until a sample tells whose it is: so half of it; without a meter there is no bound.
    pub fn for_starts(&self, left: i64) -> i64 {
        if self.has_meter() {
            left.div_euclid(2)
        } else {
            i64::MAX
        }
    }

    /// Whether raises under it are paced by what a meter will show. Also while it is lost: losing it must not make room.
    pub fn has_meter(&self) -> bool {
        self.measured.is_some() || self.is_lost
    }
}

/// Kept free for EV grants and battery targets, rounded up. Breakers are set in current and need none.
pub fn margin(scene: &Scene<'_>, row: &Bound) -> i64 {
    match row.kind {
        RowKind::NetImport | RowKind::NetExport => {
            row.bound - (crate::units::Permille::new(1000) - scene.site.circuit(row.circuit).spec.margin).of(row.bound)
        }
        RowKind::GrossLoad
        | RowKind::GrossGeneration
        | RowKind::DerOutput
        | RowKind::StorageCharge
        | RowKind::Current(_) => 0,
    }
}

fn kept(scene: &Scene<'_>, row: &Bound, is_in_meter: bool) -> i64 {
    match row.kind {
        RowKind::NetExport | RowKind::GrossGeneration | RowKind::DerOutput => 0,
        RowKind::NetImport => worst::charge(scene, row.circuit, is_in_meter).get(),
        RowKind::GrossLoad | RowKind::StorageCharge => worst::charge(scene, row.circuit, false).get(),
        RowKind::Current(phase) => worst::charge_current(scene, row.circuit, is_in_meter, phase),
    }
}

/// A value of a row as mA x conductors, rounded down.
fn conductor_ma(value: i64, kind: RowKind, scene: &Scene<'_>) -> i64 {
    match kind {
        RowKind::Current(_) => value,
        _ => Watts::new(value).micro().get().div_euclid(scene.voltage.get()),
    }
}

/// mA x conductors as a value of the row, rounded up.
pub fn row_value(conductor_ma: i64, kind: RowKind, scene: &Scene<'_>) -> i64 {
    match kind {
        RowKind::Current(_) => conductor_ma,
        _ => Microwatts::new(conductor_ma.saturating_mul(scene.voltage.get())).watts_up().get(),
    }
}
