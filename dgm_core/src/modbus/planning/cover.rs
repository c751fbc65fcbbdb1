//! The cheapest set of reads that brings every item as often as it is wanted: exact, by dynamic programming.
//!
//! ```text
//! items by first register ──> labels { cost, how far each speed reaches } ── those beaten in both are dropped ──> best
//! ```
//!
//! Going up the registers, an item is served if a read that began earlier reaches its end and is fast enough. If none
//! does, one must begin here, and it may reach as far as any item behind. So all that matters of the past is, for each
//! period, the furthest end of the reads that are at least so fast: the label. Items may overlap, and a slow read may
//! pass over fast items that have their own.
use super::super::pdu::Span;
use super::cost::Load;
use super::holes::end;
use crate::units::Micros;

/// Most labels kept after an item; beyond it the dearest are dropped and the result may not be the best.
const LABELS_MAX: usize = 1_024;

/// Registers wanted together, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// At least one register, within the address space.
    pub span: Span,
    /// Above zero.
    pub period: Micros,
}

/// A set of reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Each with its period, by first register.
    pub reads: Vec<(Span, Micros)>,
    /// Whether nothing was dropped for lack of room.
    pub is_optimal: bool,
}

/// A partial solution: what it costs, and for each period (ascending) how far reads at least so fast reach.
#[derive(Clone, Debug)]
struct Label {
    cost: (Load, usize),
    reach: Vec<u32>,
    step: Option<usize>,
}

/// A read that was begun, and the one before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    span: Span,
    period: Micros,
    before: Option<usize>,
}

/// A way to go on where an item is not served: a read that begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    end: u32,
    class: usize,
}

struct Search<'a> {
    items: Vec<Item>,
    periods: Vec<Micros>,
    registers_max: u16,
    admits: &'a dyn Fn(Span) -> bool,
    cost: &'a dyn Fn(Span, Micros) -> Load,
    steps: Vec<Step>,
}

/// The cheapest reads of at most `registers_max` registers that `admits` allows; among equals the fewest. An item that
/// is longer alone is read alone. Every item by itself must be admitted.
pub fn cover(
    items: &[Item],
    registers_max: u16,
    cost: impl Fn(Span, Micros) -> Load,
    admits: impl Fn(Span) -> bool,
) -> Cover {
    let mut items = items.to_vec();
    items.sort_by_key(|item| (item.span.start, item.period, std::cmp::Reverse(item.span.count)));
    let mut periods: Vec<Micros> = items.iter().map(|item| item.period).collect();
    periods.sort_unstable();
    periods.dedup();
    Search { items, periods, registers_max, admits: &admits, cost: &cost, steps: Vec::new() }.run()
}

impl Search<'_> {
    fn run(mut self) -> Cover {
        let start = Label { cost: (Load::ZERO, 0), reach: vec![0; self.periods.len()], step: None };
        let (mut labels, mut is_optimal) = (vec![start], true);
        for at in 0..self.items.len() {
            labels = self.serve(at, labels);
            is_optimal &= labels.len() <= LABELS_MAX;
            labels.truncate(LABELS_MAX);
        }
        // The cheapest is first.
        let best = labels.first().and_then(|label| label.step);
        Cover { reads: self.trace(best), is_optimal }
    }

    /// Labels after the item at a position, cheapest first, none beaten by another.
    fn serve(&mut self, at: usize, labels: Vec<Label>) -> Vec<Label> {
        let Some(item) = self.items.get(at).copied() else { return labels };
        let class = self.periods.partition_point(|period| *period < item.period);
        let choices = self.choices(at, item, class);
        let passed = self.items.get(at + 1).map_or(u32::MAX, |next| u32::from(next.span.start));
        let mut after = Vec::new();
        for label in labels {
            if label.reach.get(class).is_some_and(|reach| *reach >= end(item.span)) {
                after.push(label);
            } else {
                after.extend(choices.iter().map(|choice| self.begin(&label, item.span.start, *choice)));
            }
        }
        for reach in after.iter_mut().flat_map(|label| &mut label.reach) {
            // A read that ends before the next item begins serves nothing more.
            *reach = if *reach <= passed { 0 } else { *reach };
        }
        self.undominated(after, passed)
    }

    /// Reads that begin with this item and serve it. Each ends with an item and is as fast as some item inside it.
    fn choices(&self, at: usize, item: Item, class: usize) -> Vec<Choice> {
        let start = item.span.start;
        let behind =
            self.items.iter().rev().skip(self.items.len() - at).take_while(|before| before.span.start == start);
        let ahead =
            self.items.iter().skip(at).take_while(|next| {
                u32::from(next.span.start) < u32::from(start) + u32::from(self.registers_max).max(1)
            });
        let inside: Vec<&Item> = behind.chain(ahead).collect();
        let mut choices = Vec::new();
        for last in inside.iter().filter(|last| end(last.span) >= end(item.span)) {
            let Some(span) = self.allowed(start, last.span) else { continue };
            // It serves the item that it ends with, so it need not be faster than that one.
            let within = inside.iter().filter(|other| end(other.span) <= end(span) && other.period <= last.period);
            for period in within.map(|other| other.period) {
                let fast = self.periods.partition_point(|known| *known < period);
                choices.extend((fast <= class).then_some(Choice { end: end(span), class: fast }));
            }
        }
        choices.sort_unstable();
        choices.dedup();
        choices
    }

    /// The read from `start` to the end of `last`, if it is short enough and nothing in it is refused.
    fn allowed(&self, start: u16, last: Span) -> Option<Span> {
        let count = u16::try_from(end(last) - u32::from(start)).ok()?;
        let span = Span { start, count };
        let fits = count <= self.registers_max || last == span;
        (fits && (self.admits)(span)).then_some(span)
    }

    fn begin(&mut self, label: &Label, start: u16, choice: Choice) -> Label {
        let count = u16::try_from(choice.end - u32::from(start)).unwrap_or(u16::MAX);
        let span = Span { start, count };
        let period = self.periods.get(choice.class).copied().unwrap_or_default();
        self.steps.push(Step { span, period, before: label.step });
        let mut reach = label.reach.clone();
        for reach in reach.iter_mut().skip(choice.class) {
            *reach = (*reach).max(choice.end);
        }
        let (load, reads) = label.cost;
        Label { cost: (load + (self.cost)(span, period), reads + 1), reach, step: Some(self.steps.len() - 1) }
    }

    fn trace(&self, mut at: Option<usize>) -> Vec<(Span, Micros)> {
        let mut reads = Vec::new();
        while let Some(step) = at.and_then(|at| self.steps.get(at)) {
            reads.push((step.span, step.period));
            at = step.before;
        }
        reads.reverse();
        reads
    }

    /// Cheapest first. A label is dropped if a cheaper one reaches as far, or would with reads that begin at the next
    /// item: what it has spent more buys nothing that could not be bought later.
    fn undominated(&self, mut labels: Vec<Label>, next: u32) -> Vec<Label> {
        labels.sort_by(|one, other| one.cost.cmp(&other.cost).then_with(|| other.reach.cmp(&one.reach)));
        let mut kept: Vec<Label> = Vec::new();
        for label in labels {
            let beaten = kept.iter().any(|best| self.caught_up(best, &label, next) <= label.cost);
            if !beaten && kept.len() <= LABELS_MAX {
                kept.push(label);
            }
        }
        kept
    }

    /// What `behind` costs with the reads from the register `next` on that let it reach as far as `ahead`.
    fn caught_up(&self, behind: &Label, ahead: &Label, next: u32) -> (Load, usize) {
        let (mut cost, mut added) = (behind.cost, 0);
        for ((own, wanted), period) in behind.reach.iter().zip(&ahead.reach).zip(&self.periods) {
            if *wanted > (*own).max(added) {
                // Its read from an earlier register on is allowed, so this shorter one is.
                let start = u16::try_from(next).unwrap_or(u16::MAX);
                let count = u16::try_from(wanted - u32::from(start)).unwrap_or(u16::MAX);
                cost = (cost.0 + (self.cost)(Span { start, count }, *period), cost.1 + 1);
                added = *wanted;
            }
        }
        cost
    }
}
