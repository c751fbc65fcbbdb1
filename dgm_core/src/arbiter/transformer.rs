//! The line currents of the transformers of a site, as rows of angles.
//!
//! ```text
//!   EVSE on one phase, or three    line to neutral, at the angle of its phase        L1: 1    L2: w2    L3: w
//!   EVSE on two phases             line to line: out of one conductor, into the other  L1L2: 1  L2L3: w2  L3L1: w
//!   towards the circuit            I1, I2, I3
//!   towards the grid, wye          I1, I2, I3 over turns      delta: (I1 - I3), (I2 - I1), (I3 - I2) over turns
//! ```
//! w is the unit at +120 degrees, w2 = -1 - w. Both kinds are whole numbers of w, each by itself: a line-to-line current is
//! 30 degrees ahead of the phase, so below one transformer there is only one kind (`site::check`). Everything is at power
//! factor 1, as everywhere. The load that nobody controls is as configured, balanced and in phase with whatever is worst.

use std::sync::Arc;

use super::layout::Layout;
use super::phasor::{Phasor, PhasorRow, Phasors, Totals};
use crate::error::CoreError;
use crate::site::{Phase, PhaseMap, Site, Transformer};
use crate::units::{div_up, CircuitIndex, Milliamps, Permille, Watts};

const NO_PHASOR: Phasor = Phasor { u: 0, v: 0 };
const UNIT: Phasor = Phasor { u: 1, v: 0 };
const AHEAD: Phasor = Phasor { u: 0, v: 1 };
const BEHIND: Phasor = Phasor { u: -1, v: -1 };
/// Square root of three, rounded up, in millionths.
const ROOT_3_PPM: i64 = 1_732_051;

/// One conductor on one side of a transformer.
#[derive(Clone, Debug)]
pub struct Line {
    /// The circuit that it feeds.
    pub circuit: CircuitIndex,
    /// The conductor.
    pub phase: Phase,
    /// mA.
    pub bound: i64,
    /// Of the configuration.
    pub limit_id: Arc<str>,
    /// mA of load that nobody controls, rounded up.
    pub uncontrolled: i64,
    /// mA towards the circuit per mA here.
    turns: Permille,
}

impl Line {
    /// mA here of EVSEs at these totals per class, at the worst draw at or below them; rounded up.
    pub fn worst(&self, row: &PhasorRow, totals: &Totals) -> i64 {
        div_up(row.worst(totals).saturating_mul(1_000), self.turns.get().max(1))
    }
}

/// Every limited conductor of every transformer of the site, and its row.
pub fn lines(site: &Site, layout: &Layout) -> (Vec<Line>, Phasors) {
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for (index, circuit) in site.circuits().iter().enumerate() {
        for line in circuit.spec.transformer.iter().flat_map(|found| sides(site, CircuitIndex(index), found)) {
            // Refused are only coefficients and numbers of classes that `contribution` does not make.
            if let Ok(row) = line.row(layout) {
                rows.push(row);
                lines.push(line.line);
            }
        }
    }
    (lines, Phasors::new(layout.columns.len(), rows))
}

/// A conductor with what makes its row.
struct Conductor {
    line: Line,
    is_difference: bool,
    /// mA x coefficient that are left for EVSEs.
    limit: i64,
}

impl Conductor {
    fn row(&self, layout: &Layout) -> Result<PhasorRow, CoreError> {
        let below = layout.below[self.line.circuit.0].columns.iter();
        let entry = |column: &usize| {
            let currents = contribution(&layout.columns[*column].evse.phases);
            let slot = self.line.phase.slot();
            let before = if self.is_difference { currents[(slot + 2) % 3] } else { NO_PHASOR };
            (*column, Phasor { u: currents[slot].u - before.u, v: currents[slot].v - before.v })
        };
        let entries: Vec<_> = below.map(entry).filter(|(_, phasor)| *phasor != NO_PHASOR).collect();
        PhasorRow::new(self.limit, &entries)
    }
}

fn sides(site: &Site, circuit: CircuitIndex, found: &Transformer) -> Vec<Conductor> {
    let one = Permille::new(1_000);
    let load = found.load_limit.map(|limit| ("load", limit, one, false));
    let supply = found.supply_limit.map(|limit| ("supply", limit, found.turns, found.is_delta));
    let sides = load.into_iter().chain(supply);
    sides.flat_map(|side| Phase::ALL.map(|phase| conductor(site, circuit, phase, side))).collect()
}

fn conductor(
    site: &Site,
    circuit: CircuitIndex,
    phase: Phase,
    (side, bound, turns, is_difference): (&str, Milliamps, Permille, bool),
) -> Conductor {
    let spec = &site.circuit(circuit).spec;
    let load = spec.max_uncontrolled.unwrap_or(Watts::ZERO).micro().get();
    let per_phase = div_up(load, 3 * site.nominal_voltage().get());
    let taken = if is_difference { div_up(per_phase.saturating_mul(ROOT_3_PPM), 1_000_000) } else { per_phase };
    let line = Line {
        circuit,
        phase,
        bound: bound.get(),
        limit_id: Arc::from(format!("site:{}:TRANSFORMER_{}", spec.id, side.to_uppercase())),
        uncontrolled: div_up(taken.saturating_mul(1_000), turns.get().max(1)),
        turns,
    };
    Conductor { line, is_difference, limit: (turns.of(bound.get()) - taken).max(0) }
}

/// What 1 mA of an EVSE adds to the currents of L1 to L3 towards the circuit.
fn contribution(phases: &PhaseMap) -> [Phasor; 3] {
    let angles = [UNIT, BEHIND, AHEAD];
    let mut currents = [NO_PHASOR; 3];
    if phases.conductors() != 2 {
        phases.phases().iter().for_each(|phase| currents[phase.slot()] = angles[phase.slot()]);
        return currents;
    }
    // Out of the conductor whose successor is wired as well, into that one.
    let is_first = |slot: &usize| phases.has(Phase::ALL[*slot]) && phases.has(Phase::ALL[(slot + 1) % 3]);
    if let Some(slot) = (0..3).find(is_first) {
        currents[slot] = angles[slot];
        currents[(slot + 1) % 3] = Phasor { u: -angles[slot].u, v: -angles[slot].v };
    }
    currents
}
