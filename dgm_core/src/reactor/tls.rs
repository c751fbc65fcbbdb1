//! One end of Modbus/TCP Security: mutual TLS 1.3 or 1.2 over a non-blocking TCP stream.
//!
//! ```text
//! TcpStream <── bytes ──> Session (rustls, no sockets) <── plaintext ──> TlsStream: one of the Streams of Socket
//! Acceptor: certificate, key, CA of the clients ──> Session      Dialer: the same and the name of the device ──> Session
//! ```
//!
//! There is no way back to plaintext: bytes that are not TLS end the connection. A session may be resumed by ticket.
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::tls_files::{Identity, TlsError, TlsFiles};

/// Why a TLS connection failed; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsFailure {
    /// The peer showed no certificate.
    NoCertificate,
    /// Its certificate has expired, or is not valid yet.
    Expired,
    /// Its certificate was signed by somebody else than the CA.
    Foreign,
    /// Its certificate is wrong otherwise: another name, another purpose, a bad signature, an unknown critical extension.
    BadCertificate,
    /// What it sent is not TLS.
    NotTls,
    /// No common version or cipher suite.
    Incompatible,
    /// It refused our certificate.
    Refused,
    /// Anything else against the protocol.
    Protocol,
}

impl TlsFailure {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::NoCertificate,
        Self::Expired,
        Self::Foreign,
        Self::BadCertificate,
        Self::NotTls,
        Self::Incompatible,
        Self::Refused,
        Self::Protocol,
    ];

    /// Its name in counters and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
            Self::BadCertificate => "bad_certificate",
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
        }
    }

    fn of(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::NoCertificatesPresented => Self::NoCertificate,
            E::InvalidCertificate(error) => match error {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::UnknownIssuer => Self::Foreign,
                _ => Self::BadCertificate,
            },
            E::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::MessageTooLarge) => Self::NotTls,
            E::PeerIncompatible(_) => Self::Incompatible,
            E::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
                Self::Incompatible
            }
            E::AlertReceived(_) => Self::Refused,
            _ => Self::Protocol,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What a server needs for every client that connects.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// Reads the files; clients must show a certificate that the CA signed.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let Identity { chain, key, roots } = files.read()?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::authority(files, &error))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError::unusable(files, &error))?;
        let mut config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        if let Ok(config) = &mut config {
            // Tickets end with the process or with a reload: then everybody shows its certificate again.
            config.ticketer = ring::Ticketer::new().map_err(|error| TlsError::unusable(files, &error))?;
        }
        config.map(|config| Self(Arc::new(config))).map_err(|error| TlsError::unusable(files, &error))
    }

    /// A session for a client that has just connected.
    pub fn accept(&self) -> io::Result<Session> {
        let connection = ServerConnection::new(Arc::clone(&self.0)).map_err(io::Error::other)?;
        Ok(Session::new(connection.into()))
    }
}

/// What a master needs to connect to one device.
#[derive(Clone, Debug)]
pub struct Dialer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Dialer {
    /// Reads the files; the device must show a certificate that the CA signed for `server_name` (a name or an address).
    pub fn load(files: &TlsFiles, server_name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| TlsError::name(server_name))?;
        let Identity { chain, key, roots } = files.read()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::authority(files, &error))?;
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsError::unusable(files, &error))?;
        let config = builder.with_webpki_verifier(verifier).with_client_auth_cert(chain, key);
        let config = config.map_err(|error| TlsError::unusable(files, &error))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// A session for a connection to the device.
    pub fn dial(&self) -> io::Result<Session> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        connection.map(|connection| Session::new(connection.into())).map_err(io::Error::other)
    }
}

/// One TLS connection: bytes in and out of a socket, plaintext in and out of its owner.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    failure: Option<TlsFailure>,
    is_dripping: bool,
}

impl Session {
    fn new(mut connection: Connection) -> Self {
        // What may be kept is bounded by whoever stops to read from a peer that takes nothing.
        connection.set_buffer_limit(None);
        Self { connection, failure: None, is_dripping: false }
    }

    /// Whether both ends have proved who they are.
    pub fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Why it ended, if it did for a reason of TLS.
    pub fn failure(&self) -> Option<TlsFailure> {
        self.failure
    }

    /// Whether the newest bytes were only part of a record.
    pub fn is_dripping(&self) -> bool {
        self.is_dripping
    }

    /// The peer's own certificate, DER, once established.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.connection.peer_certificates()?.first().map(CertificateDer::as_ref)
    }

    /// Whether something waits to be sent.
    pub fn is_blocked(&self) -> bool {
        self.connection.wants_write()
    }

    /// Takes all that the source has, or as much as there is room for; 0 is the end, `WouldBlock` nothing now.
    fn take(&mut self, source: impl Read, room: &mut [u8]) -> io::Result<usize> {
        let (mut count, mut stirred, mut source) = (0, self.is_dripping, Probe { source, is_drained: false });
        let nothing = loop {
            match self.connection.reader().read(room.get_mut(count..).unwrap_or_default()) {
                Ok(read) if read > 0 => count += read,
                // The peer has said good-bye.
                Ok(_) if !room.is_empty() && count < room.len() => return Ok(count),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Ok(count),
            }
            if count > 0 && count == room.len() {
                return Ok(count);
            }
            if source.is_drained {
                break ErrorKind::WouldBlock.into();
            }
            match self.connection.read_tls(&mut source) {
                Ok(0) => return Ok(count),
                Ok(_) => stirred = true,
                Err(error) => break error,
            }
            self.connection.process_new_packets().map_err(|error| {
                self.failure = Some(TlsFailure::of(&error));
                io::Error::from(ErrorKind::InvalidData)
            })?;
        };
        self.is_dripping = count == 0 && stirred;
        if count > 0 {
            Ok(count)
        } else {
            Err(nothing)
        }
    }

    /// Sends what it can now and keeps the rest.
    fn give(&mut self, mut sink: impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut sink) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Notices that a source gave less than it was asked for: then it has no more, and need not be asked again.
struct Probe<S> {
    source: S,
    is_drained: bool,
}

impl<S: Read> Read for Probe<S> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(room)?;
        self.is_drained = count < room.len();
        Ok(count)
    }
}

/// A TCP stream and its session, as a stream of plaintext.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    session: Session,
}

impl TlsStream {
    /// Nothing was sent yet.
    pub fn new(socket: TcpStream, session: Session) -> Self {
        Self { socket, session }
    }

    /// What the bytes go through.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// To register it.
    pub fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Who is at the other end, and what went wrong.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Goes on with the handshake; `None` while it is under way, `Some(false)` when it failed. No plaintext comes with it:
    /// a device says nothing before it is asked.
    pub fn shake_hands(&mut self) -> Option<bool> {
        match self.read(&mut []) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.session.is_established().then_some(true),
            _ => Some(false),
        }
    }
}

impl Read for TlsStream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let taken = self.session.take(&self.socket, room);
        // Answers of the handshake, or the alert that says why not. What cannot be sent now is sent when the socket is
        // ready; a broken socket ends the connection at the next read.
        let _ = self.session.give(&self.socket);
        taken
    }
}

impl Write for TlsStream {
    /// Takes all of it; what the socket does not take is kept encrypted.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.connection.writer().write_all(bytes)?;
        self.session.give(&self.socket)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.give(&self.socket)
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
