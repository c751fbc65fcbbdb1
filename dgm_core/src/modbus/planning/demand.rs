//! Whether a line can keep every deadline: the demand of every window of time against its length.
//!
//! ```text
//! one transaction that was begun before + writes + background + reads with a deadline in the window <= the window
//! ```
//!
//! For writes before reads, reads by earliest deadline, nothing interrupted (`schedule`). Writes and read-backs may come
//! at any time, but not closer than their interval; the background has its share at any time. The condition is
//! sufficient, and for periodic reads alone also necessary but for the one transaction that was begun before.
use super::cost::Load;
use super::share::BACKGROUND_SHARE;
use crate::units::{Micros, Nanos, Permille};

/// Most windows looked at. A line that needs more is so close to full that nothing is proved.
const WINDOWS_MAX: usize = 50_000;

/// A read that comes again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadDemand {
    /// Line time of one transaction.
    pub cost: Nanos,
    /// Shortest time between two.
    pub period: Micros,
    /// How long after it is due it must be done; at most the period.
    pub allowed: Micros,
}

/// A device that is commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteDemand {
    /// Line time of all writes of one setpoint.
    pub cost: Nanos,
    /// Shortest time between two setpoints.
    pub interval: Micros,
}

/// Everything that a line is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Periodic reads and read-backs.
    pub reads: Vec<ReadDemand>,
    /// Setpoints.
    pub writes: Vec<WriteDemand>,
    /// The longest transaction of the background; zero: there is none.
    pub background: Nanos,
}

/// Reads of equal period and deadline as one.
#[derive(Clone, Copy, Debug)]
struct Class {
    sum: ReadDemand,
    longest: Nanos,
}

/// Why a line does not keep every deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    /// More is asked than the line has, by this share of it.
    Overloaded {
        /// Thousandths of the line.
        over: Permille,
    },
    /// On the whole it fits, but in a window of this length more must be done than fits in.
    Late {
        /// From a moment when everything falls due.
        window: Micros,
        /// So much does not fit.
        over: Micros,
    },
    /// So close to full that no proof was found.
    Unproved,
}

impl Demand {
    /// Share of the line that is used.
    pub fn load(&self) -> Load {
        let reads: Load = self.reads.iter().map(|read| Load::of(read.cost, read.period)).sum();
        let writes: Load = self.writes.iter().map(|write| Load::of(write.cost, write.interval)).sum();
        reads + writes
    }

    /// `Ok`: every read is done in time, always.
    pub fn prove(&self) -> Result<(), Overrun> {
        self.prove_after(Nanos::ZERO)
    }

    /// The same though the line is kept for `begun` by something that nobody has asked for: a device that is silent.
    pub fn prove_after(&self, begun: Nanos) -> Result<(), Overrun> {
        let Some(horizon) = self.horizon(begun) else {
            let over = self.load().permille().get() + self.background_share().get() - 1000;
            return Err(Overrun::Overloaded { over: Permille::new(over.max(1)) });
        };
        let classes = self.classes();
        let mut ends: Vec<i128> = classes.iter().map(|class| ns(class.sum.allowed)).collect();
        for _ in 0..WINDOWS_MAX {
            let Some(window) = ends.iter().min().copied().filter(|window| *window <= horizon) else { return Ok(()) };
            let over = i128::from(begun.get()) + self.work(&classes, window) - window;
            if over > 0 {
                return Err(Overrun::Late { window: micros_up(window), over: micros_up(over) });
            }
            for (end, class) in ends.iter_mut().zip(&classes) {
                *end += if *end == window { ns(class.sum.period) } else { 0 };
            }
        }
        Err(Overrun::Unproved)
    }

    /// The same with every period, interval and deadline longer: `stretch` thousandths of what it is.
    pub fn stretched(&self, stretch: i64) -> Self {
        let longer = |span: Micros| Micros::new(span.get().saturating_mul(stretch) / 1000);
        let mut demand = self.clone();
        for read in &mut demand.reads {
            (read.period, read.allowed) = (longer(read.period), longer(read.allowed));
        }
        for write in &mut demand.writes {
            write.interval = longer(write.interval);
        }
        demand
    }

    /// The same with every deadline of a read later by `late`, even beyond its period.
    pub fn later(&self, late: Micros) -> Self {
        let mut demand = self.clone();
        for read in &mut demand.reads {
            read.allowed += late;
        }
        demand
    }

    /// Beyond this window the condition cannot fail any more; `None`: the line is overloaded.
    fn horizon(&self, begun: Nanos) -> Option<i128> {
        let kept = Load::of(Nanos::from(Micros::new(self.background_share().get())), Micros::new(1000));
        let free = i128::from((self.load() + kept).free().filter(|free| *free > 0)?);
        let reads = self.reads.iter().map(|read| {
            let early = (ns(read.period) - ns(read.allowed)).max(0);
            i128::from(read.cost.get()) * early / ns(read.period) + 1
        });
        let writes = self.writes.iter().map(|write| i128::from(write.cost.get()));
        let longest = self.reads.iter().map(|read| read.cost).max().unwrap_or_default().max(self.background);
        let once: i128 = reads.chain(writes).sum::<i128>() + i128::from((longest + self.background + begun).get());
        Some(once.saturating_mul(i128::from(Load::WHOLE)) / free)
    }

    fn background_share(&self) -> Permille {
        if self.background > Nanos::ZERO {
            BACKGROUND_SHARE
        } else {
            Permille::ZERO
        }
    }

    /// Line time that may be wanted before the end of a window.
    fn work(&self, classes: &[Class], window: i128) -> i128 {
        let later = classes.iter().filter(|class| ns(class.sum.allowed) > window).map(|class| class.longest);
        let begun = later.max().unwrap_or_default().max(self.background);
        let write = |write: &WriteDemand| (window / ns(write.interval) + 1) * i128::from(write.cost.get());
        let background = window * i128::from(self.background_share().get()) / 1000 + i128::from(self.background.get());
        let reads: i128 = classes.iter().map(|class| read_in(&class.sum, window)).sum();
        i128::from(begun.get()) + self.writes.iter().map(write).sum::<i128>() + background + reads
    }

    fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = Vec::new();
        for read in &self.reads {
            let same = |class: &&mut Class| (class.sum.period, class.sum.allowed) == (read.period, read.allowed);
            match classes.iter_mut().find(same) {
                Some(class) => {
                    class.sum.cost += read.cost;
                    class.longest = class.longest.max(read.cost);
                }
                None => classes.push(Class { sum: *read, longest: read.cost }),
            }
        }
        classes
    }
}

/// Of one class, what must be done within the window.
fn read_in(read: &ReadDemand, window: i128) -> i128 {
    match window - ns(read.allowed) {
        left if left < 0 => 0,
        left => (left / ns(read.period) + 1) * i128::from(read.cost.get()),
    }
}

/// A span that is used as a divisor: at least a microsecond.
fn ns(span: Micros) -> i128 {
    i128::from(span.get().max(1)) * 1000
}

fn micros_up(span: i128) -> Micros {
    Nanos::new(i64::try_from(span).unwrap_or(i64::MAX)).to_micros()
}

#[cfg(test)]
#[path = "demand_tests.rs"]
mod tests;
