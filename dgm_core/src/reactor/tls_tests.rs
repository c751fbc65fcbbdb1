//! Both ends of Modbus/TCP Security over loopback sockets: who is let in, with which role, and who is not.
#![allow(clippy::unwrap_used)]
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use rustls::version::{TLS12, TLS13};
use rustls::StreamOwned;

use super::super::serving::{Bound, Facade};
use super::super::serving_thread::Served;
use super::super::socket::{Received, Socket, CHUNK};
use super::*;
use crate::modbus::pdu::{Span, Table};
use crate::modbus::server::writable::{Form, Width, Writable};
use crate::modbus::server::write_table::{Group, Lease, Rule};

const READ: [u8; 12] = [0, 9, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
const ANSWER: [u8; 11] = [0, 9, 0, 0, 0, 5, 1, 3, 2, 0, 42];
const WRITE: [u8; 12] = [0, 9, 0, 0, 0, 6, 1, 6, 0, 5, 0, 1];
const DENIED: [u8; 9] = [0, 9, 0, 0, 0, 3, 1, 0x86, 1];
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder of its own that goes when the test does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dgm-tls-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An authority in memory.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let mut params = CertificateParams::new(vec![]).unwrap();
        let name = format!("Authority {}", NEXT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Files of one end whose certificate this authority signed and which trusts `trusted`.
    fn files(&self, folder: &Path, name: &str, params: CertificateParams, trusted: &Self) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let write = |suffix: &str, text: &str| {
            let path = folder.join(format!("{name}.{suffix}"));
            fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            certificate: write("pem", &certificate),
            private_key: write("key", &key.serialize_pem()),
            ca: write("ca", &trusted.pem),
        }
    }
}

fn plain() -> CertificateParams {
    CertificateParams::new(vec!["127.0.0.1".to_owned(), "device.example".to_owned()]).unwrap()
}

fn with_roles(roles: &[&str]) -> CertificateParams {
    let mut params = plain();
    for role in roles {
        let content = [&[0x0c, u8::try_from(role.len()).unwrap()], role.as_bytes()].concat();
        let oid = [1, 3, 6, 1, 4, 1, 50_316, 802, 1];
        params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content));
    }
    params
}

fn valid_in(years: std::ops::Range<i32>) -> CertificateParams {
    let mut params = plain();
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(years.start, 1, 1), rcgen::date_time_ymd(years.end, 1, 1));
    params
}

/// A facade that only operators may write, its authority and a folder for more certificates.
struct Site {
    folder: Folder,
    authority: Authority,
    files: TlsFiles,
    facade: Arc<Facade>,
    address: SocketAddr,
    served: Option<Served>,
}

impl Site {
    fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        let files = authority.files(&folder.0, "server", plain(), &authority);
        let facade = Arc::new(Facade::new(1).unwrap().secure(files.clone()).unwrap());
        {
            let mut server = facade.server();
            server.define(1, Table::Holding, Span { start: 0, count: 10 }).unwrap();
            server.publish(1, Table::Holding, 0, &[0, 42]).unwrap();
            let word = Writable::new(Form::number(Width::One, false), 0, 9).unwrap();
            let rule = Rule { roles: vec!["Operator".to_owned()], ..Rule::open(Lease::Endless) };
            server.allow_write(1, Table::Holding, Group::new(5, vec![(word, 0)], rule).unwrap()).unwrap();
        }
        let bound = Bound::bind("127.0.0.1", 0).unwrap();
        let address = bound.address();
        let served = Some(Served::start(bound, Arc::clone(&facade)).unwrap());
        Self { folder, authority, files, facade, address, served }
    }

    fn client(&self, params: CertificateParams) -> TlsFiles {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("client{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.authority.files(&self.folder.0, &name, params, &self.authority)
    }

    fn connect(&self, files: &TlsFiles) -> StreamOwned<ClientConnection, StdStream> {
        let dialer = Dialer::load(files, "127.0.0.1").unwrap();
        connect(&dialer.config, self.address)
    }

    fn count(&self, name: &str) -> u64 {
        self.facade.connections.named().into_iter().find(|(found, _)| found == name).unwrap().1
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.served.take().unwrap().stop().unwrap();
    }
}

fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> StreamOwned<ClientConnection, StdStream> {
    let socket = StdStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

/// What comes back, as many bytes as are expected; shorter when the connection ends before.
fn exchange<S: Read + Write>(stream: &mut S, request: &[u8], length: usize) -> Vec<u8> {
    let mut answer = vec![0; length];
    let mut count = 0;
    if stream.write_all(request).is_ok() {
        while count < length {
            match stream.read(&mut answer[count..]) {
                Ok(more @ 1..) => count += more,
                _ => break,
            }
        }
    }
    answer.truncate(count);
    answer
}

/// Whether the server closes without an answer; what it counts stands before it closes.
fn is_refused(mut stream: StreamOwned<ClientConnection, StdStream>) -> bool {
    let is_silent = exchange(&mut stream, &READ, ANSWER.len()).is_empty();
    while let Ok(1..) = stream.sock.read(&mut [0; 64]) {}
    is_silent
}

#[test]
fn a_client_with_a_certificate_reads_in_both_versions_and_its_role_decides_what_it_writes() {
    let site = Site::new();
    for (roles, answer) in
        [(&["Operator"][..], &WRITE[..]), (&["Viewer"], &DENIED), (&[], &DENIED), (&["Operator", "Operator"], &DENIED)]
    {
        let files = site.client(with_roles(roles));
        for version in [&TLS12, &TLS13] {
            let mut config = ClientConfig::clone(&Dialer::load(&files, "127.0.0.1").unwrap().config);
            let Identity { chain, key, roots } = files.read().unwrap();
            let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
            config.clone_from(&builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap());
            let mut stream = connect(&Arc::new(config), site.address);
            assert_eq!(exchange(&mut stream, &READ, ANSWER.len()), ANSWER, "{roles:?}");
            assert_eq!(exchange(&mut stream, &WRITE, answer.len()), answer, "{roles:?} {version:?}");
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
        }
    }
    let told = site.facade.take_changes();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].by.as_ref().unwrap().role.as_deref(), Some("Operator"));
    assert_eq!((site.count("tls_handshakes_total"), site.count("tls_bad_roles_total")), (8, 2));
}

#[test]
fn who_cannot_prove_itself_gets_no_answer_and_is_counted_by_cause() {
    let site = Site::new();
    let stranger = Authority::new();
    let foreign = stranger.files(&site.folder.0, "foreign", with_roles(&["Operator"]), &site.authority);
    for (files, cause) in [
        (site.client(valid_in(2001..2002)), "expired"),
        (site.client(valid_in(4001..4002)), "expired"),
        (foreign, "foreign"),
    ] {
        assert!(is_refused(site.connect(&files)), "{cause}");
    }
    assert_eq!((site.count("tls_failed_expired_total"), site.count("tls_failed_foreign_total")), (2, 1));
    let roots = site.files.read().unwrap().roots;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let nobody = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    assert!(is_refused(connect(&nobody, site.address)));
    assert_eq!(site.count("tls_failed_no_certificate_total"), 1);
    let mut unsecured = StdStream::connect(site.address).unwrap();
    unsecured.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = exchange(&mut unsecured, &READ, 64);
    assert!(answer.first().is_none_or(|first| *first == 0x15), "no plaintext but a TLS alert: {answer:02x?}");
    assert_eq!(site.count("tls_failed_not_tls_total"), 1);
    assert_eq!(site.facade.server().counters.requests, 0);
    let good = site.client(plain());
    assert_eq!(exchange(&mut site.connect(&good), &READ, ANSWER.len()), ANSWER, "and nobody else is disturbed");
}

#[test]
fn a_server_of_another_name_or_authority_is_not_talked_to() {
    let site = Site::new();
    let files = site.client(plain());
    for (files, name, cause) in [
        (files.clone(), "other.example", TlsFailure::BadCertificate),
        (
            TlsFiles { ca: write_authority(&site.folder, &Authority::new()), ..files.clone() },
            "127.0.0.1",
            TlsFailure::Foreign,
        ),
    ] {
        let dialer = Dialer::load(&files, name).unwrap();
        assert_eq!(master(&dialer, site.address).err(), Some(Some(cause)), "{name}");
    }
    let dialer = Dialer::load(&files, "device.example").unwrap();
    assert_eq!(master(&dialer, site.address), Ok(ANSWER.to_vec()));
}

fn write_authority(folder: &Folder, authority: &Authority) -> PathBuf {
    let path = folder.0.join("other.ca");
    fs::write(&path, &authority.pem).unwrap();
    path
}

/// One read by the socket that the master uses; why not, if not.
fn master(dialer: &Dialer, address: SocketAddr) -> Result<Vec<u8>, Option<TlsFailure>> {
    let mut poll = Poll::new().unwrap();
    let mut socket = Socket::connect_secure(address, poll.registry(), Token(0), dialer).unwrap();
    let (mut events, mut chunk, mut is_connected) = (Events::with_capacity(4), [0; CHUNK], false);
    loop {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "nothing happened for a long time");
        if !is_connected {
            match socket.is_connected() {
                None => continue,
                Some(false) => return Err(socket.session().and_then(Session::failure)),
                Some(true) => {
                    is_connected = true;
                    socket.send(&READ).unwrap();
                }
            }
        }
        match socket.receive(&mut chunk) {
            Received::Bytes(count) => return Ok(chunk[..count].to_vec()),
            Received::Nothing => {}
            Received::End => return Err(socket.session().and_then(Session::failure)),
        }
    }
}

#[test]
fn a_second_connection_is_resumed_and_keeps_its_role() {
    let site = Site::new();
    let dialer = Dialer::load(&site.client(with_roles(&["Operator"])), "127.0.0.1").unwrap();
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let mut stream = connect(&dialer.config, site.address);
        assert_eq!(exchange(&mut stream, &WRITE, WRITE.len()), WRITE);
        assert_eq!(stream.conn.handshake_kind(), Some(kind));
    }
}

#[test]
fn new_certificates_count_for_new_connections_and_open_ones_stay() {
    let site = Site::new();
    let old = site.client(plain());
    let mut open = site.connect(&old);
    assert_eq!(exchange(&mut open, &READ, ANSWER.len()), ANSWER);
    assert_eq!(site.facade.refresh_security(), Ok(false), "nothing has changed");
    let next = Authority::new();
    let fresh = next.files(&site.folder.0, "server", plain(), &next);
    assert_eq!(fresh, site.files, "the same places");
    assert_eq!(site.facade.refresh_security(), Ok(true));
    assert_eq!(exchange(&mut open, &READ, ANSWER.len()), ANSWER);
    let client = next.files(&site.folder.0, "next", plain(), &next);
    assert_eq!(exchange(&mut site.connect(&client), &READ, ANSWER.len()), ANSWER);
    fs::write(&site.files.certificate, "no certificate").unwrap();
    assert!(site.facade.refresh_security().is_err());
    assert_eq!(exchange(&mut site.connect(&client), &READ, ANSWER.len()), ANSWER, "the old one stays in use");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let good = authority.files(&folder.0, "good", plain(), &authority);
    let other = authority.files(&folder.0, "other", plain(), &authority);
    let missing = folder.0.join("missing.pem");
    for (files, part) in [
        (TlsFiles { certificate: missing.clone(), ..good.clone() }, "missing.pem: found No such file"),
        (
            TlsFiles { private_key: good.certificate.clone(), ..good.clone() },
            "good.pem: found none; expected a private key",
        ),
        (
            TlsFiles { private_key: other.private_key.clone(), ..good.clone() },
            "expected a certificate and its own private key",
        ),
        (TlsFiles { ca: good.private_key.clone(), ..good.clone() }, "good.key: found none; expected certificates"),
    ] {
        let error = Acceptor::load(&files).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(Dialer::load(&files, "127.0.0.1").unwrap_err().to_string(), error);
    }
    assert!(Dialer::load(&good, "no name").unwrap_err().to_string().contains("server_name: found no name"));
}

#[test]
fn answers_in_any_pieces_and_a_segment_of_many_requests_are_all_answered() {
    let site = Site::new();
    let mut stream = site.connect(&site.client(plain()));
    let many = READ.repeat(1_500);
    assert_eq!(exchange(&mut stream, &many, ANSWER.len() * 1_500), ANSWER.repeat(1_500));
    for byte in READ {
        stream.write_all(&[byte]).unwrap();
        stream.flush().unwrap();
    }
    assert_eq!(exchange(&mut stream, &[], ANSWER.len()), ANSWER);
}
