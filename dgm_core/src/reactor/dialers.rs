//! What the master needs to connect to devices with Modbus/TCP Security: their files, read again when they change.
//!
//! ```text
//! Credentials ── read once, and after a change of a file ──> Dialer ──> a session per connection
//! ```
//!
//! A renewed certificate is used from the next connection on; the one that stands is not disturbed. Files that cannot be
//! used any more leave the ones before in force.
use std::collections::BTreeMap;
use std::io;

use super::tls::Dialer;
use super::tls_files::{Stamp, TlsFiles};
use crate::modbus::endpoint::Credentials;

/// By line.
#[derive(Default)]
pub struct Dialers(BTreeMap<usize, (Stamp, Dialer)>);

impl Dialers {
    /// What connects to the device of a line.
    pub fn dialer(&mut self, line: usize, credentials: &Credentials) -> io::Result<&Dialer> {
        let stamp = files(credentials).stamp();
        if self.0.get(&line).is_none_or(|(known, _)| *known != stamp) {
            match load(credentials) {
                Ok(dialer) => drop(self.0.insert(line, (stamp, dialer))),
                Err(error) if !self.0.contains_key(&line) => return Err(error),
                Err(_) => {}
            }
        }
        self.0.get(&line).map(|(_, dialer)| dialer).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Reads the files; the error says which of them cannot be used and why.
pub fn load(credentials: &Credentials) -> io::Result<Dialer> {
    Dialer::load(&files(credentials), &credentials.server_name)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
}

fn files(credentials: &Credentials) -> TlsFiles {
    TlsFiles {
        certificate: (&credentials.certificate).into(),
        private_key: (&credentials.private_key).into(),
        ca: (&credentials.ca).into(),
    }
}
