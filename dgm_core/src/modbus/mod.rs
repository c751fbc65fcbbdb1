//! Modbus as pure codecs and state machines, driven by (bytes, now).
//!
//! ```text
//! master:  line ─┬─ devices (seat, plan, uses, device, ..) ──┬─ session ── frame or rtu ── pdu
//!                └─ polled (registers: beat, breaker, image) ─┘
//! device:  sunspec, tables, layout, models, der │ map, table ──> channels (what is polled), actuator (what is commanded)
//!          survey (a model read because somebody asks) ── amend (its grid-code settings changed)
//! server:  frame ── pdu ── server (registers, write table, watchdogs)
//! ```
//!
//! No sockets, threads or clocks here: `reactor` owns those.
pub mod actuator;
pub mod amend;
pub mod audit;
pub mod beat;
pub mod breaker;
#[cfg(test)]
mod bus_world;
pub mod channels;
pub mod control;
pub mod der;
pub mod device;
pub mod devices;
pub mod endpoint;
#[cfg(test)]
mod fake_device;
#[cfg(test)]
pub(crate) mod fake_slave;
pub mod frame;
pub mod image;
pub mod layout;
pub mod learnt;
pub mod life;
pub mod line;
pub mod map;
pub mod mapped;
pub mod models;
pub mod number;
pub mod obedience;
pub mod occupancy;
pub mod pdu;
pub mod plan;
pub mod planning;
pub mod point;
pub mod polled;
pub mod role;
pub mod rtu;
mod seat;
pub mod server;
pub mod session;
pub mod standing;
pub mod sunspec;
pub mod survey;
pub mod table;
pub mod tables;
pub mod tally;
pub mod uses;
