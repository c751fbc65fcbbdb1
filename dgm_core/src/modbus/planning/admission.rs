//! Can a line keep every deadline with what its devices are asked for? Asked before start, and again while it runs.
//!
//! ```text
//! needs, cycles, cost of the line ── blocking_time ── plan_reads ──> transactions ── prove ──> proved, or over by how much
//! ```
//!
//! `dgm check` asks it for a site that does not run yet, `devices` for what it has found and with the cost that it has
//! measured: one rule, one place. The longest wait of a setpoint follows from the rules of `share`. What is proved holds
//! while every device answers; what a silent one costs is told beside it (`Silence`).
use super::super::learnt::SHORT;
use super::super::pdu::READ_MAX;
use super::cost::{LineCost, Load};
use super::demand::{Demand, Overrun, ReadDemand, WriteDemand};
use super::holes::ReadProfile;
use super::reads::{plan, Need, PlannedRead, ReadBounds, ReadPlan, Shortcoming};
use super::share::READ_SHARE;
use crate::units::{Micros, Nanos, Permille};

/// Registers of the longest read of a search by short ones: a part of what says which device it is.
const SCAN_SHORT: u16 = SHORT;
/// A search reads many headers at once where that takes no longer.
const SCAN_LONGEST: Micros = Micros::from_millis(50);
/// Timeouts that may follow each other when a device falls silent: the read that finds it, and the first try after it.
const TIMEOUTS: i64 = 2;
/// The slowest rates that are proposed: a thousandth of what was asked.
const STRETCH_MAX: i64 = 1_000_000;
/// The longest lateness that is told.
const LATE_MAX: Micros = Micros::from_millis(3_600_000);

/// A line and all that is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineQuestion {
    /// What it costs.
    pub cost: LineCost,
    /// How long a setpoint may wait for it.
    pub write_latency: Micros,
    /// Behind it.
    pub devices: Vec<DeviceQuestion>,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceQuestion {
    /// What is read periodically; nothing where the reads are planned already (`LineQuestion::prove`).
    pub needs: Vec<Need>,
    /// Most registers of one read.
    pub registers_max: u16,
    /// The setpoints, each at its own interval. Empty: it is only read.
    pub setpoints: Vec<SetpointCycle>,
    /// How its command registers are looked at.
    pub look: Option<LookCycle>,
    /// The sign of life that it wants.
    pub beat: Option<BeatCycle>,
    /// How it is searched.
    pub search: Search,
    /// How long an answer may take.
    pub timeout: Micros,
}

/// A setpoint with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetpointCycle {
    /// Registers of each write.
    pub writes: Vec<u16>,
    /// Registers of each read that proves it.
    pub proofs: Vec<u16>,
    /// Shortest time between two setpoints.
    pub interval: Micros,
}

/// A look at what stands in the command registers and at the ratings: a read while nothing is waiting to be written,
/// else the beginning of a setpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookCycle {
    /// Registers of each read.
    pub reads: Vec<u16>,
    /// Shortest time between two looks.
    pub interval: Micros,
    /// How long after it is due it must be done.
    pub allowed: Micros,
}

/// A sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeatCycle {
    /// Registers of the write.
    pub registers: u16,
    /// Time between two.
    pub interval: Micros,
    /// How long after it is due it must be done.
    pub allowed: Micros,
}

/// By what a device is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// A walk through its models.
    Models,
    /// A read of so many registers.
    Registers(u16),
}

impl Default for Search {
    fn default() -> Self {
        Self::Registers(2)
    }
}

/// What a device that does not answer costs its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// It keeps the line so long at a time: its timeout.
    pub timeout: Micros,
    /// Reads of the others are at most so much late by it; `None`: nothing can be said, the line is over already.
    pub late: Option<Micros>,
}

/// What is proved of transactions that are planned already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Share of the line that reads, setpoints and their proofs take.
    pub load: Load,
    /// The longest wait of a setpoint for the line; `None`: nobody is commanded.
    pub write_wait: Option<Micros>,
    /// Why reads are not always in time.
    pub overrun: Option<Overrun>,
}

/// What is proved of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineAnswer {
    /// The reads, each with the position of its device and its line time.
    pub reads: Vec<(usize, PlannedRead, Nanos)>,
    /// Needs that fall short, by device and need.
    pub shortcomings: Vec<(usize, usize, Shortcoming)>,
    /// Share of the line that reads, setpoints and proofs take.
    pub load: Load,
    /// The longest wait of a setpoint for the line; `None`: nobody is commanded.
    pub write_wait: Option<Micros>,
    /// What a look before a setpoint adds to that, once in a look's interval; `None`: nobody is looked at.
    pub look_first: Option<Micros>,
    /// What a device that does not answer costs; `None`: there is no device.
    pub silence: Option<Silence>,
    /// Why reads are not always in time.
    pub overrun: Option<Overrun>,
    /// With every period and interval longer by this factor they would be; `None`: they are, or never would be.
    pub stretch: Option<Permille>,
}

impl LineAnswer {
    /// Whether every need is read in time, always, and no setpoint waits longer than it may.
    pub fn holds(&self, write_latency: Micros) -> bool {
        let blocks_only = |why: &Shortcoming| matches!(why, Shortcoming::Blocks { .. });
        self.overrun.is_none()
            && self.shortcomings.iter().all(|(_, _, why)| blocks_only(why))
            && self.write_wait.is_none_or(|wait| wait <= write_latency)
    }
}

/// Plans the reads of every device and proves the line.
pub fn examine(question: &LineQuestion) -> LineAnswer {
    let blocking = question.blocking_time();
    let (mut reads, mut shortcomings) = (Vec::new(), Vec::new());
    for (at, device) in question.devices.iter().enumerate() {
        let plan = device.plan(question.cost, blocking);
        shortcomings.extend(plan.shortcomings.iter().map(|(need, why)| (at, *need, *why)));
        let cost = |read: &PlannedRead| question.cost.of_table(read.table).read(read.span.count);
        reads.extend(plan.reads.into_iter().map(|read| (at, cost(&read), read)));
    }
    let periodic =
        reads.iter().map(|(_, cost, read)| ReadDemand { cost: *cost, period: read.period, allowed: read.deadline });
    let demand = question.demand(periodic.collect());
    let Proof { load, write_wait, overrun } = question.prove(&demand);
    LineAnswer {
        load,
        write_wait,
        look_first: question.look_first(),
        silence: question.silence(&demand),
        stretch: overrun.and_then(|_| shortest_stretch(&demand)),
        overrun,
        reads: reads.into_iter().map(|(at, cost, read)| (at, read, cost)).collect(),
        shortcomings,
    }
}

/// The cheapest reads that keep no write waiting longer than they may. Where a value with its scale factor does so
/// anyhow, cutting the rest would cost the line more and spare nobody: then the reads of that device are not cut.
pub fn plan_reads(needs: &[Need], bounds: ReadBounds, profile: &ReadProfile) -> ReadPlan {
    let cut = plan(needs, bounds, profile);
    if !cut.shortcomings.iter().any(|(_, why)| matches!(why, Shortcoming::Blocks { .. })) {
        return cut;
    }
    let whole = plan(needs, ReadBounds { blocking: Micros::new(i64::MAX), ..bounds }, profile);
    ReadPlan { shortcomings: cut.shortcomings, ..whole }
}

/// Registers of the longest read of a search through models.
pub fn scan_registers(cost: LineCost, blocking: Micros) -> u16 {
    let is_short = cost.read(READ_MAX) > Nanos::from(blocking.min(SCAN_LONGEST));
    if is_short {
        SCAN_SHORT
    } else {
        READ_MAX
    }
}

impl LineQuestion {
    /// How long one transaction may keep a setpoint waiting, so that with the setpoints of all others it waits no longer
    /// than declared. Where those alone take too long, or nobody is commanded, reads are not cut for it.
    pub fn blocking_time(&self) -> Micros {
        let writes = Writes::of(self);
        if writes.chains.is_empty() {
            return Micros::new(i64::MAX);
        }
        let left = self.write_latency - writes.others().to_micros();
        if Nanos::from(left) >= self.cost.read(1) {
            left
        } else {
            self.write_latency
        }
    }

    /// All that is asked of the line: these periodic reads and the cycles of its devices.
    pub fn demand(&self, mut reads: Vec<ReadDemand>) -> Demand {
        reads.extend(self.devices.iter().flat_map(|device| device.reads(self.cost)));
        let blocking = self.blocking_time();
        let search = |device: &DeviceQuestion| match device.search {
            Search::Models => scan_registers(self.cost, blocking),
            Search::Registers(registers) => registers,
        };
        let search = self.devices.iter().map(search).max().unwrap_or_default();
        Demand { reads, writes: Writes::of(self).demands, background: self.cost.read(search) }
    }

    /// Whether everything is done in time, always, and how long a setpoint waits.
    pub fn prove(&self, demand: &Demand) -> Proof {
        let writes = Writes::of(self);
        Proof {
            load: demand.load(),
            write_wait: (!writes.chains.is_empty()).then(|| writes.wait(demand, self.longest(demand))),
            overrun: demand.prove().err(),
        }
    }

    /// What a setpoint costs its line, from the first look to the last write: of the device that is commanded most.
    fn look_first(&self) -> Option<Micros> {
        let looks = self.devices.iter().filter_map(|device| device.look.as_ref());
        looks.map(|look| look.cost(self.cost).to_micros()).max()
    }

    fn silence(&self, demand: &Demand) -> Option<Silence> {
        let timeout = self.devices.iter().map(|device| device.timeout).max()?;
        Some(Silence { timeout, late: lateness(demand, Nanos::from(timeout)) })
    }

    /// The longest transaction that may be under way when a setpoint comes.
    fn longest(&self, demand: &Demand) -> Nanos {
        let looks = self.devices.iter().filter_map(|device| device.look.as_ref()).flat_map(|look| &look.reads);
        let looks = looks.map(|registers| self.cost.read(*registers));
        demand.reads.iter().map(|read| read.cost).chain(looks).max().unwrap_or_default().max(demand.background)
    }
}

impl DeviceQuestion {
    /// Its reads beside the periodic ones: the proofs, and in the reads' lane its sign of life. A look has its time among
    /// the writes (`Writes`), here stands only when it must be done.
    fn reads(&self, cost: LineCost) -> impl Iterator<Item = ReadDemand> + '_ {
        let proofs = self.setpoints.iter().flat_map(move |cycle| {
            let read = move |registers: &u16| ReadDemand {
                cost: cost.read(*registers),
                period: cycle.interval,
                allowed: cycle.interval,
            };
            cycle.proofs.iter().map(read)
        });
        let beat = self.beat.map(|beat| ReadDemand {
            cost: cost.write(beat.registers),
            period: beat.interval,
            allowed: beat.allowed,
        });
        let look = self.look.as_ref().map(|look| ReadDemand {
            cost: Nanos::ZERO,
            period: look.interval,
            allowed: look.allowed,
        });
        proofs.chain(beat).chain(look)
    }

    /// The reads of its needs.
    pub fn plan(&self, cost: LineCost, blocking: Micros) -> ReadPlan {
        let bounds = ReadBounds { cost, registers_max: self.registers_max, blocking };
        plan_reads(&self.needs, bounds, &ReadProfile::default())
    }

    /// What a setpoint may take of the line at most: a look, if nobody has looked for long, and its writes.
    pub fn chain(&self, cost: LineCost) -> Nanos {
        let writes: Nanos = self.setpoints.iter().map(|cycle| cycle.cost(cost)).sum();
        writes + self.look.as_ref().map_or(Nanos::ZERO, |look| look.cost(cost))
    }
}

impl SetpointCycle {
    fn cost(&self, cost: LineCost) -> Nanos {
        self.writes.iter().map(|registers| cost.write(*registers)).sum()
    }
}

impl LookCycle {
    fn cost(&self, cost: LineCost) -> Nanos {
        self.reads.iter().map(|registers| cost.read(*registers)).sum()
    }
}

/// The setpoints of a line.
#[derive(Debug)]
struct Writes {
    demands: Vec<WriteDemand>,
    /// By commanded device: what goes before reads when it is written.
    chains: Vec<Nanos>,
    /// Of all devices, once.
    round: Nanos,
}

impl Writes {
    fn of(question: &LineQuestion) -> Self {
        let cost = question.cost;
        let write = |cycle: &SetpointCycle| WriteDemand { cost: cycle.cost(cost), interval: cycle.interval };
        let look = |look: &LookCycle| WriteDemand { cost: look.cost(cost), interval: look.interval };
        let of_device = |device: &DeviceQuestion| -> Vec<WriteDemand> {
            device.setpoints.iter().map(write).chain(device.look.iter().map(look)).collect()
        };
        let is_commanded = |device: &&DeviceQuestion| !device.setpoints.is_empty();
        let chains: Vec<Nanos> =
            question.devices.iter().filter(is_commanded).map(|device| device.chain(cost)).collect();
        let round = chains.iter().copied().sum();
        Self { demands: question.devices.iter().flat_map(of_device).collect(), chains, round }
    }

    /// The most that a setpoint waits for those of other devices.
    fn others(&self) -> Nanos {
        self.round - self.chains.iter().min().copied().unwrap_or_default()
    }

    /// The longest wait: one transaction that runs, the setpoints of all others, and where writes take more than their
    /// share the reads that go between.
    fn wait(&self, demand: &Demand, longest: Nanos) -> Micros {
        let shortest = demand.reads.iter().map(|read| read.period).min();
        let burst = shortest.map_or(self.round, |period| Nanos::new(Nanos::from(period).get() / 2));
        let load: Load = self.demands.iter().map(|write| Load::of(write.cost, write.interval)).sum();
        let is_within_share = load.permille().get() <= 1000 - READ_SHARE.get();
        // What does not go at once shares the line with reads; the last of them is finished first.
        let shared = match (is_within_share, self.round <= burst) {
            (true, true) => Nanos::ZERO,
            (true, false) => self.round - burst + longest,
            (false, _) => self.round + longest,
        };
        (longest + self.others() + shared).to_micros()
    }
}

/// The least time by which every deadline must be later so that all hold though the line was kept by timeouts.
fn lateness(demand: &Demand, timeout: Nanos) -> Option<Micros> {
    let begun = Nanos::new(timeout.get().saturating_mul(TIMEOUTS));
    let holds = |late: i64| demand.later(Micros::from_millis(late)).prove_after(begun).is_ok();
    if holds(0) {
        return Some(Micros::ZERO);
    }
    let mut enough = 1;
    while !holds(enough) {
        enough *= 2;
        (enough <= LATE_MAX.to_millis().get()).then_some(())?;
    }
    let mut short = enough / 2;
    while enough - short > 1 {
        let middle = i64::midpoint(short, enough);
        *(if holds(middle) { &mut enough } else { &mut short }) = middle;
    }
    Some(Micros::from_millis(enough))
}

/// The least factor, in thousandths, by which everything must become slower for the proof to succeed.
fn shortest_stretch(demand: &Demand) -> Option<Permille> {
    let holds = |stretch: i64| demand.stretched(stretch).prove().is_ok();
    let mut enough = 2_000;
    while !holds(enough) {
        enough *= 2;
        (enough <= STRETCH_MAX).then_some(())?;
    }
    let mut short = if enough == 2_000 { 1_000 } else { enough / 2 };
    while enough - short > 1 {
        let middle = i64::midpoint(short, enough);
        *(if holds(middle) { &mut enough } else { &mut short }) = middle;
    }
    Some(Permille::new(enough))
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
