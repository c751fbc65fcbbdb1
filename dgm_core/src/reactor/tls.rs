//! One end of Modbus/TCP Security (mutual TLS 1.3 or 1.2) without sockets of its own.
//!
//! ```text
//! socket ── bytes ──> Session ── plaintext ──> reader      writer ── plaintext ──> Session ── bytes ──> socket
//! Acceptor: certificate, key, CA of the clients ──> Session      Dialer: the same and the name of the device ──> Session
//! ```
//!
//! There is no way back to plaintext: bytes that are not TLS end the connection. A session may be resumed by ticket.
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls::{AlertDescription, CertificateError, InvalidMessage};

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
    pub fn accept(&self) -> Option<Session> {
        ServerConnection::new(Arc::clone(&self.0)).ok().map(|connection| Session::new(connection.into()))
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
    pub fn dial(&self) -> Option<Session> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        connection.ok().map(|connection| Session::new(connection.into()))
    }
}

/// What taking bytes has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// So much plaintext; fewer bytes than there is room for mean that there is no more now.
    Bytes(usize),
    /// The peer has said good-bye, has gone, or the connection has failed.
    End,
}

/// One TLS connection.
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

    /// Takes what the socket has, up to `room` of plaintext; answers of the handshake go out.
    pub fn receive<S>(&mut self, socket: &S, room: &mut [u8]) -> Taken
    where
        for<'a> &'a S: Read + Write,
    {
        let taken = self.take(socket, room);
        // What cannot be sent now is sent when the socket is ready; a broken socket ends the connection at the next read.
        let _ = self.flush(socket);
        taken
    }

    fn take<S>(&mut self, socket: &S, room: &mut [u8]) -> Taken
    where
        for<'a> &'a S: Read,
    {
        let (mut count, mut stirred, mut source) = (0, false, Probe { socket, is_drained: false });
        loop {
            match self.connection.reader().read(room.get_mut(count..).unwrap_or_default()) {
                Ok(0) if count < room.len() => return if count > 0 { Taken::Bytes(count) } else { Taken::End },
                Ok(read) => count += read,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Taken::End,
                Err(_) => {}
            }
            if count == room.len() || source.is_drained {
                break;
            }
            match self.connection.read_tls(&mut source) {
                Ok(0) if count == 0 => return Taken::End,
                Ok(0) => break,
                Ok(_) => stirred = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Taken::End,
            }
            if let Err(error) = self.connection.process_new_packets() {
                self.failure = Some(TlsFailure::of(&error));
                return Taken::End;
            }
        }
        self.is_dripping = count == 0 && (stirred || self.is_dripping);
        Taken::Bytes(count)
    }

    /// Encrypts and sends what it can now; keeps the rest for `flush`.
    pub fn send<S>(&mut self, socket: &S, bytes: &[u8]) -> io::Result<()>
    where
        for<'a> &'a S: Write,
    {
        self.connection.writer().write_all(bytes)?;
        self.flush(socket)
    }

    /// Sends what was kept.
    pub fn flush<S>(&mut self, mut socket: &S) -> io::Result<()>
    where
        for<'a> &'a S: Write,
    {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut socket) {
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

/// Notices that a socket gave less than it was asked for: then it has no more, and need not be asked again.
struct Probe<'a, S> {
    socket: &'a S,
    is_drained: bool,
}

impl<S> Read for Probe<'_, S>
where
    for<'a> &'a S: Read,
{
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        let count = socket.read(room)?;
        self.is_drained = count < room.len();
        Ok(count)
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
