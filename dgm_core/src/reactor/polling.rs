//! The field thread: the sockets of all lines, one epoll, one timer, one tick.
//!
//! ```text
//! epoll ── readable, writable ──> line ──> bytes to send, connect, close
//!   timer ── line due ─────────────^   ── tick due ──> inputs ──> Field::tick ──> lines ──> Published
//! ```
//!
//! It decides nothing. A late tick is counted by the field and not made up for. When it stops it writes nothing more:
//! the devices fall back by their own revert timers.
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::clock;
use super::published::{Published, TickTimes};
use super::resolve::{Lookup, Resolver};
use super::socket::{Received, Socket, CHUNK};
use super::Running;
use crate::field::Field;
use crate::modbus::session::LinkCommand;
use crate::units::Micros;

const WAKE: Token = Token(usize::MAX);
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// Chunks read from one device at once: with one request in flight nobody has more to say.
const CHUNKS_MAX: usize = 16;

/// The running field thread.
pub struct FieldThread {
    handle: JoinHandle<()>,
    waker: Arc<Waker>,
    published: Arc<Published>,
}

impl FieldThread {
    /// Starts the thread; nothing is sent before its first turn.
    pub fn start(field: Field, published: Arc<Published>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let mut polling = Polling::new(field, poll, &waker, Arc::clone(&published));
        let handle = std::thread::Builder::new().name("dgm-field".to_owned()).spawn(move || polling.run())?;
        Ok(Self { handle, waker, published })
    }

    /// Ends the thread and waits for it; it writes nothing more.
    pub fn stop(self) -> io::Result<()> {
        self.published.stop.store(true, Ordering::Release);
        self.waker.wake()?;
        self.handle.join().map_err(|_| io::Error::other("the field thread had panicked"))
    }
}

struct Polling {
    field: Field,
    poll: Poll,
    resolver: Resolver,
    published: Arc<Published>,
    peers: Vec<Peer>,
    times: TickTimes,
    chunk: Box<[u8; CHUNK]>,
}

/// The socket of one line.
#[derive(Default)]
struct Peer {
    socket: Option<Socket>,
    is_connected: bool,
    is_resolving: bool,
    wake: Option<Micros>,
}

impl Polling {
    fn new(field: Field, poll: Poll, waker: &Arc<Waker>, published: Arc<Published>) -> Self {
        let lines = field.lines().len();
        Self {
            resolver: Resolver::new(lines, Arc::clone(waker)),
            peers: (0..lines).map(|_| Peer::default()).collect(),
            field,
            poll,
            published,
            times: TickTimes::default(),
            chunk: Box::new([0; CHUNK]),
        }
    }

    fn run(&mut self) {
        let published = Arc::clone(&self.published);
        let _running = Running::new(&published.running, &published.notifier);
        let mut events = Events::with_capacity(EVENTS_MAX);
        (0..self.peers.len()).for_each(|line| self.attend(line, clock::micros()));
        while !self.published.stop.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, Some(self.pause())) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
            if self.published.stop.load(Ordering::Acquire) {
                return;
            }
            let now = clock::micros();
            for event in events.iter().filter(|event| event.token() != WAKE) {
                self.socket_ready(event.token().0, now);
            }
            self.take_addresses(now);
            self.attend_due(now);
            if self.field.next_tick() <= now {
                self.tick(now);
            }
        }
    }

    /// How long nothing has to be done.
    fn pause(&self) -> Duration {
        let wakes = self.peers.iter().filter_map(|peer| peer.wake);
        let next = wakes.fold(self.field.next_tick(), Micros::min);
        Duration::from_micros(u64::try_from((next - clock::micros()).get()).unwrap_or(0))
    }

    fn attend_due(&mut self, now: Micros) {
        for line in 0..self.peers.len() {
            if self.peers[line].wake.is_some_and(|wake| wake <= now) {
                self.attend(line, now);
            }
        }
    }

    fn tick(&mut self, now: Micros) {
        let started = clock::micros();
        for (input, received) in self.published.inbox.take() {
            // A refusal is counted by the field; whoever handed it in has checked what could be checked there.
            let _ = self.field.put(input, received);
        }
        self.field.tick(now);
        (0..self.peers.len()).for_each(|line| self.attend(line, now));
        self.times.last_us = (clock::micros() - started).get();
        self.times.max_us = self.times.max_us.max(self.times.last_us);
        self.published.publish(&self.field, self.times);
    }

    fn socket_ready(&mut self, index: usize, now: Micros) {
        let (Some(peer), Some(line)) = (self.peers.get_mut(index), self.field.line_mut(index)) else { return };
        let Some(socket) = &mut peer.socket else { return };
        if !peer.is_connected {
            match socket.is_connected() {
                None => return,
                Some(false) => return self.close(index, now),
                Some(true) => {
                    peer.is_connected = true;
                    line.connected(now);
                }
            }
        }
        for _ in 0..CHUNKS_MAX {
            match socket.receive(&mut self.chunk) {
                Received::Bytes(count) => line.receive(self.chunk.get(..count).unwrap_or_default(), now),
                Received::Nothing => return self.attend(index, now),
                Received::End => break,
            }
        }
        self.close(index, now);
    }

    fn close(&mut self, index: usize, now: Micros) {
        let (Some(peer), Some(line)) = (self.peers.get_mut(index), self.field.line_mut(index)) else { return };
        *peer = Peer::default();
        line.closed(now);
        self.attend(index, now);
    }

    /// Lets a line do what time and its socket ask for.
    fn attend(&mut self, index: usize, now: Micros) {
        let Some(line) = self.field.line_mut(index) else { return };
        line.wake(now);
        while let Some(command) = self.field.line_mut(index).and_then(|line| line.take_command(now)) {
            match command {
                LinkCommand::Close => self.peers[index] = Peer::default(),
                LinkCommand::Connect => self.connect(index, now),
            }
        }
        let sent = self.send(index);
        if let Some(peer) = self.peers.get_mut(index) {
            peer.wake = self.field.lines().get(index).and_then(|(_, line)| line.wake_time());
        }
        if sent.is_err() {
            self.close(index, now);
        }
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let Some(line) = self.field.line_mut(index) else { return Ok(()) };
        let output = line.take_output();
        match self.peers.get_mut(index).filter(|peer| peer.is_connected).map(|peer| &mut peer.socket) {
            Some(Some(socket)) => socket.send(&output),
            _ => Ok(()),
        }
    }

    fn connect(&mut self, index: usize, now: Micros) {
        let Some((endpoint, _)) = self.field.lines().get(index) else { return };
        match self.resolver.start(index, endpoint) {
            Lookup::Known(address) => self.open(index, address, now),
            Lookup::Started => self.peers[index].is_resolving = true,
            Lookup::Unavailable => self.refused(index, now),
        }
    }

    fn take_addresses(&mut self, now: Micros) {
        for (index, found) in self.resolver.take() {
            let is_awaited = std::mem::take(&mut self.peers[index].is_resolving);
            match found {
                Some(address) if is_awaited => self.open(index, address, now),
                None if is_awaited => self.refused(index, now),
                _ => {}
            }
            self.attend(index, now);
        }
    }

    fn open(&mut self, index: usize, address: SocketAddr, now: Micros) {
        match Socket::connect(address, self.poll.registry(), Token(index)) {
            Ok(socket) => self.peers[index] = Peer { socket: Some(socket), ..Peer::default() },
            Err(_) => self.refused(index, now),
        }
    }

    fn refused(&mut self, index: usize, now: Micros) {
        if let Some(line) = self.field.line_mut(index) {
            line.closed(now);
        }
    }
}
