//! The cheapest set of reads that brings every item as often as it is wanted: exact, by dynamic programming.
//!
//! ```text
//! items by first register ──> labels { cost, the open read of each period } ── those beaten are dropped ──> best
//! ```
//!
//! Going up the registers, an item that no open read reaches makes one of them longer or begins one; the period may be
//! any that is short enough. So all that matters of the past is the newest read of each period: the label. It need not
//! be known beforehand how far a read will go. Items may overlap, and a slow read may pass over fast items that have
//! their own. A label is dropped where another costs so much less that it could begin the reads it lacks.
use std::collections::BTreeSet;

use super::super::pdu::Span;
use super::cost::{LineCost, Load};
use super::holes::end;
use crate::units::Micros;

/// Labels kept after all items together; beyond it the dearest are dropped and the result may not be the best.
const LABELS_TOTAL: usize = 40_000;
/// Fewest labels that are kept after an item.
const LABELS_LEAST: usize = 64;

/// Registers wanted together, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// At least one register, within the address space.
    pub span: Span,
    /// Above zero.
    pub period: Micros,
}

/// A set of reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Each with its period, by first register.
    pub reads: Vec<(Span, Micros)>,
    /// Whether nothing was dropped for lack of room.
    pub is_optimal: bool,
}

/// The newest read of one period: its first register and the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    start: u16,
    end: u32,
}

/// A partial solution: what it costs, how many reads it has, and the newest of each period (ascending).
#[derive(Clone, Debug)]
struct Label {
    cost: (Load, usize),
    open: Vec<Option<Open>>,
    step: Option<usize>,
}

/// A read was begun or made longer.
#[derive(Clone, Copy, Debug)]
struct Step {
    class: usize,
    read: Open,
    before: Option<usize>,
}

struct Search<'a> {
    items: Vec<Item>,
    periods: Vec<Micros>,
    registers_max: u16,
    labels_max: usize,
    cost: LineCost,
    admits: &'a dyn Fn(Span) -> bool,
    steps: Vec<Step>,
}

/// The cheapest reads of at most `registers_max` registers that `admits` allows; among equals the fewest. An item that
/// is longer alone is read alone. Every item by itself must be admitted, and whatever is inside an admitted span.
pub fn cover(items: &[Item], registers_max: u16, cost: LineCost, admits: impl Fn(Span) -> bool) -> Cover {
    let find = |items: &[Item]| search(items, registers_max, cost, &admits);
    let best = find(items);
    if best.is_optimal {
        return best;
    }
    // Too many labels: at least no dearer than without sharing, and than everything as often as the most urgent.
    let periods: BTreeSet<Micros> = items.iter().map(|item| item.period).collect();
    let of = |period: &Micros| items.iter().copied().filter(|item| item.period == *period).collect::<Vec<_>>();
    let apart = Cover { reads: periods.iter().flat_map(|period| find(&of(period)).reads).collect(), is_optimal: false };
    let shortest = periods.first().copied().unwrap_or_default();
    let urgent: Vec<Item> = items.iter().map(|item| Item { period: shortest, ..*item }).collect();
    let together = Cover { is_optimal: false, ..find(&urgent) };
    let load = |cover: &Cover| cover.reads.iter().map(|(span, period)| Load::of(cost.read(span.count), *period)).sum();
    [best, apart, together].into_iter().min_by_key(|cover| -> Load { load(cover) }).unwrap_or_default()
}

fn search(items: &[Item], registers_max: u16, cost: LineCost, admits: &dyn Fn(Span) -> bool) -> Cover {
    let mut items = items.to_vec();
    items.sort_by_key(|item| (item.span.start, item.period, std::cmp::Reverse(item.span.count)));
    let mut periods: Vec<Micros> = items.iter().map(|item| item.period).collect();
    periods.sort_unstable();
    periods.dedup();
    let labels_max = (LABELS_TOTAL / items.len().max(1)).max(LABELS_LEAST);
    Search { items, periods, registers_max, labels_max, cost, admits, steps: Vec::new() }.run()
}

impl Search<'_> {
    fn run(mut self) -> Cover {
        let start = Label { cost: (Load::ZERO, 0), open: vec![None; self.periods.len()], step: None };
        let (mut labels, mut is_optimal) = (vec![start], true);
        for at in 0..self.items.len() {
            labels = self.serve(at, labels);
            is_optimal &= labels.len() <= self.labels_max;
            labels.truncate(self.labels_max);
        }
        // The cheapest is first.
        let best = labels.first().and_then(|label| label.step);
        Cover { reads: self.trace(best), is_optimal }
    }

    /// Labels after the item at a position, cheapest first, none beaten by another.
    fn serve(&mut self, at: usize, labels: Vec<Label>) -> Vec<Label> {
        let Some(item) = self.items.get(at).copied() else { return labels };
        let class = self.periods.partition_point(|period| *period < item.period);
        let mut after = Vec::new();
        for label in labels {
            if label.open.iter().take(class + 1).flatten().any(|read| read.end >= end(item.span)) {
                after.push(label);
                continue;
            }
            for class in 0..=class {
                after.extend(self.lengthen(&label, class, item.span));
                after.push(self.begin(&label, class, item.span));
            }
        }
        let next = self.items.get(at + 1).map_or(u32::MAX, |next| u32::from(next.span.start));
        after.iter_mut().for_each(|label| self.close(label, next));
        self.undominated(after, next)
    }

    /// The open read of a period goes on to the end of the item, if it may.
    fn lengthen(&mut self, label: &Label, class: usize, item: Span) -> Option<Label> {
        let known = label.open.get(class).copied().flatten()?;
        let longer = Open { start: known.start, end: end(item) };
        let span = longer.span();
        let fits = span.count <= self.registers_max || span == item;
        // A slower read that lies inside brings nothing any more: the label that has not begun it is cheaper.
        let is_inside = |read: &Open| read.start >= longer.start && read.end <= longer.end;
        let fits = fits && !label.open.iter().skip(class + 1).flatten().any(is_inside);
        (fits && (self.admits)(span)).then(|| {
            let more = self.load(longer.span(), class) - self.load(known.span(), class);
            self.follow(label, class, longer, (more, 0))
        })
    }

    /// A read of a period begins with the item.
    fn begin(&mut self, label: &Label, class: usize, item: Span) -> Label {
        self.follow(label, class, Open { start: item.start, end: end(item) }, (self.load(item, class), 1))
    }

    fn follow(&mut self, label: &Label, class: usize, read: Open, (more, reads): (Load, usize)) -> Label {
        self.steps.push(Step { class, read, before: label.step });
        let mut open = label.open.clone();
        if let Some(open) = open.get_mut(class) {
            *open = Some(read);
        }
        Label { cost: (label.cost.0 + more, label.cost.1 + reads), open, step: Some(self.steps.len() - 1) }
    }

    /// Forgets reads that cannot serve another item, or only for more than a new one costs.
    fn close(&self, label: &mut Label, next: u32) {
        for open in &mut label.open {
            *open = open.filter(|read| {
                let is_short = next < u32::from(read.start) + u32::from(self.registers_max);
                let is_near = next - read.end.min(next) <= u32::from(self.cost.gap_max(u16::MAX));
                read.end > next || (is_short && is_near)
            });
        }
    }

    /// Cheapest first. A label is dropped if a cheaper one is as good, or would be with the reads that it lacks: what it
    /// has spent more buys nothing that could not be bought later.
    fn undominated(&self, mut labels: Vec<Label>, next: u32) -> Vec<Label> {
        labels.sort_by(|one, other| one.cost.cmp(&other.cost).then_with(|| other.open.cmp(&one.open)));
        let mut kept: Vec<Label> = Vec::new();
        for label in labels {
            let beaten = kept.iter().any(|best| self.is_beaten(&label, best, next));
            if !beaten && kept.len() <= self.labels_max {
                kept.push(label);
            }
        }
        kept
    }

    fn is_beaten(&self, label: &Label, best: &Label, next: u32) -> bool {
        let (mut load, mut reads) = best.cost;
        for (class, (own, other)) in best.open.iter().zip(&label.open).enumerate() {
            let Some(other) = other else { continue };
            if own.is_some_and(|own| own.start >= other.start && own.end >= other.end) {
                continue;
            }
            // A read from the next item on does whatever that one could do; the rest is rounding.
            let count = other.end.checked_sub(next).and_then(|count| u16::try_from(count).ok()).unwrap_or_default();
            // Only an item that is too long for any read but its own reaches so far: no new read can.
            if count > self.registers_max {
                return false;
            }
            load = load + self.load(Span { start: 0, count }, class) + Load::ROUNDING;
            reads += 1;
            if load > label.cost.0 {
                return false;
            }
        }
        (load, reads) <= label.cost
    }

    fn load(&self, span: Span, class: usize) -> Load {
        Load::of(self.cost.read(span.count), self.periods.get(class).copied().unwrap_or_default())
    }

    /// The last word on each read, by first register.
    fn trace(&self, mut at: Option<usize>) -> Vec<(Span, Micros)> {
        let mut reads: Vec<(Open, usize)> = Vec::new();
        while let Some(step) = at.and_then(|at| self.steps.get(at)) {
            if !reads.iter().any(|(read, class)| (read.start, *class) == (step.read.start, step.class)) {
                reads.push((step.read, step.class));
            }
            at = step.before;
        }
        reads.sort_unstable_by_key(|(read, class)| (read.start, *class));
        let period = |class: usize| self.periods.get(class).copied().unwrap_or_default();
        reads.into_iter().map(|(read, class)| (read.span(), period(class))).collect()
    }
}

impl Open {
    fn span(self) -> Span {
        let count = u16::try_from(self.end - u32::from(self.start)).unwrap_or(u16::MAX);
        Span { start: self.start, count }
    }
}
