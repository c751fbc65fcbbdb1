//! The master's thread: the sockets of all lines, one epoll, one alarm, and what its tenant does between them.
//!
//! ```text
//! epoll ── readable, writable ──> line ──> bytes to send, connect, close
//!   alarm ── wheel: line due ──────^   ── tenant due ──> turn ──> lines it touched
//! ```
//!
//! It decides nothing and never looks at lines that have nothing to do. When it stops it writes nothing more: devices
//! fall back by their own revert timers.
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::clock;
use super::dialers::Dialers;
use super::resolve::{Lookup, Resolver};
use super::serial::PortConfig;
use super::socket::{Received, Socket, CHUNK};
use super::timer::Alarm;
use super::wheel::Wheel;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::line::LineEvent;
use crate::modbus::session::LinkCommand;
use crate::units::Micros;

const WAKE: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// Chunks read from one device at once: with few requests in flight nobody has more to say.
const CHUNKS_MAX: usize = 16;

/// What the thread works for: lines that take bytes and time, and work of its own in between.
pub trait Tenant: Send + 'static {
    /// How a line is reached; `None` past the last one.
    fn endpoint(&self, line: usize) -> Option<&Endpoint>;
    /// Something happened to a line's link, or its time has come.
    fn feed(&mut self, line: usize, event: LineEvent<'_>, now: Micros);
    /// Next thing to do with a line's socket.
    fn take_command(&mut self, line: usize, now: Micros) -> Option<LinkCommand>;
    /// Bytes a line wants to send; the thread empties it.
    fn output(&mut self, line: usize) -> Option<&mut Vec<u8>>;
    /// When a line wants to be fed though nothing happens.
    fn line_wake(&self, line: usize) -> Option<Micros>;
    /// When `turn` has something to do though nobody knocks.
    fn wake_time(&self) -> Option<Micros>;
    /// A line could not be connected, and why; that it was closed is fed to it beside this.
    fn trouble(&mut self, _line: usize, _why: String) {}
    /// Comes after each round of events: does what is due and names the lines it touched.
    fn turn(&mut self, now: Micros, touched: &mut Vec<usize>);
}

/// Ends the thread from outside, or calls it to its next turn.
#[derive(Clone)]
pub struct Bell {
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
}

impl Bell {
    /// Has the tenant's turn come now.
    pub fn ring(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

/// The running thread.
pub struct PollingThread {
    handle: JoinHandle<()>,
    bell: Bell,
}

impl PollingThread {
    /// Starts the thread; nothing is sent before its first round. The tenant is dropped when the thread ends.
    pub fn start<T: Tenant>(name: &str, tenant: T) -> io::Result<Self> {
        let mut polling = Polling::new(tenant)?;
        let bell = polling.bell.clone();
        // A reactor that the kernel refuses to serve ends; its tenant's end says so.
        let run = move || drop(polling.run());
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { handle, bell })
    }

    /// To ring from other threads.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Ends the thread and waits for it; it writes nothing more.
    pub fn stop(self) -> io::Result<()> {
        self.bell.stop.store(true, Ordering::Release);
        self.bell.ring()?;
        self.handle.join().map_err(|_| io::Error::other("the polling thread had panicked"))
    }
}

struct Polling<T> {
    tenant: T,
    poll: Poll,
    alarm: Alarm,
    wheel: Wheel,
    bell: Bell,
    resolver: Resolver,
    dialers: Dialers,
    peers: Box<[Peer]>,
    /// Lines to be attended, kept for its capacity.
    due: Vec<usize>,
    chunk: Box<[u8; CHUNK]>,
}

/// The socket of one line.
#[derive(Default)]
struct Peer {
    socket: Option<Socket>,
    is_connected: bool,
    is_resolving: bool,
}

impl<T: Tenant> Polling<T> {
    fn new(tenant: T) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Bell { waker: Arc::new(Waker::new(poll.registry(), WAKE)?), stop: Arc::default() };
        let lines = (0..).take_while(|line| tenant.endpoint(*line).is_some()).count();
        Ok(Self {
            alarm: Alarm::new(poll.registry(), ALARM)?,
            resolver: Resolver::new(lines, Arc::clone(&bell.waker)),
            dialers: Dialers::default(),
            wheel: Wheel::new(lines, clock::micros()),
            peers: (0..lines).map(|_| Peer::default()).collect(),
            due: Vec::with_capacity(lines),
            chunk: Box::new([0; CHUNK]),
            tenant,
            poll,
            bell,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.due.extend(0..self.peers.len());
        loop {
            self.attend_due();
            let now = clock::micros();
            self.tenant.turn(now, &mut self.due);
            self.attend_due();
            match self.wait(&mut events) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ if self.bell.stop.load(Ordering::Acquire) => return Ok(()),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    WAKE => self.take_addresses(),
                    ALARM => {}
                    Token(line) => {
                        self.socket_ready(line, event.is_readable() || event.is_error(), event.is_read_closed());
                    }
                }
            }
            let now = clock::micros();
            self.alarm.passed(now);
            self.wheel.take_due(now, &mut self.due);
        }
    }

    /// Until something happens or is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let next = self.wheel.next().into_iter().chain(self.tenant.wake_time()).min();
        if let Some(next) = next {
            self.alarm.no_later_than(next)?;
        }
        self.poll.poll(events, None::<Duration>)
    }

    fn attend_due(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        for line in due.drain(..) {
            let now = clock::micros();
            self.tenant.feed(line, LineEvent::Wake, now);
            self.attend(line, now);
        }
        self.due = due;
    }

    fn socket_ready(&mut self, line: usize, is_readable: bool, is_closed: bool) {
        let Some(Peer { socket: Some(socket), is_connected, .. }) = self.peers.get_mut(line) else { return };
        let now = clock::micros();
        if !*is_connected {
            match socket.is_connected() {
                None => return,
                Some(false) => {
                    self.tenant.trouble(line, "refused, unreachable, or not the TLS peer that is expected".to_owned());
                    return self.close(line, now);
                }
                Some(true) => {
                    *is_connected = true;
                    self.tenant.feed(line, LineEvent::Connected, now);
                }
            }
        } else if socket.is_blocked() && socket.flush().is_err() {
            return self.close(line, now);
        }
        if is_readable && !self.receive(line, is_closed, now) {
            return self.close(line, now);
        }
        self.attend(line, now);
    }

    /// Feeds what has come, until less comes than was asked for: then there is no more. False: the peer is gone.
    fn receive(&mut self, line: usize, is_closed: bool, now: Micros) -> bool {
        let Some(Peer { socket: Some(socket), .. }) = self.peers.get_mut(line) else { return true };
        for _ in 0..CHUNKS_MAX {
            match socket.receive(&mut self.chunk) {
                Received::Bytes(count) => {
                    let bytes = self.chunk.get(..count).unwrap_or_default();
                    self.tenant.feed(line, LineEvent::Received(bytes), now);
                    // An end that comes after this is told by an event of its own.
                    if count < CHUNK && !is_closed {
                        return true;
                    }
                }
                Received::Nothing => return true,
                Received::End => return false,
            }
        }
        // Whoever says that much in one go is not a device.
        false
    }

    fn close(&mut self, line: usize, now: Micros) {
        if let Some(peer) = self.peers.get_mut(line) {
            *peer = Peer::default();
            self.tenant.feed(line, LineEvent::Closed, now);
            self.attend(line, now);
        }
    }

    /// Carries out what a line wants, and notes when it wants to be woken.
    fn attend(&mut self, line: usize, now: Micros) {
        while let Some(command) = self.tenant.take_command(line, now) {
            match command {
                LinkCommand::Close => self.peers[line] = Peer::default(),
                LinkCommand::Connect => self.connect(line, now),
            }
        }
        let sent = self.send(line);
        self.wheel.set(line, self.tenant.line_wake(line));
        if sent.is_err() {
            self.close(line, now);
        }
    }

    fn send(&mut self, line: usize) -> io::Result<()> {
        let (Some(output), Some(peer)) = (self.tenant.output(line), self.peers.get_mut(line)) else { return Ok(()) };
        let sent = match &mut peer.socket {
            Some(socket) if peer.is_connected && !output.is_empty() => socket.send(output),
            _ => Ok(()),
        };
        output.clear();
        sent
    }

    fn connect(&mut self, line: usize, now: Micros) {
        match self.tenant.endpoint(line) {
            Some(Endpoint::Tcp { host, port } | Endpoint::Secure { host, port, .. }) => {
                match self.resolver.start(line, host, *port) {
                    Lookup::Known(address) => self.open(line, address, now),
                    Lookup::Started => self.peers[line].is_resolving = true,
                    Lookup::Unavailable => self.unresolved(line, now),
                }
            }
            Some(Endpoint::Serial { path, format }) => {
                let config = PortConfig { path: path.clone(), format: *format };
                let port = Socket::open(&config, self.poll.registry(), Token(line));
                let port = port.inspect_err(|error| self.tenant.trouble(line, error.to_string()));
                self.attach(line, port.ok(), now);
            }
            None => {}
        }
    }

    fn take_addresses(&mut self) {
        for (line, found) in self.resolver.take() {
            let now = clock::micros();
            let is_awaited = self.peers.get_mut(line).is_some_and(|peer| std::mem::take(&mut peer.is_resolving));
            match found {
                Some(address) if is_awaited => self.open(line, address, now),
                None if is_awaited => self.unresolved(line, now),
                _ => {}
            }
            self.attend(line, now);
        }
    }

    fn open(&mut self, line: usize, address: SocketAddr, now: Micros) {
        let socket = match self.tenant.endpoint(line) {
            Some(Endpoint::Secure { credentials, .. }) => self
                .dialers
                .dialer(line, credentials)
                .and_then(|dialer| Socket::connect_secure(address, self.poll.registry(), Token(line), dialer)),
            _ => Socket::connect(address, self.poll.registry(), Token(line)),
        };
        let socket = socket.inspect_err(|error| self.tenant.trouble(line, error.to_string()));
        self.attach(line, socket.ok(), now);
    }

    fn unresolved(&mut self, line: usize, now: Micros) {
        self.tenant.trouble(line, "its name has no address".to_owned());
        self.tenant.feed(line, LineEvent::Closed, now);
    }

    /// The first event of a socket tells whether it is connected.
    fn attach(&mut self, line: usize, socket: Option<Socket>, now: Micros) {
        if socket.is_none() {
            return self.tenant.feed(line, LineEvent::Closed, now);
        }
        self.peers[line] = Peer { socket, ..Peer::default() };
    }
}
