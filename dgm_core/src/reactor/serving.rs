//! The facade thread: a listener and its clients, answered from the one server image.
//!
//! ```text
//! client bytes ──> Connection ──> Server (under a short lock) ──> bytes back
//!                                   ^ publish, define (Python)      └── changes ──> eventfd ──> Python
//! ```
//!
//! A client that drips bytes, sends garbage or does not take its answers is closed in bounded time; the others do not
//! notice. Watchdogs expire here, whether Python lives or not.
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::clock;
use super::notify::Notifier;
use super::socket::{Received, Socket, CHUNK};
use super::{lock, Running};
use crate::modbus::server::{Connection, Server, UnitChange};
use crate::units::Millis;

const WAKE: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);
const EVENTS_MAX: usize = 256;
/// Most clients at once; then one that never said anything, or the one silent for longest, makes room.
pub const CLIENTS_MAX: usize = 512;
/// Chunks answered to one client before the others get their turn.
const CHUNKS_MAX: usize = 4;
/// Clients admitted before those that are there get their turn.
const ACCEPTS_MAX: usize = 32;
/// Longest time a client may leave its answers untaken.
const BLOCKED: Millis = Millis::new(5_000);

/// What happened to connections since start.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Accepted.
    pub accepted: AtomicI64,
    /// Open now.
    pub open: AtomicI64,
    /// Closed for silence, dripping or not taking answers.
    pub timed_out: AtomicI64,
    /// Closed to make room.
    pub evicted: AtomicI64,
}

/// Shared between the facade thread and Python.
pub struct Facade {
    server: Mutex<Server>,
    /// Set when there are changes to take.
    pub notifier: Notifier,
    /// Of the connections.
    pub connections: ConnectionCounters,
    /// Whether the thread is running.
    pub running: AtomicBool,
    stop: AtomicBool,
}

impl Facade {
    /// An image without registers, for the unit ids 1..=units.
    pub fn new(units: u8) -> io::Result<Self> {
        Ok(Self {
            server: Mutex::new(Server::new(units)),
            notifier: Notifier::new()?,
            connections: ConnectionCounters::default(),
            running: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        })
    }

    /// The image, locked: hold it for a copy and no longer.
    pub fn server(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    /// The changes since the last call, in order; clears the notifier.
    pub fn take_changes(&self) -> Vec<UnitChange> {
        let mut server = self.server();
        self.notifier.clear();
        server.take_changes()
    }
}

/// A bound listener, not yet answering.
pub struct Bound {
    listener: StdListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds at once; port 0 takes a free one.
    pub fn bind(host: &str, port: u16) -> io::Result<Self> {
        let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
        let listener = StdListener::bind(addresses.as_slice())?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The running facade thread.
pub struct FacadeThread {
    handle: JoinHandle<()>,
    waker: Waker,
    facade: Arc<Facade>,
}

impl FacadeThread {
    /// Starts to answer.
    pub fn start(bound: Bound, facade: Arc<Facade>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mut listener = TcpListener::from_std(bound.listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut serving = Serving {
            facade: Arc::clone(&facade),
            poll,
            listener,
            clients: BTreeMap::new(),
            next_token: 0,
            is_knocked: false,
            chunk: Box::new([0; CHUNK]),
        };
        let handle = std::thread::Builder::new().name("dgm-facade".to_owned()).spawn(move || serving.run())?;
        Ok(Self { handle, waker, facade })
    }

    /// Closes all connections, ends the thread and waits for it.
    pub fn stop(self) -> io::Result<()> {
        self.facade.stop.store(true, Ordering::Release);
        self.waker.wake()?;
        self.handle.join().map_err(|_| io::Error::other("the facade thread had panicked"))
    }
}

struct Client {
    socket: Socket,
    connection: Connection,
    /// There may be bytes that were not read yet.
    is_readable: bool,
    blocked_since: Option<Millis>,
}

impl Client {
    fn deadline(&self) -> Millis {
        let silent = self.connection.deadline();
        self.blocked_since.map_or(silent, |since| silent.min(since + BLOCKED))
    }

    fn wants_turn(&self) -> bool {
        self.is_readable && !self.socket.is_blocked()
    }
}

struct Serving {
    facade: Arc<Facade>,
    poll: Poll,
    listener: TcpListener,
    clients: BTreeMap<usize, Client>,
    next_token: usize,
    /// Clients may be waiting to be admitted.
    is_knocked: bool,
    chunk: Box<[u8; CHUNK]>,
}

impl Serving {
    fn run(&mut self) {
        let facade = Arc::clone(&self.facade);
        let _running = Running::new(&facade.running, &facade.notifier);
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.facade.stop.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, Some(self.pause())) {
                Err(error) if error.kind() != ErrorKind::Interrupted => break,
                _ => {}
            }
            let now = clock::now();
            for event in &events {
                match event.token() {
                    WAKE => {}
                    LISTENER => self.is_knocked = true,
                    Token(token) => self.mark_ready(token),
                }
            }
            if self.is_knocked {
                self.accept(now);
            }
            self.take_turns(now);
            self.close_late(now);
            self.expire(now);
        }
    }

    /// Nothing, if a client has more to be read; else until the next deadline.
    fn pause(&self) -> Duration {
        if self.is_knocked || self.clients.values().any(Client::wants_turn) {
            return Duration::ZERO;
        }
        let deadlines = self.clients.values().map(Client::deadline);
        let next = deadlines.chain(self.facade.server().next_expiry()).min();
        let pause = next.map_or(Millis::new(60_000), |next| next - clock::now());
        Duration::from_millis(u64::try_from(pause.get()).unwrap_or(0))
    }

    fn accept(&mut self, now: Millis) {
        for _ in 0..ACCEPTS_MAX {
            // WouldBlock ends it; so does a lack of descriptors, until the next client knocks.
            let Ok((stream, _)) = self.listener.accept() else {
                self.is_knocked = false;
                return;
            };
            self.make_room();
            self.admit(stream, now);
        }
    }

    fn admit(&mut self, stream: TcpStream, now: Millis) {
        let token = self.next_token;
        // A token is never used twice, so an old event cannot be taken for a new client's.
        self.next_token += 1;
        if let Ok(socket) = Socket::accepted(stream, self.poll.registry(), Token(token)) {
            let connection = Connection::new(now);
            self.clients.insert(token, Client { socket, connection, is_readable: true, blocked_since: None });
            self.facade.connections.accepted.fetch_add(1, Ordering::Relaxed);
            self.count_open();
        }
    }

    fn make_room(&mut self) {
        if self.clients.len() < CLIENTS_MAX {
            return;
        }
        let worth = |client: &Client| (client.connection.has_spoken(), client.connection.deadline());
        let silent = self.clients.iter().min_by_key(|(_, client)| worth(client));
        if let Some(token) = silent.map(|(token, _)| *token) {
            self.facade.connections.evicted.fetch_add(1, Ordering::Relaxed);
            self.close(token);
        }
    }

    fn mark_ready(&mut self, token: usize) {
        if let Some(client) = self.clients.get_mut(&token) {
            client.is_readable = true;
        }
    }

    fn take_turns(&mut self, now: Millis) {
        let ready: Vec<usize> =
            self.clients.iter().filter(|(_, client)| client.is_readable).map(|(token, _)| *token).collect();
        for token in ready {
            if self.answer(token, now).is_err() {
                self.close(token);
            }
        }
    }

    /// Answers what a client has sent, up to its share; an error ends the connection.
    fn answer(&mut self, token: usize, now: Millis) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&token) else { return Ok(()) };
        client.socket.flush()?;
        for _ in 0..CHUNKS_MAX {
            if client.socket.is_blocked() {
                break;
            }
            let count = match client.socket.receive(&mut self.chunk) {
                Received::Bytes(count) => count,
                Received::End => return Err(ErrorKind::UnexpectedEof.into()),
                Received::Nothing => {
                    client.is_readable = false;
                    break;
                }
            };
            let mut server = lock(&self.facade.server);
            let output = client.connection.receive(self.chunk.get(..count).unwrap_or_default(), &mut server, now);
            let has_changes = server.has_changes();
            drop(server);
            if has_changes {
                self.facade.notifier.set();
            }
            client.socket.send(&output.bytes)?;
            if output.close {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        let blocked = client.socket.is_blocked();
        client.blocked_since = blocked.then(|| client.blocked_since.unwrap_or(now));
        Ok(())
    }

    fn close_late(&mut self, now: Millis) {
        let late: Vec<usize> =
            self.clients.iter().filter(|(_, client)| client.deadline() <= now).map(|(token, _)| *token).collect();
        for token in late {
            self.facade.connections.timed_out.fetch_add(1, Ordering::Relaxed);
            self.close(token);
        }
    }

    fn close(&mut self, token: usize) {
        self.clients.remove(&token);
        self.count_open();
    }

    fn count_open(&self) {
        let open = i64::try_from(self.clients.len()).unwrap_or(i64::MAX);
        self.facade.connections.open.store(open, Ordering::Relaxed);
    }

    fn expire(&mut self, now: Millis) {
        let mut server = self.facade.server();
        if server.next_expiry().is_some_and(|next| next <= now) {
            server.expire(now);
            drop(server);
            self.facade.notifier.set();
        }
    }
}
