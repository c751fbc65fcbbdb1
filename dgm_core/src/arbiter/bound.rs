//! The rows of the constraint set: per circuit and quantity the tightest limit in force.
//!
//! Minima are taken only within one quantity of one circuit. A row exists while any limit bounds it; which EVSEs load it
//! and how strongly is in the matrix, which is rebuilt only when rows come or go.

use std::sync::Arc;

use super::layout::Layout;
use super::limit::{Limits, Quantity, Scope};
use super::matrix::Matrix;
use super::phasor::Phasors;
use super::transformer::{self, Line};
use crate::site::{Circuit, Phase, Site};
use crate::units::{CircuitIndex, Millis};

/// Quantity and conductor of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// W in.
    NetImport,
    /// W out.
    NetExport,
    /// W, EVSE plus battery charge.
    GrossLoad,
    /// W, PV plus battery discharge.
    GrossGeneration,
    /// W, PV plus battery discharge less battery charge.
    DerOutput,
    /// W, battery charge.
    StorageCharge,
    /// mA of one conductor.
    Current(Phase),
}

impl RowKind {
    /// All of one circuit, in the order of the rows of a decision.
    pub const ALL: [Self; 9] = [
        Self::NetImport,
        Self::NetExport,
        Self::GrossLoad,
        Self::GrossGeneration,
        Self::DerOutput,
        Self::StorageCharge,
        Self::Current(Phase::L1),
        Self::Current(Phase::L2),
        Self::Current(Phase::L3),
    ];

    /// Its place in `ALL`.
    pub const fn slot(self) -> usize {
        match self {
            Self::NetImport => 0,
            Self::NetExport => 1,
            Self::GrossLoad => 2,
            Self::GrossGeneration => 3,
            Self::DerOutput => 4,
            Self::StorageCharge => 5,
            Self::Current(phase) => 6 + phase.slot(),
        }
    }

    /// What it bounds.
    pub const fn quantity(self) -> Quantity {
        match self {
            Self::NetImport => Quantity::NetImport,
            Self::NetExport => Quantity::NetExport,
            Self::GrossLoad => Quantity::GrossLoad,
            Self::GrossGeneration => Quantity::GrossGeneration,
            Self::DerOutput => Quantity::DerOutput,
            Self::StorageCharge => Quantity::StorageCharge,
            Self::Current(_) => Quantity::Current,
        }
    }

    /// Its conductor.
    pub const fn phase(self) -> Option<Phase> {
        match self {
            Self::Current(phase) => Some(phase),
            _ => None,
        }
    }

    /// Place of its value in a `Load`; absent for rows of devices, which no meter shows.
    pub const fn item(self) -> Option<usize> {
        match self {
            Self::NetImport | Self::NetExport => Some(0),
            Self::GrossLoad | Self::GrossGeneration | Self::DerOutput | Self::StorageCharge => None,
            Self::Current(phase) => Some(1 + phase.slot()),
        }
    }
}

/// The tightest bound and whose it is.
pub type Tightest = Option<(i64, Arc<str>)>;

/// One row with its bound.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The circuit.
    pub circuit: CircuitIndex,
    /// Quantity and conductor.
    pub kind: RowKind,
    /// W or mA.
    pub bound: i64,
    /// The tightest limit.
    pub limit_id: Arc<str>,
}

/// Rows, caps of single EVSEs, and the matrix.
#[derive(Clone, Debug)]
pub struct Bounds {
    configured: Vec<Tightest>,
    tightest: Vec<Tightest>,
    present: Vec<bool>,
    /// Every row that has a limit.
    pub rows: Vec<Bound>,
    /// One of them is tighter than at the refresh before.
    pub tightened: bool,
    /// The tightest limit on each single EVSE, by column.
    pub caps: Vec<Tightest>,
    /// Rows (in the order of `rows`) by columns.
    pub matrix: Matrix,
    /// Conductors of transformers, counted after those: their limits are the configuration's alone.
    pub lines: Vec<Line>,
    /// Their rows of angles.
    pub phasors: Phasors,
}

impl Bounds {
    /// Only the configured limits.
    pub fn new(site: &Site, layout: &Layout) -> Self {
        let (lines, phasors) = transformer::lines(site, layout);
        let configured: Vec<_> = site.circuits().iter().flat_map(configured).collect();
        Self {
            tightest: configured.clone(),
            present: vec![false; configured.len()],
            configured,
            rows: Vec::new(),
            tightened: false,
            caps: vec![None; layout.columns.len()],
            matrix: Matrix::default(),
            lines,
            phasors,
        }
    }

    /// Takes the limits in force at `now`.
    pub fn refresh(&mut self, layout: &Layout, limits: &Limits, now: Millis) {
        let before = std::mem::replace(&mut self.tightest, self.configured.clone());
        self.caps.fill(None);
        for (scope, quantity, bound, id) in limits.bounds(now) {
            match scope {
                Scope::Circuit(circuit) => {
                    for kind in RowKind::ALL.into_iter().filter(|kind| kind.quantity() == quantity) {
                        narrow(&mut self.tightest[circuit.0 * RowKind::ALL.len() + kind.slot()], bound, id);
                    }
                }
                Scope::Asset(asset) => {
                    if let Some(column) = layout.column_of[asset.0] {
                        narrow(&mut self.caps[column], bound, id);
                    }
                }
            }
        }
        self.list_rows(layout, &before);
    }

    /// The limit that made a row, lines of transformers after the others.
    pub fn limit_id(&self, row: usize) -> Option<&Arc<str>> {
        let line = || row.checked_sub(self.rows.len()).and_then(|line| self.lines.get(line));
        self.rows.get(row).map(|row| &row.limit_id).or_else(|| line().map(|line| &line.limit_id))
    }

    /// Bounds of one kind, by circuit.
    pub fn of_kind(&self, kind: RowKind) -> impl Iterator<Item = (CircuitIndex, i64)> + '_ {
        self.rows.iter().filter(move |row| row.kind == kind).map(|row| (row.circuit, row.bound))
    }

    fn list_rows(&mut self, layout: &Layout, before: &[Tightest]) {
        let kinds = RowKind::ALL.len();
        self.rows.clear();
        self.tightened = false;
        for (place, tightest) in self.tightest.iter().enumerate() {
            if let Some((bound, limit_id)) = tightest {
                let (circuit, kind) = (CircuitIndex(place / kinds), RowKind::ALL[place % kinds]);
                self.tightened |= before[place].as_ref().is_none_or(|(held, _)| bound < held);
                self.rows.push(Bound { circuit, kind, bound: *bound, limit_id: limit_id.clone() });
            }
        }
        let is_same = self.present.iter().zip(&self.tightest).all(|(was, is)| *was == is.is_some());
        if !is_same || self.matrix.columns() != layout.columns.len() {
            self.present = self.tightest.iter().map(Option::is_some).collect();
            self.matrix = Matrix::new(layout.columns.len(), self.rows.iter().map(|row| entries(layout, row)));
        }
    }
}

fn narrow(tightest: &mut Tightest, bound: i64, id: &Arc<str>) {
    if tightest.as_ref().is_none_or(|(held, _)| bound < *held) {
        *tightest = Some((bound, id.clone()));
    }
}

fn configured(circuit: &Circuit) -> [Tightest; 9] {
    let spec = &circuit.spec;
    RowKind::ALL.map(|kind| {
        let bound = match kind {
            RowKind::NetImport => spec.import_limit.map(|limit| limit.get()),
            RowKind::NetExport => spec.export_limit.map(|limit| limit.get()),
            RowKind::Current(_) => spec.current_limit.map(|limit| limit.get()),
            RowKind::GrossLoad | RowKind::GrossGeneration | RowKind::DerOutput | RowKind::StorageCharge => None,
        };
        bound.map(|bound| (bound, Arc::from(format!("site:{}:{}", spec.id, kind.quantity().name()))))
    })
}

/// EVSEs that load a row. An export row has none: there an EVSE counts at its least.
fn entries(layout: &Layout, row: &Bound) -> Vec<(usize, i64)> {
    let below = layout.below[row.circuit.0].columns.iter();
    let phases = |column: usize| &layout.columns[column].evse.phases;
    match row.kind {
        RowKind::NetImport | RowKind::GrossLoad => {
            below.map(|column| (*column, phases(*column).conductors())).collect()
        }
        RowKind::Current(phase) => {
            below.filter(|column| phases(**column).has(phase)).map(|column| (*column, 1)).collect()
        }
        RowKind::NetExport | RowKind::GrossGeneration | RowKind::DerOutput | RowKind::StorageCharge => Vec::new(),
    }
}
