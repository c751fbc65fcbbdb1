//! The only place where the core reads a clock: CLOCK_MONOTONIC, the one behind Python's `time.monotonic`.
use rustix::time::{clock_gettime, ClockId};

use crate::units::{Micros, Millis};

/// Monotonic time now, whole milliseconds.
pub fn now() -> Millis {
    let now = clock_gettime(ClockId::Monotonic);
    Millis::new(now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000))
}

/// Monotonic time now, whole microseconds: what the wire is timed in.
pub fn micros() -> Micros {
    let now = clock_gettime(ClockId::Monotonic);
    Micros::new(now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000))
}

/// Something that differs from start to start, to spread reconnects: the nanoseconds of now.
pub fn seed() -> u64 {
    u64::try_from(clock_gettime(ClockId::Monotonic).tv_nsec).unwrap_or_default()
}
