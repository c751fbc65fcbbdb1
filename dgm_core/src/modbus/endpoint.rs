//! Where a line is reached: one connection or port, whatever the number of units behind it.
use std::fmt::{self, Display, Formatter};

use super::rtu::Format;

/// How a line is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Modbus/TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Modbus RTU on a serial port.
    Serial {
        /// Path of the device.
        path: String,
        /// Baud rate, parity and stop bits.
        format: Format,
    },
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Serial { path, format } => write!(f, "{path} at {} baud", format.baud),
        }
    }
}
