//! The grid-code settings of a SunSpec model changed step by step: written, read back, judged before the next step.
//!
//! ```text
//! model as it stands ── step: points by path ── blocks ──> writes ── whole model read again ── as expected? ──> next step
//!                                                                        └── not yet: again after a pause, until the deadline
//! ```
//!
//! Only what a utility control may reach can be written: power factor and var of 704, and 705 to 712. It decides nothing,
//! and it remembers nothing: whoever orders it has stored what stood there before.
use super::actuator::Write;
use super::layout::locate_path;
use super::pdu::{RegisterBytes, WRITE_MAX};
use super::sunspec::Model;
use super::tables::{self, GroupDef, PointType};
use crate::units::Micros;

/// Pause before a model is read again that does not show yet what is expected: curves are adopted at leisure.
pub const AGAIN: Micros = Micros::from_millis(500);
/// Most steps of one order.
pub const STEPS_MAX: usize = 8;
/// Most points of one step.
pub const POINTS_MAX: usize = 400;

/// Points of 704 that are power factor or var.
const REACTIVE: [&str; 2] = ["PFW", "VarSet"];
/// They start something and need not keep what was written.
const COMMANDS: [&str; 2] = ["AdptCrvReq", "AdptCtlReq"];

/// One point by its path in the model, as its raw number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointValue {
    /// As `layout::locate_path` takes it.
    pub path: String,
    /// Not scaled.
    pub raw: i64,
}

/// What is written at once, and what the model must show afterwards beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmendStep {
    /// In order.
    pub writes: Vec<PointValue>,
    /// Told by the device: the result of an adoption.
    pub expected: Vec<PointValue>,
}

/// Whether a utility control may reach a point.
pub fn is_permitted(model: u16, path: &str) -> bool {
    let is_reached = match model {
        704 => REACTIVE.iter().any(|name| path.starts_with(name)),
        705..=712 => true,
        _ => false,
    };
    let name = path.rsplit('.').next().unwrap_or_default();
    is_reached && tables::find(model).is_some_and(|definition| is_setting(&definition, name))
}

/// A number of the model that is no scale factor.
fn is_setting(group: &GroupDef, name: &str) -> bool {
    let is_it = |point: &tables::PointDef| point.name == name && point.kind != PointType::Scale;
    group.points.iter().any(is_it) || group.groups.iter().any(|child| is_setting(child, name))
}

/// The writes of a step on a model that shows `words`; `None`: the device has no such point, or it cannot say the value.
pub fn blocks(step: &AmendStep, definition: &GroupDef, model: &Model, words: RegisterBytes<'_>) -> Option<Vec<Write>> {
    let mut writes: Vec<Write> = Vec::new();
    for point in &step.writes {
        let slot = locate_path(definition, model, words, &point.path)?;
        let said = slot.raw_words(point.raw)?;
        let fits = |last: &&mut Write| {
            let is_next = usize::from(last.start) + last.words.len() == usize::from(slot.address);
            is_next && last.words.len() + said.len() <= usize::from(WRITE_MAX)
        };
        match writes.last_mut().filter(fits) {
            Some(last) => last.words.extend(said),
            None => writes.push(Write { start: slot.address, words: said }),
        }
    }
    Some(writes)
}

/// Whether the model shows all that was written and all that is expected.
pub fn shows(step: &AmendStep, definition: &GroupDef, model: &Model, words: RegisterBytes<'_>) -> bool {
    let kept = step.writes.iter().filter(|point| !COMMANDS.contains(&point.path.as_str()));
    kept.chain(&step.expected).all(|point| stands(point, definition, model, words) == Some(true))
}

fn stands(point: &PointValue, definition: &GroupDef, model: &Model, words: RegisterBytes<'_>) -> Option<bool> {
    let slot = locate_path(definition, model, words, &point.path)?;
    let at = usize::from(slot.address.checked_sub(model.address)?);
    let seen = words.slice(at, usize::from(slot.kind.registers()))?;
    Some(seen.iter().eq(slot.raw_words(point.raw)?))
}

#[cfg(test)]
#[path = "amend_tests.rs"]
mod tests;
