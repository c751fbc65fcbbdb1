//! Time, CPU time and quantiles, and the one line in which a client reports them.
use rustix::time::{clock_gettime, ClockId, Timespec};

/// Reads between two looks at the clock: looking is not what is measured.
pub const LOOK_EVERY: u64 = 64;
/// One read in so many is timed by itself.
pub const TIME_EVERY: u64 = 16;

fn whole(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// CLOCK_MONOTONIC, ns: the clock behind Python's `time.monotonic_ns`.
pub fn nanos() -> u64 {
    whole(clock_gettime(ClockId::Monotonic))
}

/// CPU time of this process, ns.
pub fn cpu_nanos() -> u64 {
    whole(clock_gettime(ClockId::ProcessCPUTime))
}

/// Wall and CPU time since a moment, and the times of single reads.
pub struct Meter {
    wall: u64,
    cpu: u64,
    end: u64,
    times: Vec<u64>,
}

impl Meter {
    /// Starts now, for `span` ns.
    pub fn start(span: u64) -> Self {
        let times = Vec::with_capacity(1 << 20);
        let (wall, cpu) = (nanos(), cpu_nanos());
        Self { wall, cpu, end: wall + span, times }
    }

    /// Whether the span has passed.
    pub fn is_over(&self) -> bool {
        nanos() >= self.end
    }

    /// Notes how long one read took, ns.
    pub fn took(&mut self, time: u64) {
        if self.times.len() < self.times.capacity() {
            self.times.push(time);
        }
    }

    /// The report: reads, wall and CPU time, quantiles of what was timed, and more fields of the role's own.
    pub fn report(mut self, reads: u64, more: &[(&str, u64)]) {
        let (wall, cpu) = (nanos() - self.wall, cpu_nanos() - self.cpu);
        let extra: String = more.iter().map(|(name, value)| format!(", \"{name}\": {value}")).collect();
        let times = quantiles(&mut self.times);
        println!("{{\"reads\": {reads}, \"wall_ns\": {wall}, \"cpu_ns\": {cpu}, {times}{extra}}}");
    }
}

/// p50, p99, p99.9 and the longest, ns, as JSON fields.
pub fn quantiles(times: &mut [u64]) -> String {
    times.sort_unstable();
    let at = |permille: usize| times.get((times.len() * permille / 1000).min(times.len().saturating_sub(1)));
    let value = |permille| at(permille).copied().unwrap_or(0);
    let (middle, high, higher, longest) = (value(500), value(990), value(999), value(1000));
    format!("\"p50_ns\": {middle}, \"p99_ns\": {high}, \"p999_ns\": {higher}, \"max_ns\": {longest}")
}
