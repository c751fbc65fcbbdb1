//! What must hold of the Modbus parsers and sessions whatever comes: driven by cargo-fuzz, or by `storm` without it.
pub mod master_rtu;
pub mod master_tcp;
pub mod mutate;
pub mod parsers;
pub mod server;
