//! What of the site never changes, in the shape in which the Arbiter reads it every tick.
//!
//! ```text
//! Site ──Layout::new──> columns (EVSEs), PV units, storage units, and per circuit which of them hang below it
//! ```

use crate::site::{AssetKind, Battery, Evse, PhaseMap, Pv, Site};
use crate::units::{AssetIndex, CircuitIndex};

/// One EVSE as a column of the constraint set.
#[derive(Clone, Debug)]
pub struct Column {
    /// Whose.
    pub asset: AssetIndex,
    /// Ratings.
    pub evse: Evse,
}

/// One PV inverter.
#[derive(Clone, Debug)]
pub struct PvUnit {
    /// Whose.
    pub asset: AssetIndex,
    /// Conductors its power is spread over.
    pub phases: PhaseMap,
    /// Ratings.
    pub pv: Pv,
}

/// One battery.
#[derive(Clone, Debug)]
pub struct StorageUnit {
    /// Whose.
    pub asset: AssetIndex,
    /// Where it hangs.
    pub circuit: CircuitIndex,
    /// Conductors its power is spread over.
    pub phases: PhaseMap,
    /// Ratings.
    pub battery: Battery,
}

/// What hangs below one circuit, itself included: indices into the lists of `Layout`.
#[derive(Clone, Debug, Default)]
pub struct Below {
    /// EVSE columns.
    pub columns: Vec<usize>,
    /// PV units.
    pub pvs: Vec<usize>,
    /// Storage units.
    pub storages: Vec<usize>,
}

/// The fixed shape of a site.
#[derive(Clone, Debug)]
pub struct Layout {
    /// EVSEs, in the configuration's order.
    pub columns: Vec<Column>,
    /// PV, in the configuration's order.
    pub pvs: Vec<PvUnit>,
    /// Batteries, in the configuration's order.
    pub storages: Vec<StorageUnit>,
    /// Per circuit.
    pub below: Vec<Below>,
    /// Column of each asset that is an EVSE.
    pub column_of: Vec<Option<usize>>,
    /// Circuits, those farthest from the connection point first.
    pub deepest_first: Vec<CircuitIndex>,
}

impl Layout {
    /// Reads the site once.
    pub fn new(site: &Site) -> Self {
        let mut deepest_first: Vec<_> = (0..site.circuits().len()).map(CircuitIndex).collect();
        deepest_first.sort_by_key(|circuit| std::cmp::Reverse(site.path(*circuit).len()));
        let mut layout = Self {
            columns: Vec::new(),
            pvs: Vec::new(),
            storages: Vec::new(),
            below: vec![Below::default(); site.circuits().len()],
            column_of: vec![None; site.assets().len()],
            deepest_first,
        };
        for index in 0..site.assets().len() {
            layout.add(site, AssetIndex(index));
        }
        layout
    }

    fn add(&mut self, site: &Site, asset: AssetIndex) {
        let Some(found) = site.asset(asset) else { return };
        let (circuit, phases) = (found.circuit, found.spec.phases.clone());
        match &found.spec.kind {
            AssetKind::Meter | AssetKind::Load => {}
            AssetKind::Pv(pv) => {
                self.hang(site, circuit, self.pvs.len(), |below| &mut below.pvs);
                self.pvs.push(PvUnit { asset, phases, pv: pv.clone() });
            }
            AssetKind::Battery(battery) => {
                self.hang(site, circuit, self.storages.len(), |below| &mut below.storages);
                self.storages.push(StorageUnit { asset, circuit, phases, battery: battery.clone() });
            }
            AssetKind::Evse(evse) => {
                self.hang(site, circuit, self.columns.len(), |below| &mut below.columns);
                self.column_of[asset.0] = Some(self.columns.len());
                self.columns.push(Column { asset, evse: evse.clone() });
            }
        }
    }

    fn hang(&mut self, site: &Site, circuit: CircuitIndex, item: usize, list: fn(&mut Below) -> &mut Vec<usize>) {
        for above in site.path(circuit) {
            list(&mut self.below[above.0]).push(item);
        }
    }
}
