//! How a device is reached, as it stands in a configuration: Modbus/TCP, Modbus/TCP Security or a serial bus.
//!
//! ```text
//! host, port | host, port, tls | serial ──> Endpoint, Transport
//! ```
use std::collections::BTreeMap;

use super::config::{ModbusTlsConfig, SerialConfig};
use crate::error::CoreError;
use crate::modbus::endpoint::{Credentials, Endpoint};
use crate::modbus::rtu::{Format, Parity};
use crate::modbus::session::Transport;
use crate::site::within;

const BAUD: i64 = 9_600;
const BAUD_MAX: i64 = 4_000_000;

/// The fields of a message that say how a device is reached.
pub struct Link<'a> {
    pub host: &'a str,
    pub port: i64,
    pub serial: Option<&'a SerialConfig>,
    pub tls: Option<&'a ModbusTlsConfig>,
}

impl Link<'_> {
    /// Where it is and what carries the frames; at most `window_max` requests in flight where the link allows it.
    pub fn decode(&self, place: &str, window_max: u16) -> Result<(Endpoint, Transport), CoreError> {
        match self.serial {
            Some(config) => self.serial(&format!("{place}.serial"), config),
            None => self.tcp(place, window_max),
        }
    }

    fn tcp(&self, place: &str, window_max: u16) -> Result<(Endpoint, Transport), CoreError> {
        if self.host.is_empty() {
            let expected = "the name or address of a Modbus/TCP device, or serial";
            return Err(CoreError::site(format!("{place}.host"), "nothing", expected));
        }
        within(&format!("{place}.port"), self.port, 1, 65_535)?;
        let (host, port) = (self.host.to_owned(), u16::try_from(self.port).unwrap_or_default());
        let endpoint = match self.tls {
            Some(files) => {
                let credentials = credentials(&format!("{place}.tls"), self.host, files)?;
                Endpoint::Secure { host, port, credentials }
            }
            None => Endpoint::Tcp { host, port },
        };
        Ok((endpoint, Transport::Tcp { window_max }))
    }

    fn serial(&self, place: &str, config: &SerialConfig) -> Result<(Endpoint, Transport), CoreError> {
        if !self.host.is_empty() || self.tls.is_some() {
            return Err(CoreError::site(place, "a serial port beside a host or tls", "one of them"));
        }
        if config.path.is_empty() {
            return Err(CoreError::site(format!("{place}.path"), "nothing", "a device such as /dev/ttyUSB0"));
        }
        within(&format!("{place}.baud"), config.baud, 0, BAUD_MAX)?;
        within(&format!("{place}.stop_bits"), config.stop_bits, 0, 2)?;
        let parity = match config.parity.as_str() {
            "" | "even" => Parity::Even,
            "odd" => Parity::Odd,
            "none" => Parity::None,
            found => return Err(CoreError::site(format!("{place}.parity"), found, "even, odd or none")),
        };
        let or = |found: i64, default: i64| if found == 0 { default } else { found };
        let stop_bits = or(config.stop_bits, if parity == Parity::None { 2 } else { 1 });
        let format = Format {
            baud: u32::try_from(or(config.baud, BAUD)).unwrap_or_default(),
            parity,
            stop_bits: u8::try_from(stop_bits).unwrap_or(1),
        };
        Ok((Endpoint::Serial { path: config.path.clone(), format }, Transport::Rtu(format)))
    }
}

/// Refuses a serial port that is described in two ways.
pub fn check_ports<'a>(found: impl Iterator<Item = (String, &'a Endpoint)>) -> Result<(), CoreError> {
    let mut ports: BTreeMap<&str, (String, Format)> = BTreeMap::new();
    for (place, endpoint) in found {
        let Endpoint::Serial { path, format } = endpoint else { continue };
        match ports.get(path.as_str()) {
            Some((first, other)) if other != format => {
                let expected = format!("the baud, parity and stop bits of {first}: they share the bus");
                return Err(CoreError::site(format!("{place}.serial"), path, expected));
            }
            Some(_) => {}
            None => drop(ports.insert(path, (place, *format))),
        }
    }
    Ok(())
}

fn credentials(place: &str, host: &str, files: &ModbusTlsConfig) -> Result<Credentials, CoreError> {
    let named = [("certificate", &files.certificate), ("private_key", &files.private_key), ("ca", &files.ca)];
    for (field, path) in named {
        if path.is_empty() {
            return Err(CoreError::site(format!("{place}.{field}"), "nothing", "a PEM file"));
        }
    }
    let name = if files.server_name.is_empty() { host } else { &files.server_name };
    Ok(Credentials {
        certificate: files.certificate.clone(),
        private_key: files.private_key.clone(),
        ca: files.ca.clone(),
        server_name: name.to_owned(),
    })
}
