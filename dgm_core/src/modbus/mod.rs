//! Modbus as pure codecs and state machines, driven by (bytes, now).
//!
//! ```text
//! master:  line ── plan (what next) ── device (SunSpec poll, setpoint) ── session (window 1) ── frame ── pdu
//! server:  frame ── pdu ── server (registers, write table, watchdogs)
//! ```
//!
//! No sockets, threads or clocks here: `reactor` owns those.
pub mod control;
pub mod device;
#[cfg(test)]
mod fake_device;
#[cfg(test)]
pub(crate) mod fake_slave;
pub mod frame;
pub mod line;
pub mod models;
pub mod pdu;
pub mod plan;
pub mod point;
pub mod role;
pub mod rtu;
pub mod server;
pub mod session;
pub mod standing;
pub mod sunspec;
