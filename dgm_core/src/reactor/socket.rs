//! A non-blocking TCP stream with what could not be sent yet.
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// Bytes taken from a socket at once.
pub const CHUNK: usize = 4_096;

/// One connection. It is told of readiness once (edge), so reads go on until there is nothing.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    outbox: Vec<u8>,
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
        Self::register(TcpStream::connect(address)?, registry, token)
    }

    /// Takes over a connection that a listener accepted.
    pub fn accepted(stream: TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        let socket = Self::register(stream, registry, token)?;
        socket.stream.set_nodelay(true)?;
        Ok(socket)
    }

    fn register(mut stream: TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, outbox: Vec::new() })
    }

    /// Whether an attempt to connect has succeeded (`Some(true)`), failed, or is still under way (`None`).
    pub fn is_connected(&self) -> Option<bool> {
        match (self.stream.take_error(), self.stream.peer_addr()) {
            (Ok(None), Ok(_)) => Some(self.stream.set_nodelay(true).is_ok()),
            (Ok(None), Err(error)) if error.kind() == ErrorKind::NotConnected => None,
            _ => Some(false),
        }
    }

    /// Sends what it can now and keeps the rest for `flush`.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.outbox.extend_from_slice(bytes);
        self.flush()
    }

    /// Sends what was kept.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
