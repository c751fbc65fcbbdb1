//! A non-blocking stream, TCP, TLS or serial, with what could not be sent yet.
//!
//! ```text
//! Socket ── outbox ──> Stream::Tcp, Stream::Tls, Stream::Serial
//! ```
//!
//! It is told of readiness once (edge). A read that brings fewer bytes than there was room for has emptied it; an end
//! that comes later is told by an event of its own.
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::serial::{Port, PortConfig, PortError};
use super::tls::{Acceptor, Dialer, Session, TlsStream};

/// Bytes taken from a socket at once.
pub const CHUNK: usize = 4_096;
/// Memory kept for the next time that a peer does not take everything.
const OUTBOX_KEPT: usize = 4_096;

/// One connection.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    outbox: Vec<u8>,
}

/// What the bytes go through.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
    Serial(Port),
}

impl Stream {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.socket_mut(),
            Self::Serial(port) => port,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
            Self::Serial(port) => port.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Serial(port) => port.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Serial(port) => port.flush(),
        }
    }
}

/// What a read has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer is gone.
    End,
}

impl Socket {
    /// Begins to connect.
    pub fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        Self::register(Stream::Tcp(TcpStream::connect(address)?), registry, token)
    }

    /// Begins to connect with Modbus/TCP Security; it is connected once both ends have proved who they are.
    pub fn connect_secure(address: SocketAddr, registry: &Registry, token: Token, dialer: &Dialer) -> io::Result<Self> {
        let stream = TlsStream::new(TcpStream::connect(address)?, dialer.dial()?);
        Self::register(Stream::Tls(Box::new(stream)), registry, token)
    }

    /// Opens a serial port; it is connected from the first event on.
    pub fn open(config: &PortConfig, registry: &Registry, token: Token) -> Result<Self, PortError> {
        let port = Stream::Serial(Port::open(config)?);
        Self::register(port, registry, token).map_err(|error| PortError::registration(config, error))
    }

    /// Takes over a connection that a listener accepted, with Modbus/TCP Security where there is an acceptor.
    pub fn accepted(
        stream: TcpStream,
        registry: &Registry,
        token: Token,
        acceptor: Option<&Acceptor>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = match acceptor {
            Some(acceptor) => Stream::Tls(Box::new(TlsStream::new(stream, acceptor.accept()?))),
            None => Stream::Tcp(stream),
        };
        Self::register(stream, registry, token)
    }

    fn register(mut stream: Stream, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(stream.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, outbox: Vec::new() })
    }

    /// Whether an attempt to connect has succeeded (`Some(true)`), failed, or is still under way (`None`).
    pub fn is_connected(&mut self) -> Option<bool> {
        let stream = match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.socket(),
            Stream::Serial(_) => return Some(true),
        };
        let reached = match (stream.take_error(), stream.peer_addr()) {
            (Ok(None), Ok(_)) => Some(stream.set_nodelay(true).is_ok()),
            (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected => None,
            _ => Some(false),
        };
        match &mut self.stream {
            Stream::Tls(stream) if reached == Some(true) => stream.shake_hands(),
            _ => reached,
        }
    }

    /// The TLS session, where there is one.
    pub fn session(&self) -> Option<&Session> {
        match &self.stream {
            Stream::Tls(stream) => Some(stream.session()),
            Stream::Tcp(_) | Stream::Serial(_) => None,
        }
    }

    /// Sends what it can now and keeps the rest for `flush`.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.outbox.is_empty() { write(&mut self.stream, bytes)? } else { 0 };
        self.outbox.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        Ok(())
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.outbox.is_empty() {
            let sent = write(&mut self.stream, &self.outbox)?;
            self.outbox.drain(..sent);
            if self.outbox.is_empty() {
                self.outbox.shrink_to(OUTBOX_KEPT);
            }
        }
        match &mut self.stream {
            Stream::Tls(stream) => stream.flush(),
            Stream::Tcp(_) | Stream::Serial(_) => Ok(()),
        }
    }

    /// Whether the peer has not taken everything yet.
    pub fn is_blocked(&self) -> bool {
        !self.outbox.is_empty() || self.session().is_some_and(Session::is_blocked)
    }

    /// Takes bytes that have come.
    pub fn receive<const ROOM: usize>(&mut self, chunk: &mut [u8; ROOM]) -> Received {
        loop {
            match self.stream.read(chunk) {
                Ok(0) => return Received::End,
                Ok(count) => return Received::Bytes(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Received::End,
            }
        }
    }
}

/// Writes what the stream takes; how much that was.
fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
