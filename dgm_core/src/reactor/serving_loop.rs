//! The rounds of the serving thread: one epoll, then a turn for every client that has said something.
//!
//! ```text
//! epoll ── events ──> ready queue ── one piece of bytes each ──> answers, one write each ──> queue again if more waits
//!   └── listeners ──> admit      └── deadlines, leases of all facades, orders from other threads
//! ```
//!
//! A client that drips bytes, sends garbage or does not take its answers is closed in bounded time; the others do not
//! notice. Leases end here, whether Python lives or not.
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::clients::{count, stranger, Client, ClientRecord, Clients, Late, HANDSHAKE};
use super::clock;
use super::serving::Hosted;
use super::serving_thread::{Mailbox, Order};
use super::socket::{Received, Socket};
use super::timer::Alarm;
use crate::modbus::role::role;
use crate::modbus::server::connection::{Connection, Verdict};
use crate::modbus::server::party::Party;
use crate::units::Millis;

pub(super) const WAKE: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Set in the tokens of listeners; the rest is the key of the facade.
const LISTENER: usize = 1 << 60;
const EVENTS_MAX: usize = 256;
/// Most clients of a facade at once; then one of them makes room.
pub const CLIENTS_MAX: usize = 512;
/// Clients admitted to a facade before those that are there get their turn.
const ACCEPTS_MAX: usize = 32;
/// Bytes of one turn: 170 requests for 125 registers, answered in some 10 us.
const TURN: usize = 2_048;
/// How exactly connections are closed for being late; saves looking at all of them in every round.
const LATENESS: Millis = Millis::new(10);
/// Pause after the system had no descriptor for a client.
const BREATHER: Millis = Millis::new(100);
/// Longest wait without any deadline.
const REST: Millis = Millis::new(60_000);

/// What the thread works on.
pub(super) struct Serving {
    poll: Poll,
    alarm: Alarm,
    mailbox: Arc<Mailbox>,
    hosted: Vec<Hosted>,
    clients: Clients,
    ready: VecDeque<usize>,
    /// Facades at which clients wait to be admitted.
    knocked: VecDeque<usize>,
    /// No client is late before.
    check_at: Millis,
    /// When to try again to admit.
    knock_again_at: Option<Millis>,
    piece: Box<[u8; TURN]>,
    answers: Vec<u8>,
}

impl Serving {
    pub(super) fn new(poll: Poll, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        Ok(Self {
            alarm: Alarm::new(poll.registry(), ALARM)?,
            poll,
            mailbox,
            hosted: Vec::new(),
            clients: Clients::default(),
            ready: VecDeque::new(),
            knocked: VecDeque::new(),
            check_at: clock::now() + REST,
            knock_again_at: None,
            piece: Box::new([0; TURN]),
            answers: Vec::new(),
        })
    }

    /// Serves until the order to end comes.
    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while self.wait(&mut events).is_ok() {
            let now = clock::micros();
            self.alarm.passed(now);
            let now = now.to_millis();
            for event in &events {
                match event.token() {
                    ALARM => {}
                    WAKE => {
                        if !self.carry_out_orders(now) {
                            return;
                        }
                    }
                    Token(token) if token & LISTENER != 0 => self.knocked.push_back(token & !LISTENER),
                    Token(token) => self.mark_ready(token, event.is_read_closed() || event.is_error()),
                }
            }
            self.admit_knocking(now);
            self.take_turns(now);
            if self.check_at <= now {
                self.close_late(now);
            }
        }
    }

    /// Ends leases that are due, then waits until something happens or is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now = clock::now();
        let leases = self.hosted.iter().filter_map(|hosted| end_leases(hosted, now)).min();
        let is_busy = !self.ready.is_empty() || !self.knocked.is_empty();
        if !is_busy {
            let next = [leases, self.knock_again_at].into_iter().flatten().fold(self.check_at, Millis::min);
            // An alarm costs nothing while it stands; a time limit of the wait would be set up and torn down every time.
            self.alarm.no_later_than(next.into())?;
        }
        match self.poll.poll(events, is_busy.then_some(Duration::ZERO)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// False: the order to end has come.
    fn carry_out_orders(&mut self, now: Millis) -> bool {
        for order in self.mailbox.take() {
            match order {
                Order::Serve(hosted) => self.host(hosted, now),
                Order::Withdraw { key, done } => {
                    self.withdraw(key);
                    // Whoever asked may have given up waiting.
                    let _ = done.send(());
                }
                Order::End => return false,
            }
        }
        true
    }

    fn host(&mut self, mut hosted: Hosted, now: Millis) {
        let token = Token(LISTENER | hosted.key);
        // A listener that cannot be waited for is dropped with its facade, which then says that it does not run.
        if self.poll.registry().register(&mut hosted.listener, token, Interest::READABLE).is_ok() {
            self.knocked.push_back(hosted.key);
            self.hosted.push(hosted);
            self.admit_knocking(now);
        }
    }

    fn withdraw(&mut self, key: usize) {
        let own: Vec<usize> =
            self.clients.iter().filter(|(_, client)| client.facade == key).map(|(token, _)| token).collect();
        own.into_iter().for_each(|token| self.close(token));
        self.hosted.retain(|hosted| hosted.key != key);
    }

    fn admit_knocking(&mut self, now: Millis) {
        if self.knock_again_at.is_some_and(|at| at <= now) {
            self.knock_again_at = None;
            self.knocked.extend(self.hosted.iter().map(|hosted| hosted.key));
        }
        for _ in 0..self.knocked.len() {
            let Some(key) = self.knocked.pop_front() else { return };
            if self.admit_some(key, now) {
                self.knocked.push_back(key);
            }
        }
    }

    /// Whether more may be waiting at this facade.
    fn admit_some(&mut self, key: usize, now: Millis) -> bool {
        for _ in 0..ACCEPTS_MAX {
            let Some(index) = self.hosted.iter().position(|hosted| hosted.key == key) else { return false };
            match self.hosted.get(index).map(|hosted| hosted.listener.accept()) {
                Some(Ok((stream, address))) => self.admit(index, stream, address, now),
                Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => return false,
                Some(Err(error)) if error.kind() == ErrorKind::ConnectionAborted => {}
                _ => {
                    self.hosted.get(index).inspect(|hosted| count(&hosted.facade.connections.refused));
                    self.knock_again_at = Some(now + BREATHER);
                    return false;
                }
            }
        }
        true
    }

    fn admit(&mut self, index: usize, stream: TcpStream, address: SocketAddr, now: Millis) {
        if let Some(hosted) = self.hosted.get(index).filter(|hosted| hosted.open >= CLIENTS_MAX) {
            count(&hosted.facade.connections.evicted);
            if let Some(token) = self.clients.dispensable(hosted.key) {
                self.close(token);
            }
        }
        let Some(hosted) = self.hosted.get_mut(index) else { return };
        let (token, acceptor) = (self.clients.next_token(), hosted.facade.acceptor());
        let Ok(socket) = Socket::accepted(stream, self.poll.registry(), Token(token), acceptor.as_ref()) else {
            return count(&hosted.facade.connections.refused);
        };
        let party = stranger(address);
        let record = Arc::new(ClientRecord {
            peer: party.name.clone(),
            since: now,
            party: OnceLock::new(),
            asked_at: AtomicI64::new(now.get()),
            requests: AtomicU64::new(0),
            exceptions: AtomicU64::new(0),
        });
        hosted.facade.note_client(token, Arc::clone(&record));
        count(&hosted.facade.connections.accepted);
        hosted.open += 1;
        hosted.facade.connections.open.fetch_add(1, Ordering::Relaxed);
        let client = Client {
            socket,
            host: party.host,
            connection: Connection::new(Arc::new(party), now),
            record,
            facade: hosted.key,
            is_queued: true,
            is_ending: false,
            handshake_until: acceptor.map(|_| now + HANDSHAKE),
            blocked_since: None,
        };
        self.check_at = self.check_at.min(client.deadline());
        self.clients.insert(client);
        self.ready.push_back(token);
    }

    fn mark_ready(&mut self, token: usize, is_ending: bool) {
        if let Some(client) = self.clients.get_mut(token) {
            client.is_ending |= is_ending;
            if !client.is_queued {
                client.is_queued = true;
                self.ready.push_back(token);
            }
        }
    }

    /// One turn for each client that was ready; who has more to say waits behind the others.
    fn take_turns(&mut self, now: Millis) {
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else { return };
            let Some(client) = self.clients.get_mut(token) else { continue };
            client.is_queued = false;
            let Some(hosted) = self.hosted.iter().find(|hosted| hosted.key == client.facade) else { continue };
            match turn(client, hosted, &mut self.piece, &mut self.answers, now) {
                Ok(has_more) => {
                    client.is_queued = has_more;
                    if has_more {
                        self.ready.push_back(token);
                    }
                    self.check_at = self.check_at.min(client.deadline());
                }
                Err(_) => {
                    let failure = client.socket.session().and_then(|session| session.failure());
                    failure.inspect(|failure| hosted.facade.connections.tls_failed(*failure));
                    self.close(token);
                }
            }
        }
    }

    fn close_late(&mut self, now: Millis) {
        let late: Vec<usize> =
            self.clients.iter().filter(|(_, client)| client.deadline() <= now).map(|(token, _)| token).collect();
        for token in late {
            let Some(client) = self.clients.get_mut(token) else { continue };
            if let Some(hosted) = self.hosted.iter().find(|hosted| hosted.key == client.facade) {
                let connections = &hosted.facade.connections;
                count(match client.late() {
                    Late::Idle => &connections.idle,
                    Late::Partial => &connections.partial,
                    Late::Blocked => &connections.blocked,
                    Late::Handshake => &connections.handshake,
                });
            }
            self.close(token);
        }
        let next = self.clients.iter().map(|(_, client)| client.deadline()).min();
        self.check_at = next.unwrap_or(now + REST).max(now + LATENESS);
    }

    fn close(&mut self, token: usize) {
        let Some(client) = self.clients.remove(token) else { return };
        if let Some(hosted) = self.hosted.iter_mut().find(|hosted| hosted.key == client.facade) {
            hosted.open = hosted.open.saturating_sub(1);
            hosted.facade.connections.open.fetch_sub(1, Ordering::Relaxed);
            hosted.facade.forget_client(token);
        }
    }
}

/// Returns what is due to its fallback; when the next lease ends.
fn end_leases(hosted: &Hosted, now: Millis) -> Option<Millis> {
    let mut server = hosted.facade.server();
    if server.next_expiry().is_some_and(|next| next <= now) {
        server.expire(now);
        tell(hosted, server.waiting_changes());
    }
    server.next_expiry()
}

fn tell(hosted: &Hosted, waiting: usize) {
    if waiting > 0 {
        hosted.facade.notifier.set();
    }
}

/// Answers one piece of what a client has sent; whether it has more. An error ends the connection.
fn turn(
    client: &mut Client,
    hosted: &Hosted,
    piece: &mut [u8; TURN],
    answers: &mut Vec<u8>,
    now: Millis,
) -> io::Result<bool> {
    if client.socket.is_blocked() {
        client.socket.flush()?;
        if client.socket.is_blocked() {
            client.blocked_since.get_or_insert(now);
            return Ok(false);
        }
    }
    client.blocked_since = None;
    let count = match client.socket.receive(piece) {
        Received::Bytes(count) => count,
        Received::Nothing => {
            note_session(client, hosted, now);
            return Ok(false);
        }
        Received::End => return Err(ErrorKind::UnexpectedEof.into()),
    };
    note_session(client, hosted, now);
    answers.clear();
    let mut server = hosted.facade.server();
    let waiting = server.waiting_changes();
    let verdict = client.connection.receive(piece.get(..count).unwrap_or_default(), &mut server, now, answers);
    if server.waiting_changes() != waiting {
        tell(hosted, server.waiting_changes());
    }
    drop(server);
    client.note(now);
    client.socket.send(answers)?;
    if verdict == Verdict::Close {
        return Err(ErrorKind::InvalidData.into());
    }
    if client.socket.is_blocked() {
        client.blocked_since = Some(now);
        return Ok(false);
    }
    Ok(count == TURN || client.is_ending)
}

/// What the TLS session says of the client: that it has proved who it is, or that it drips.
fn note_session(client: &mut Client, hosted: &Hosted, now: Millis) {
    let Some(session) = client.socket.session() else { return };
    if session.is_established() && client.handshake_until.take().is_some() {
        let counters = &hosted.facade.connections;
        count(&counters.secured);
        let found = session.peer_certificate().map_or(Ok(None), role);
        let role = found.inspect_err(|_| count(&counters.bad_roles)).unwrap_or_default();
        let party = Arc::new(Party { role, ..Party::clone(client.connection.party()) });
        // It is set once, here.
        let _ = client.record.party.set(Arc::clone(&party));
        client.connection.identify(party);
    }
    if session.is_established() && session.is_dripping() {
        client.connection.dripped(now);
    }
}
