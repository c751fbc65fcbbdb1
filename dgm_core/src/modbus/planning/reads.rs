//! From what must be known of a device to the reads that cost its line least.
//!
//! ```text
//! needs ── groups joined ──> items ── cover: exact, on the line's cost model ──> reads, each with its period
//! ```
//!
//! A read begins and ends with an item, so it never cuts a point; what lies between is read where that is cheaper than
//! another request. It may carry items of a longer period along. No read takes longer than the line's blocking time,
//! but for a single item that does so alone, which is told. It does not know which device or when: `schedule` does.
use super::super::pdu::{Span, Table};
use super::cost::{LineCost, Load};
use super::cover::{self, Item};
use super::holes::{contains, end, ReadProfile};
use crate::units::{Micros, Nanos};

/// Needs of one group are read in one transaction: a value and its scale factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub u32);

/// Registers that must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which table.
    pub table: Table,
    /// The registers of one point, never split.
    pub span: Span,
    /// What it is read together with. A scale factor that several values share is a need in each of their groups.
    pub group: Option<Group>,
    /// Time between two readings. Below 1 ms counts as 1 ms.
    pub period: Micros,
    /// How long after it is due the answer must be there; at most the period.
    pub deadline: Micros,
}

/// What bounds a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// What the line costs.
    pub cost: LineCost,
    /// Most registers per request that the device's map allows, 1..=125. Coils and discrete inputs: the standard's 2,000.
    pub registers_max: u16,
    /// How long a read may keep a write waiting.
    pub blocking: Micros,
}

/// One periodic read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRead {
    /// Which table.
    pub table: Table,
    /// Which registers.
    pub span: Span,
    /// The shortest period among what it serves.
    pub period: Micros,
    /// The shortest deadline among what it serves.
    pub deadline: Micros,
    /// Positions of the needs whose whole group it brings, ascending. A need may be brought by several reads.
    pub needs: Vec<usize>,
    /// What it is made of, by first register: the spans of the groups it brings, and of the needs without a group.
    pub parts: Vec<Span>,
}

/// Why a need is not read as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcoming {
    /// The span is empty or leaves the address space. Not read.
    Impossible,
    /// The need with its group has more registers than one read may. Not read.
    TooLong {
        /// Registers from the first to the last of the group.
        registers: u16,
        /// Registers that one read may have.
        registers_max: u16,
    },
    /// The device refuses it, or a register between the members of its group. Not read.
    Refused,
    /// Read, but alone it keeps the line longer than a write may wait.
    Blocks {
        /// How long.
        cost: Nanos,
    },
}

/// The reads of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPlan {
    /// Table by table as first needed, of each by first register.
    pub reads: Vec<PlannedRead>,
    /// Needs by position that fall short, ascending.
    pub shortcomings: Vec<(usize, Shortcoming)>,
    /// Line time of all reads.
    pub load: Load,
    /// Whether no cheaper plan exists. False only where the search was cut short: hundreds of needs of several periods on
    /// a line where registers are nearly free. Even then it is no dearer than a plan for each period by itself.
    pub is_optimal: bool,
}

/// The cheapest reads for all needs of one device that can be read; see the module.
pub fn plan(needs: &[Need], bounds: ReadBounds, profile: &ReadProfile) -> ReadPlan {
    let mut plan = ReadPlan { is_optimal: true, ..ReadPlan::default() };
    let mut tables: Vec<Table> = Vec::new();
    for need in needs {
        if !tables.contains(&need.table) {
            tables.push(need.table);
        }
    }
    for table in tables {
        plan_table(needs, table, bounds, profile, &mut plan);
    }
    plan.shortcomings.sort_by_key(|(need, _)| *need);
    plan
}

/// Members of one transaction.
#[derive(Clone, Debug)]
struct Bundle {
    members: Vec<usize>,
    span: Span,
    period: Micros,
    deadline: Micros,
}

fn plan_table(needs: &[Need], table: Table, bounds: ReadBounds, profile: &ReadProfile, plan: &mut ReadPlan) {
    let cost = bounds.cost.of_table(table);
    let registers_max = profile.read_max(table, bounds.registers_max);
    let mut bundles = bundles(needs, table, plan);
    bundles.retain(|bundle| {
        let shortcoming = shortcoming(bundle, table, registers_max, ReadBounds { cost, ..bounds }, profile);
        plan.shortcomings.extend(shortcoming.iter().flat_map(|why| bundle.members.iter().map(|need| (*need, *why))));
        !shortcoming.is_some_and(|why| !matches!(why, Shortcoming::Blocks { .. }))
    });
    let items: Vec<Item> = bundles.iter().map(|bundle| Item { span: bundle.span, period: bundle.period }).collect();
    let limit = cost.registers_within(bounds.blocking, registers_max);
    let admits = |span| profile.admits(table, span);
    let cover = cover::cover(&items, limit, cost, admits);
    plan.is_optimal &= cover.is_optimal;
    let mut reads = cover.reads;
    reads.sort_unstable();
    for (span, period) in reads {
        plan.load = plan.load + Load::of(cost.read(span.count), period);
        plan.reads.push(read(&bundles, table, span, period));
    }
}

/// Groups joined to the span from their first to their last register, in the order of their first need.
fn bundles(needs: &[Need], table: Table, plan: &mut ReadPlan) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    let mut groups: Vec<(Group, usize)> = Vec::new();
    for (index, need) in needs.iter().enumerate().filter(|(_, need)| need.table == table) {
        if need.span.count == 0 || !need.span.is_addressable() {
            plan.shortcomings.push((index, Shortcoming::Impossible));
            continue;
        }
        let period = need.period.max(Micros::from_millis(1));
        let alone = Bundle { members: vec![index], span: need.span, period, deadline: need.deadline.min(period) };
        let known = need.group.and_then(|group| groups.iter().find(|(known, _)| *known == group)).map(|(_, at)| *at);
        match known.and_then(|at| bundles.get_mut(at)) {
            Some(bundle) => bundle.join(&alone),
            None => {
                groups.extend(need.group.map(|group| (group, bundles.len())));
                bundles.push(alone);
            }
        }
    }
    bundles
}

impl Bundle {
    fn join(&mut self, other: &Self) {
        let start = self.span.start.min(other.span.start);
        let last = end(self.span).max(end(other.span));
        // A run over the whole address space has one register more than a u16 holds; it is too long either way.
        let count = u16::try_from(last - u32::from(start)).unwrap_or(u16::MAX);
        self.span = Span { start, count };
        self.period = self.period.min(other.period);
        self.deadline = self.deadline.min(other.deadline);
        self.members.extend(&other.members);
    }
}

fn shortcoming(
    bundle: &Bundle,
    table: Table,
    registers_max: u16,
    bounds: ReadBounds,
    profile: &ReadProfile,
) -> Option<Shortcoming> {
    let cost = bounds.cost.read(bundle.span.count);
    if bundle.span.count > registers_max {
        Some(Shortcoming::TooLong { registers: bundle.span.count, registers_max })
    } else if !profile.admits(table, bundle.span) {
        Some(Shortcoming::Refused)
    } else {
        (cost > Nanos::from(bounds.blocking)).then_some(Shortcoming::Blocks { cost })
    }
}

fn read(bundles: &[Bundle], table: Table, span: Span, period: Micros) -> PlannedRead {
    let served = bundles.iter().filter(|bundle| contains(span, bundle.span));
    let mut read = PlannedRead { table, span, period, deadline: period, needs: Vec::new(), parts: Vec::new() };
    for bundle in served {
        // What another read brings more often does not hurry this one.
        if bundle.period >= period {
            read.deadline = read.deadline.min(bundle.deadline);
        }
        read.needs.extend(&bundle.members);
        read.parts.push(bundle.span);
    }
    read.needs.sort_unstable();
    read.parts.sort_unstable();
    read.parts.dedup();
    read
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
