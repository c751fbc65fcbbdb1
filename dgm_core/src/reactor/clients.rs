//! The clients of all facades of the process: who they are, when they are late, which of them makes room.
//!
//! ```text
//! token = generation << 20 | slot: an old event is never taken for a new client's
//! ```
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::socket::Socket;
use super::tls::TlsFailure;
use crate::modbus::server::connection::Connection;
use crate::modbus::server::party::Party;
use crate::units::Millis;

const SLOT_BITS: u32 = 20;
const GENERATION_BITS: u32 = 30;

/// Longest time a client may leave its answers untaken.
pub const BLOCKED: Millis = Millis::new(5_000);
/// Longest time for a TLS handshake.
pub const HANDSHAKE: Millis = Millis::new(5_000);

/// What happened to the connections of a facade since start.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Accepted.
    pub accepted: AtomicU64,
    /// Open now.
    pub open: AtomicU64,
    /// Closed for silence.
    pub idle: AtomicU64,
    /// Closed for part of a frame whose rest did not come.
    pub partial: AtomicU64,
    /// Closed for not taking answers.
    pub blocked: AtomicU64,
    /// Closed for a TLS handshake that did not end.
    pub handshake: AtomicU64,
    /// Closed to make room.
    pub evicted: AtomicU64,
    /// Not accepted for want of descriptors or memory.
    pub refused: AtomicU64,
    /// TLS handshakes that succeeded.
    pub secured: AtomicU64,
    /// Certificates whose role extension was not one role; their owners have none.
    pub bad_roles: AtomicU64,
    /// TLS connections that failed, in the order of `TlsFailure::ALL`.
    pub tls_failures: [AtomicU64; TlsFailure::ALL.len()],
}

impl ConnectionCounters {
    pub(super) fn tls_failed(&self, failure: TlsFailure) {
        let counters = TlsFailure::ALL.iter().zip(&self.tls_failures);
        counters.filter(|(cause, _)| **cause == failure).for_each(|(_, counter)| count(counter));
    }

    /// Each count and the name under which it is told.
    pub fn named(&self) -> Vec<(String, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let late = [&self.idle, &self.partial, &self.blocked, &self.handshake];
        let mut named: Vec<(String, u64)> = [
            ("connections", &self.open),
            ("connections_total", &self.accepted),
            ("connections_idle_total", &self.idle),
            ("connections_partial_total", &self.partial),
            ("connections_blocked_total", &self.blocked),
            ("connections_handshake_timed_out_total", &self.handshake),
            ("connections_evicted_total", &self.evicted),
            ("connections_refused_total", &self.refused),
            ("tls_handshakes_total", &self.secured),
            ("tls_bad_roles_total", &self.bad_roles),
        ]
        .map(|(name, counter)| (name.to_owned(), read(counter)))
        .to_vec();
        named.push(("connections_timed_out_total".to_owned(), late.into_iter().map(read).sum()));
        let failures = TlsFailure::ALL.iter().zip(&self.tls_failures);
        named.extend(failures.map(|(cause, counter)| (format!("tls_failed_{}_total", cause.name()), read(counter))));
        named
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What is told of a client while it is connected. Only the serving thread writes it.
#[derive(Debug)]
pub struct ClientRecord {
    /// Address and port.
    pub peer: String,
    /// When it connected.
    pub since: Millis,
    /// Who it proved to be; empty without Modbus/TCP Security or before the handshake has ended.
    pub party: OnceLock<Arc<Party>>,
    /// When it last asked something.
    pub asked_at: AtomicI64,
    /// Requests answered, exceptions included.
    pub requests: AtomicU64,
    /// Exceptions among them.
    pub exceptions: AtomicU64,
}

/// One client connection.
pub(super) struct Client {
    pub socket: Socket,
    pub connection: Connection,
    pub record: Arc<ClientRecord>,
    /// Key of its facade.
    pub facade: usize,
    pub host: u128,
    /// Waits for its turn.
    pub is_queued: bool,
    /// The peer has said that nothing more comes: read until the end.
    pub is_ending: bool,
    /// A TLS handshake has to be over by then.
    pub handshake_until: Option<Millis>,
    pub blocked_since: Option<Millis>,
}

/// Why a client is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Idle,
    Partial,
    Blocked,
    Handshake,
}

impl Client {
    pub(super) fn deadline(&self) -> Millis {
        let blocked = self.blocked_since.map(|since| since + BLOCKED);
        [blocked, self.handshake_until].into_iter().flatten().fold(self.connection.deadline(), Millis::min)
    }

    pub(super) fn late(&self) -> Late {
        match self {
            Self { blocked_since: Some(_), .. } => Late::Blocked,
            Self { handshake_until: Some(_), .. } => Late::Handshake,
            _ if self.connection.is_partial() => Late::Partial,
            _ => Late::Idle,
        }
    }

    /// Tells the record what was asked.
    pub(super) fn note(&self, now: Millis) {
        let tally = self.connection.tally();
        self.record.requests.store(tally.requests, Ordering::Relaxed);
        self.record.exceptions.store(tally.exceptions, Ordering::Relaxed);
        self.record.asked_at.store(now.get(), Ordering::Relaxed);
    }
}

/// All clients, found by token without a search.
#[derive(Default)]
pub(super) struct Clients {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Slot {
    generation: usize,
    client: Option<Client>,
}

impl Clients {
    /// The token of the client that is inserted next.
    pub(super) fn next_token(&mut self) -> usize {
        if self.free.is_empty() {
            self.free.push(self.slots.len());
            self.slots.push(Slot::default());
        }
        let slot = self.free.last().copied().unwrap_or_default();
        let generation = self.slots.get(slot).map_or(0, |slot| slot.generation);
        generation << SLOT_BITS | slot
    }

    /// Takes a client in under the token that was announced.
    pub(super) fn insert(&mut self, client: Client) {
        let slot = self.free.pop().and_then(|slot| self.slots.get_mut(slot));
        if let Some(slot) = slot {
            slot.client = Some(client);
        }
    }

    pub(super) fn get_mut(&mut self, token: usize) -> Option<&mut Client> {
        self.slot_mut(token)?.client.as_mut()
    }

    fn slot_mut(&mut self, token: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(token & ((1 << SLOT_BITS) - 1))?;
        (slot.generation == token >> SLOT_BITS).then_some(slot)
    }

    pub(super) fn remove(&mut self, token: usize) -> Option<Client> {
        let slot = self.slot_mut(token)?;
        let client = slot.client.take()?;
        slot.generation = (slot.generation + 1) & ((1 << GENERATION_BITS) - 1);
        self.free.push(token & ((1 << SLOT_BITS) - 1));
        Some(client)
    }

    /// Every client and its token.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            slot.client.as_ref().map(|client| (slot.generation << SLOT_BITS | index, client))
        })
    }

    /// Who makes room in a facade: of the host with most connections, one that never said anything, or else the one that
    /// is silent for longest.
    pub(super) fn dispensable(&self, facade: usize) -> Option<usize> {
        let own = || self.iter().filter(|(_, client)| client.facade == facade);
        let mut per_host: BTreeMap<u128, usize> = BTreeMap::new();
        own().for_each(|(_, client)| *per_host.entry(client.host).or_default() += 1);
        let crowd = |client: &Client| per_host.get(&client.host).copied().unwrap_or_default();
        let worth = |client: &Client| {
            (std::cmp::Reverse(crowd(client)), client.connection.has_spoken(), client.connection.deadline())
        };
        own().min_by_key(|(_, client)| worth(client)).map(|(token, _)| token)
    }
}

/// Who connected, before it proved anything.
pub(super) fn stranger(address: SocketAddr) -> Party {
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    Party { name: address.to_string(), host, role: None }
}

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
