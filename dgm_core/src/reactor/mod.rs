//! The only folder with sockets, threads and a clock: it moves bytes between them and the pure machines.
//!
//! ```text
//! polling: one thread ── sockets of all lines, wheel, alarm ── its tenant:
//!            field_thread: Field (tick) ── Published (seqlock, snapshot) ── eventfd ──> Python
//!            fleet_thread: Fleet (registers) ── Board (image, counters) ── eventfd ──> Python
//! serving: one thread ── clients of all facades ── Server ────── changes ──────────────────────── eventfd ──> Python
//! ```
//!
//! Neither thread takes the interpreter lock, and no lock that Python takes is held for longer than a copy.
pub mod audit_board;
pub mod board;
pub mod clients;
pub mod clock;
pub mod dialers;
pub mod field_thread;
pub mod fleet_thread;
pub mod line_troubles;
pub mod notify;
pub mod polling;
pub mod published;
pub mod recorder;
mod resolve;
pub mod seqlock;
pub mod serial;
pub mod serving;
mod serving_loop;
pub mod serving_thread;
pub mod socket;
pub mod survey_board;
mod timer;
pub mod tls;
pub mod tls_files;
mod wheel;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a thread that panicked inside has left whole values behind, as every critical section only moves them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
