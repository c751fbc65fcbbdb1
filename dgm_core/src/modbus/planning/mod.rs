//! What a line reads, in how many transactions, and whose turn it is.
//!
//! ```text
//! needs ──┐                                           ┌─ writes, one-shot reads
//! cost ───┼─> reads::plan ─> planned reads ─> schedule ┴─> Turn: the next transaction
//! holes ──┘        ^                             │
//!                  └── replan <── estimate ── what it took
//! ```
//!
//! Pure: no sockets, no clock, no frames. `admission` asks before start whether all of it can hold; `line` owns one
//! schedule and carries out what it says.
pub mod admission;
pub mod bisect;
pub mod cost;
mod cover;
pub mod demand;
pub mod estimate;
pub mod holes;
mod queue;
pub mod reads;
pub mod schedule;
pub mod share;
pub mod slots;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod virtual_line;
