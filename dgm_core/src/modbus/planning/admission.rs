//! Before start: can a line keep every deadline with what its devices are asked for?
//!
//! ```text
//! needs, setpoints, cost of the line ── reads::plan ──> transactions ── demand ──> proved, or over by how much
//! ```
//!
//! The longest wait of a setpoint follows from the rules of `share`. What is proved holds while every device answers: a
//! silent one keeps the line for its timeout. The reads are those that the line will make, as long as it costs what was
//! assumed.
use super::cost::{LineCost, Load};
use super::demand::{Demand, Overrun, ReadDemand, WriteDemand};
use super::holes::ReadProfile;
use super::reads::{plan, Need, PlannedRead, ReadBounds, Shortcoming};
use super::share::READ_SHARE;
use crate::units::{Micros, Nanos, Permille};

/// Registers of the longest read of a search for a device.
const SEARCH_REGISTERS: u16 = 2;
/// The slowest rates that are proposed: a thousandth of what was asked.
const STRETCH_MAX: i64 = 1_000_000;

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
    /// What is read.
    pub needs: Vec<Need>,
    /// Most registers of one read.
    pub registers_max: u16,
    /// What is written, each at its own interval: the setpoint, a sign of life. Empty: it is only read.
    pub setpoints: Vec<SetpointCycle>,
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

/// What is proved of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineAnswer {
    /// The reads, each with the position of its device and its line time.
    pub reads: Vec<(usize, PlannedRead, Nanos)>,
    /// Needs that fall short, by device and need.
    pub shortcomings: Vec<(usize, usize, Shortcoming)>,
    /// Share of the line that reads, setpoints and proofs take.
    pub load: Load,
    /// The longest wait of a setpoint; `None`: nobody is commanded.
    pub write_wait: Option<Micros>,
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
    let writes = Writes::of(question);
    let bounds = |device: &DeviceQuestion| ReadBounds {
        cost: question.cost,
        registers_max: device.registers_max,
        blocking: blocking_time(question, &writes),
    };
    let (mut reads, mut shortcomings) = (Vec::new(), Vec::new());
    for (at, device) in question.devices.iter().enumerate() {
        let plan = plan(&device.needs, bounds(device), &ReadProfile::default());
        shortcomings.extend(plan.shortcomings.iter().map(|(need, why)| (at, *need, *why)));
        let cost = |read: &PlannedRead| question.cost.of_table(read.table).read(read.span.count);
        reads.extend(plan.reads.into_iter().map(|read| (at, cost(&read), read)));
    }
    let periodic =
        reads.iter().map(|(_, cost, read)| ReadDemand { cost: *cost, period: read.period, allowed: read.deadline });
    let demand = Demand {
        reads: periodic.chain(proofs(question)).collect(),
        writes: writes.demands.clone(),
        background: question.cost.read(SEARCH_REGISTERS),
    };
    let overrun = demand.prove().err();
    LineAnswer {
        write_wait: (!writes.demands.is_empty()).then(|| writes.wait(&demand)),
        load: demand.load(),
        stretch: overrun.and_then(|_| shortest_stretch(&demand)),
        overrun,
        reads: reads.into_iter().map(|(at, cost, read)| (at, read, cost)).collect(),
        shortcomings,
    }
}

/// How long one transaction may keep a setpoint waiting, so that with the setpoints of all others it waits no longer
/// than declared. Where those alone take too long, or nobody is commanded, reads are not cut for it.
fn blocking_time(question: &LineQuestion, writes: &Writes) -> Micros {
    if writes.demands.is_empty() {
        return Micros::new(i64::MAX);
    }
    let left = question.write_latency - writes.others().to_micros();
    if Nanos::from(left) >= question.cost.read(1) {
        left
    } else {
        question.write_latency
    }
}

fn proofs(question: &LineQuestion) -> impl Iterator<Item = ReadDemand> + '_ {
    let cycles = question.devices.iter().flat_map(|device| &device.setpoints);
    cycles.flat_map(|cycle| {
        cycle.proofs.iter().map(|registers| ReadDemand {
            cost: question.cost.read(*registers),
            period: cycle.interval,
            allowed: cycle.interval,
        })
    })
}

/// The setpoints of a line.
#[derive(Debug)]
struct Writes {
    demands: Vec<WriteDemand>,
    /// Of all devices, once.
    round: Nanos,
}

impl Writes {
    fn of(question: &LineQuestion) -> Self {
        let demand = |cycle: &SetpointCycle| WriteDemand {
            cost: cycle.writes.iter().map(|registers| question.cost.write(*registers)).sum(),
            interval: cycle.interval,
        };
        let demands: Vec<WriteDemand> =
            question.devices.iter().flat_map(|device| &device.setpoints).map(demand).collect();
        let round = demands.iter().map(|demand| demand.cost).sum();
        Self { demands, round }
    }

    /// The most that a setpoint waits for those of other devices.
    fn others(&self) -> Nanos {
        self.round - self.demands.iter().map(|demand| demand.cost).min().unwrap_or_default()
    }

    /// The longest wait: one transaction that runs, the setpoints of all others, and where writes take more than their
    /// share the reads that go between.
    fn wait(&self, demand: &Demand) -> Micros {
        let longest = demand.reads.iter().map(|read| read.cost).max().unwrap_or_default().max(demand.background);
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
