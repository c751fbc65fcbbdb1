//! Modbus as pure codecs and state machines, driven by (bytes, now).
//!
//! ```text
//! master:  line ── plan (what next) ── device (poll, setpoint) ── session (window 1) ── frame ── pdu
//! device:  sunspec, tables, layout, models, der │ map, table ──> channels (what is polled), actuator (what is commanded)
//! server:  frame ── pdu ── server (registers, write table, watchdogs)
//! ```
//!
//! No sockets, threads or clocks here: `reactor` owns those.
pub mod actuator;
pub mod audit;
pub mod channels;
pub mod control;
pub mod der;
pub mod device;
#[cfg(test)]
mod fake_device;
pub mod frame;
pub mod layout;
pub mod line;
pub mod map;
pub mod models;
pub mod number;
pub mod obedience;
pub mod pdu;
pub mod plan;
pub mod planning;
pub mod point;
pub mod reactive;
pub mod registers;
pub mod server;
pub mod session;
pub mod standing;
pub mod sunspec;
pub mod table;
pub mod tables;
pub mod writable;
