//! The only folder with sockets, threads and a clock: it moves bytes between them and the pure machines.
//!
//! ```text
//! polling: one thread ── sockets of all lines, wheel, alarm ── its tenant:
//!            field_thread: Field (tick) ── Published (seqlock, snapshot) ── eventfd ──> Python
//!            fleet_thread: Fleet (registers) ── Board (image, counters) ── eventfd ──> Python
//! serving: one thread ── listener, clients ──── Server ──────── changes ─────────────────────── eventfd ──> Python
//! ```
//!
//! Neither thread takes the interpreter lock, and no lock that Python takes is held for longer than a copy.
pub mod board;
pub mod clock;
pub mod field_thread;
pub mod fleet_thread;
pub mod notify;
pub mod polling;
pub mod published;
pub mod recorder;
mod resolve;
pub mod seqlock;
pub mod serial;
pub mod serving;
pub mod socket;
mod timer;
mod wheel;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use notify::Notifier;

/// Locks; a thread that panicked inside has left whole values behind, as every critical section only moves them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that a thread runs until it does not, for whatever reason; its end wakes whoever waits for news.
struct Running<'a> {
    flag: &'a AtomicBool,
    notifier: &'a Notifier,
}

impl<'a> Running<'a> {
    fn new(flag: &'a AtomicBool, notifier: &'a Notifier) -> Self {
        flag.store(true, Ordering::Release);
        Self { flag, notifier }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.flag.store(false, Ordering::Release);
        self.notifier.set();
    }
}
