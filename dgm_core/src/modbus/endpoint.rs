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
    /// Modbus/TCP Security: TLS, both ends with a certificate.
    Secure {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Our certificate and whom we trust.
        credentials: Credentials,
    },
    /// Modbus RTU on a serial port.
    Serial {
        /// Path of the device.
        path: String,
        /// Baud rate, parity and stop bits.
        format: Format,
    },
}

/// The files of our end, PEM, and the name that the device's certificate must bear.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credentials {
    /// Chain, own certificate first.
    pub certificate: String,
    /// Its private key.
    pub private_key: String,
    /// Certificates of those who may have signed the device's.
    pub ca: String,
    /// Name or address.
    pub server_name: String,
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Secure { host, port, .. } => write!(f, "{host}:{port} (TLS)"),
            Self::Serial { path, format } => write!(f, "{path} at {} baud", format.baud),
        }
    }
}
