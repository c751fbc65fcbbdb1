//! Who is late for what, and who makes room.
#![allow(clippy::unwrap_used)]
use std::net::{TcpListener, TcpStream};

use mio::{Poll, Token};

use super::*;
use crate::modbus::server::connection::IDLE_CLIENT;
use crate::modbus::server::Server;

const READ: [u8; 12] = [0, 9, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
const T0: Millis = Millis::new(0);

/// Clients over real sockets; what they say is handed to them.
struct Hall {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<TcpStream>,
    clients: Clients,
    server: Server,
}

impl Hall {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let poll = Poll::new().unwrap();
        Self { poll, listener, peers: Vec::new(), clients: Clients::default(), server: Server::new(1) }
    }

    fn admit(&mut self, host: u128, facade: usize) -> usize {
        self.peers.push(TcpStream::connect(self.listener.local_addr().unwrap()).unwrap());
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let token = self.clients.next_token();
        let stream = mio::net::TcpStream::from_std(stream);
        let socket = Socket::accepted(stream, self.poll.registry(), Token(token), None).unwrap();
        let party = Party { host, ..Party::default() };
        let record = ClientRecord {
            peer: String::new(),
            since: T0,
            party: OnceLock::new(),
            asked_at: AtomicI64::new(0),
            requests: AtomicU64::new(0),
            exceptions: AtomicU64::new(0),
        };
        self.clients.insert(Client {
            socket,
            connection: Connection::new(Arc::new(party), T0),
            record: Arc::new(record),
            facade,
            host,
            is_queued: false,
            is_ending: false,
            handshake_until: None,
            blocked_since: None,
        });
        token
    }

    fn hear(&mut self, token: usize, bytes: &[u8], now: i64) {
        let client = self.clients.get_mut(token).unwrap();
        client.connection.receive(bytes, &mut self.server, Millis::new(now), &mut Vec::new());
    }
}

#[test]
fn an_old_token_is_never_taken_for_a_new_client() {
    let mut hall = Hall::new();
    let old = hall.admit(1, 0);
    assert!(hall.clients.remove(old).is_some());
    let new = hall.admit(1, 0);
    assert_ne!(old, new);
    assert!(hall.clients.get_mut(old).is_none() && hall.clients.remove(old).is_none());
    assert!(hall.clients.get_mut(new).is_some());
    assert_eq!(hall.clients.iter().map(|(token, _)| token).collect::<Vec<usize>>(), [new]);
}

#[test]
fn the_host_with_most_connections_makes_room_first_and_of_it_the_one_that_never_spoke() {
    let mut hall = Hall::new();
    let alone = hall.admit(1, 0);
    let (spoke_first, spoke_last, silent) = (hall.admit(2, 0), hall.admit(2, 0), hall.admit(2, 0));
    let elsewhere: Vec<usize> = (0..5).map(|_| hall.admit(3, 1)).collect();
    hall.hear(spoke_first, &READ, 10);
    hall.hear(spoke_last, &READ, 20);
    let mut gone = Vec::new();
    while let Some(token) = hall.clients.dispensable(0) {
        hall.clients.remove(token);
        gone.push(token);
    }
    assert_eq!(gone[..2], [silent, spoke_first]);
    assert!(gone[2..] == [alone, spoke_last] || gone[2..] == [spoke_last, alone]);
    assert!(elsewhere.iter().all(|token| hall.clients.get_mut(*token).is_some()), "another facade is not touched");
}

#[test]
fn a_client_is_late_for_the_first_of_its_deadlines_and_under_its_name() {
    let mut hall = Hall::new();
    let token = hall.admit(1, 0);
    let client = |hall: &mut Hall| {
        let client = hall.clients.get_mut(token).unwrap();
        (client.deadline(), client.late())
    };
    assert_eq!(client(&mut hall), (IDLE_CLIENT, Late::Idle));
    hall.hear(token, &READ[..5], 100);
    assert_eq!(client(&mut hall), (Millis::new(1_100), Late::Partial));
    hall.hear(token, &READ[5..], 200);
    assert_eq!(client(&mut hall), (IDLE_CLIENT + Millis::new(200), Late::Idle));
    hall.clients.get_mut(token).unwrap().handshake_until = Some(HANDSHAKE);
    assert_eq!(client(&mut hall), (HANDSHAKE, Late::Handshake));
    hall.clients.get_mut(token).unwrap().blocked_since = Some(Millis::new(-1));
    assert_eq!(client(&mut hall), (BLOCKED - Millis::new(1), Late::Blocked));
}
