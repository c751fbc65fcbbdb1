//! How a line of site devices stands: what it carries, what it is asked for, and by how much that is too much.
//!
//! ```text
//! used (measured, of the last window) ─┐
//! asked (reckoned with the live cost) ─┴─> LineLoad ──> metrics, and one line of the log when `over` begins or ends
//! ```
use super::planning::cost::Load;
use super::planning::demand::Overrun;
use super::planning::schedule::LoadReport;
use crate::units::{Micros, Permille};

/// A line as it stands; times are since start, shares are of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineLoad {
    /// Used in the last window by setpoints, reads and searches, timeouts included.
    pub used: Permille,
    /// What all that is asked for needs, at the cost that was measured.
    pub wanted: Permille,
    /// By how much that is more than the line has; 0: it fits.
    pub over: Permille,
    /// By how much deadlines cannot be kept though it fits on the whole; 0: all are.
    pub over_time: Micros,
    /// Whether it is so close to full that nothing is proved.
    pub is_unproved: bool,
    /// Longest wait of a setpoint for the line that was reckoned; 0: nobody is commanded.
    pub write_wait_bound: Micros,
    /// Longest wait that was seen.
    pub write_wait_max: Micros,
    /// How long a transaction may keep a setpoint waiting; the reads are as long as that allows.
    pub blocking: Micros,
    /// Transactions done after their deadline.
    pub late: u64,
    /// The longest time by which one was late.
    pub late_max: Micros,
    /// Devices that do not answer now.
    pub silent: u64,
}

/// Names of the figures of `LineLoad::figures`.
pub const FIGURES: [&str; 11] = [
    "used_permille",
    "wanted_permille",
    "over_permille",
    "over_us",
    "unproved",
    "write_wait_bound_us",
    "write_wait_us_max",
    "blocking_us",
    "late_total",
    "late_us_max",
    "silent",
];

impl LineLoad {
    /// All of it as numbers, in the order of `FIGURES`.
    pub fn figures(&self) -> [i64; FIGURES.len()] {
        let count = |found: u64| i64::try_from(found).unwrap_or(i64::MAX);
        // Where nobody is commanded nothing is blocked.
        let blocking = if self.write_wait_bound > Micros::ZERO { self.blocking.get() } else { 0 };
        [
            self.used.get(),
            self.wanted.get(),
            self.over.get(),
            self.over_time.get(),
            i64::from(self.is_unproved),
            self.write_wait_bound.get(),
            self.write_wait_max.get(),
            blocking,
            count(self.late),
            self.late_max.get(),
            count(self.silent),
        ]
    }

    /// Takes what was reckoned.
    pub fn take_proof(&mut self, load: Load, overrun: Option<Overrun>, write_wait: Option<Micros>) {
        self.wanted = load.permille();
        self.write_wait_bound = write_wait.unwrap_or_default();
        (self.over, self.over_time, self.is_unproved) = match overrun {
            None => (Permille::ZERO, Micros::ZERO, false),
            Some(Overrun::Overloaded { over }) => (over, Micros::ZERO, false),
            Some(Overrun::Late { over, .. }) => (Permille::ZERO, over, false),
            Some(Overrun::Unproved) => (Permille::ZERO, Micros::ZERO, true),
        };
    }

    /// Takes what was used since the last window.
    pub fn take_report(&mut self, report: &LoadReport) {
        let parts = [report.writes, report.reads, report.background];
        self.used = Permille::new(parts.iter().map(|part| part.get()).sum());
    }

    /// A setpoint was sent so long after it was wanted.
    pub fn waited(&mut self, wait: Micros) {
        self.write_wait_max = self.write_wait_max.max(wait);
    }

    /// A transaction was done so long after its deadline.
    pub fn ended(&mut self, after: Micros) {
        if after > Micros::ZERO {
            self.late += 1;
            self.late_max = self.late_max.max(after);
        }
    }
}
