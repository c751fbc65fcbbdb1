//! A facade: the image that Python publishes and clients read, where it listens, and what its clients do.
//!
//! ```text
//! client bytes ──> serving thread ──> Server (under a short lock) ──> bytes back
//!                                       ^ publish, declare (Python)      └── changes ──> eventfd ──> Python
//! ```
//!
//! The lock is held for a copy: by Python for what it publishes, by the thread for the answers to one piece of bytes.
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use mio::net::TcpListener;

use super::clients::{ClientRecord, ConnectionCounters};
use super::lock;
use super::notify::Notifier;
use super::tls::Acceptor;
use super::tls_files::{Stamp, TlsError, TlsFiles};
use crate::modbus::server::changes::UnitChange;
use crate::modbus::server::Server;

/// Clients that may wait to be admitted, as far as the system permits.
const BACKLOG: i32 = 1_024;

/// Shared between the serving thread and Python.
pub struct Facade {
    server: Mutex<Server>,
    /// Set when there are changes to take.
    pub notifier: Notifier,
    /// Of the connections.
    pub connections: ConnectionCounters,
    /// Whether it is being served.
    pub running: AtomicBool,
    clients: Mutex<BTreeMap<usize, Arc<ClientRecord>>>,
    security: Option<Security>,
}

/// Modbus/TCP Security of a facade.
struct Security {
    files: TlsFiles,
    /// What new clients get, and when its files were changed last.
    current: Mutex<(Acceptor, Stamp)>,
}

impl Facade {
    /// An image without registers, for the unit ids 1..=units, in plaintext.
    pub fn new(units: u8) -> io::Result<Self> {
        Ok(Self {
            server: Mutex::new(Server::new(units)),
            notifier: Notifier::new()?,
            connections: ConnectionCounters::default(),
            running: AtomicBool::new(false),
            clients: Mutex::default(),
            security: None,
        })
    }

    /// Serves with Modbus/TCP Security and nothing else; reads the files at once.
    pub fn secure(mut self, files: TlsFiles) -> Result<Self, TlsError> {
        // Before the files are read: what changes meanwhile is read again.
        let stamp = files.stamp();
        let current = Mutex::new((Acceptor::load(&files)?, stamp));
        self.security = Some(Security { files, current });
        Ok(self)
    }

    /// Whether clients must show a certificate.
    pub fn is_secure(&self) -> bool {
        self.security.is_some()
    }

    /// What a client that connects now is met with; `None`: plaintext.
    pub(super) fn acceptor(&self) -> Option<Acceptor> {
        self.security.as_ref().map(|security| lock(&security.current).0.clone())
    }

    /// Reads the files again if one has changed; whether it did. Connections that are open stay open; on an error the
    /// old certificates stay in use and the files are tried again at the next call.
    pub fn refresh_security(&self) -> Result<bool, TlsError> {
        let Some(security) = &self.security else { return Ok(false) };
        let stamp = security.files.stamp();
        if lock(&security.current).1 == stamp {
            return Ok(false);
        }
        let acceptor = Acceptor::load(&security.files)?;
        *lock(&security.current) = (acceptor, stamp);
        Ok(true)
    }

    /// The image, locked: hold it for a copy and no longer.
    pub fn server(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    /// The changes since the last call, in order; clears the notifier.
    pub fn take_changes(&self) -> VecDeque<UnitChange> {
        let mut server = self.server();
        self.notifier.clear();
        server.take_changes()
    }

    /// The clients that are connected now.
    pub fn clients(&self) -> Vec<Arc<ClientRecord>> {
        lock(&self.clients).values().cloned().collect()
    }

    pub(super) fn note_client(&self, token: usize, record: Arc<ClientRecord>) {
        lock(&self.clients).insert(token, record);
    }

    pub(super) fn forget_client(&self, token: usize) {
        lock(&self.clients).remove(&token);
    }
}

/// A bound listener, not yet answering.
pub struct Bound {
    pub(super) listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds at once; port 0 takes a free one.
    pub fn bind(host: &str, port: u16) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpListener::bind(address) {
                Ok(listener) => {
                    // All clients may come back at once: who finds the queue full waits for a second or three.
                    rustix::net::listen(&listener, BACKLOG)?;
                    return Ok(Self { address: listener.local_addr()?, listener });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A facade in the hands of the serving thread; it says that it runs until it does not, for whatever reason.
pub(super) struct Hosted {
    pub facade: Arc<Facade>,
    pub listener: TcpListener,
    /// Names it for as long as the process lives.
    pub key: usize,
    /// Clients connected now.
    pub open: usize,
}

impl Hosted {
    pub(super) fn new(key: usize, bound: Bound, facade: Arc<Facade>) -> Self {
        facade.running.store(true, Ordering::Release);
        Self { facade, listener: bound.listener, key, open: 0 }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.facade.running.store(false, Ordering::Release);
        self.facade.notifier.set();
    }
}
