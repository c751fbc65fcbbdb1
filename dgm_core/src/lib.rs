//! Field core of DGM.
//!
//! ```text
//! bytes, time ─> modbus (pure) ─> site image ─> arbiter (pure) ─> writes, grants
//!      reactor owns sockets and the one thread; wire owns protobuf; py owns the Python border
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]
// Pedantic lints are for what is shipped; tests may count bytes and cast as they like.
#![cfg_attr(test, allow(clippy::pedantic))]

pub mod arbiter;
pub mod error;
pub mod field;
pub mod fleet;
pub mod modbus;
pub mod reactor;
pub mod record;
pub mod replay;
pub mod site;
pub mod units;
pub mod wire;

#[cfg(feature = "python")]
mod py;

pub use error::CoreError;
