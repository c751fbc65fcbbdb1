//! A non-blocking stream, TCP or serial, with what could not be sent yet.
//!
//! ```text
//! Socket ── outbox ──> Stream::Tcp, Stream::Serial (what wraps one of them, as TLS does, is another Stream)
//! ```
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::serial::{Port, PortConfig, PortError};

/// Bytes taken from a socket at once.
pub const CHUNK: usize = 4_096;

/// One connection. It is told of readiness once (edge), so reads go on until there is nothing.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    outbox: Vec<u8>,
}

/// What the bytes go through.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Serial(Port),
}

impl Stream {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Serial(port) => port,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Serial(port) => port.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Serial(port) => port.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
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

    /// Opens a serial port; it is connected from the first event on.
    pub fn open(config: &PortConfig, registry: &Registry, token: Token) -> Result<Self, PortError> {
        let port = Stream::Serial(Port::open(config)?);
        Self::register(port, registry, token).map_err(|error| PortError::registration(config, error))
    }

    /// Takes over a connection that a listener accepted.
    pub fn accepted(stream: TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Self::register(Stream::Tcp(stream), registry, token)
    }

    fn register(mut stream: Stream, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(stream.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, outbox: Vec::new() })
    }

    /// Whether an attempt to connect has succeeded (`Some(true)`), failed, or is still under way (`None`).
    pub fn is_connected(&self) -> Option<bool> {
        let Stream::Tcp(stream) = &self.stream else { return Some(true) };
        match (stream.take_error(), stream.peer_addr()) {
            (Ok(None), Ok(_)) => Some(stream.set_nodelay(true).is_ok()),
            (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected => None,
            _ => Some(false),
        }
    }

    /// Sends what it can now and keeps the rest for `flush`.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // As a rule the peer takes everything at once, and nothing is copied.
        while self.outbox.is_empty() && !bytes.is_empty() {
            match self.write(bytes)? {
                Some(count) => bytes = bytes.get(count..).unwrap_or_default(),
                None => break,
            }
        }
        self.outbox.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> io::Result<()> {
        let outbox = std::mem::take(&mut self.outbox);
        self.send(&outbox)
    }

    /// Bytes that the peer took; `None` while it takes none.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the peer has not taken everything yet.
    pub fn is_blocked(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Takes bytes that have come.
    pub fn receive(&mut self, chunk: &mut [u8; CHUNK]) -> Received {
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
