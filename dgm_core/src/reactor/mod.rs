//! The only folder with sockets, threads and a clock: it moves bytes between them and the pure machines.
//!
//! ```text
//! polling: one thread ── sockets of all lines ── Field (tick) ── Published (seqlock, snapshot) ── eventfd ──> Python
//! serving: one thread ── clients of all facades ── Server ────── changes ─────────────────────── eventfd ──> Python
//! ```
//!
//! Neither thread takes the interpreter lock, and no lock that Python takes is held for longer than a copy.
pub mod clients;
pub mod clock;
pub mod notify;
pub mod polling;
pub mod published;
mod resolve;
pub mod seqlock;
pub mod serial;
pub mod serving;
mod serving_loop;
pub mod serving_thread;
pub mod socket;
mod timer;
pub mod tls;
pub mod tls_files;

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
