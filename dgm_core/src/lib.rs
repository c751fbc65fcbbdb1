//! Field core of DGM.
//!
//! ```text
//! bytes, time ─> modbus (pure) ─> site image ─> arbiter (pure) ─> writes, grants
//!      reactor owns sockets and the one thread; wire owns protobuf; py owns the Python border
//! ```
pub mod wire;
