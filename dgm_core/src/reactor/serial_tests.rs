//! A session over a real terminal pair: the unit at the other end is a thread with a fake slave.
#![allow(clippy::unwrap_used)]
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Poll};
use rustix::pty::{grantpt, openpt, ptsname, unlockpt, OpenptFlags};

use super::super::clock;
use super::super::socket::{Received, Socket, CHUNK};
use super::*;
use crate::modbus::fake_slave::take_request;
use crate::modbus::pdu::{encode_registers, encode_written, Reply, Request, Span, Table};
use crate::modbus::rtu;
use crate::modbus::session::{
    Failure, Jitter, LinkCommand, OwnedCompletion, Session, SessionConfig, SessionCounters, Token as Ticket, Transport,
};
use crate::units::Micros;

/// A pseudo-terminal has no parity, and as fast as this a request has left before anybody can answer it.
const FORMAT: Format = Format { baud: 4_000_000, parity: Parity::None, stop_bits: 1 };
/// The whole of a test may take so long.
const PATIENCE: Micros = Micros::from_millis(20_000);

/// The far end of a terminal pair, and the path of the near one.
fn pair() -> (OwnedFd, PortConfig) {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    let path = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
    (far, PortConfig { path, format: FORMAT })
}

/// Answers until the near end is closed; `answer` says how, in bytes.
fn slave(far: OwnedFd, mut answer: impl FnMut(u8, Request) -> Vec<u8> + Send + 'static) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let (mut bytes, mut chunk, mut requests) = (Vec::new(), [0; 300], 0);
        while let Ok(count @ 1..) = rustix::io::read(&far, &mut chunk[..]) {
            bytes.extend_from_slice(&chunk[..count]);
            while let Some((unit, request)) = take_request(&mut bytes) {
                requests += 1;
                let reply = answer(unit, request);
                assert_eq!(rustix::io::write(&far, &reply).unwrap(), reply.len());
            }
        }
        requests
    })
}

fn obedient(unit: u8, request: Request) -> Vec<u8> {
    let pdu = match request {
        Request::Read { span, .. } => encode_registers(3, &vec![span.start; usize::from(span.count)]),
        Request::WriteOne { address, value } => encode_written(6, address, value),
        other => panic!("{other:?}"),
    };
    rtu::encode(unit, &pdu)
}

/// Asks all requests of unit 1, one after the other, each with so much time.
fn ask(config: &PortConfig, requests: &[Request], timeout: Micros) -> (Vec<OwnedCompletion>, SessionCounters) {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let transport = Transport::Rtu(config.format);
    let mut session = Session::new(SessionConfig { transport, gap: Micros::ZERO }, Jitter::new(1));
    let (mut socket, mut ended, mut next) = (None, Vec::new(), requests.iter());
    let mut chunk = [0; CHUNK];
    let started = clock::micros();
    while ended.len() < requests.len() {
        let now = clock::micros();
        assert!(now - started < PATIENCE, "{ended:?}");
        if session.take_command(now) == Some(LinkCommand::Connect) {
            socket = Some(Socket::open(config, poll.registry(), Token(0)).unwrap());
            session.connected(now);
        }
        let port = socket.as_mut().unwrap();
        while let Received::Bytes(count) = port.receive(&mut chunk) {
            session.receive(&chunk[..count], now, &mut |completion| ended.push(completion.to_owned()));
        }
        session.expire(now, &mut |completion| ended.push(completion.to_owned()));
        if session.room(now) > 0 && session.free_at(1).is_none_or(|free_at| free_at <= now) {
            if let Some(request) = next.next() {
                let mut out = Vec::new();
                session.send(1, request, Ticket(0), now + timeout, now, &mut out).unwrap();
                port.send(&out).unwrap();
            }
        }
        let wake = session.ready_at().max(session.free_at(1)).or(session.wake_time()).unwrap_or(now);
        let pause = (wake - clock::micros()).max(Micros::ZERO);
        poll.poll(&mut events, Some(Duration::from_micros(u64::try_from(pause.get()).unwrap()))).unwrap();
    }
    (ended, session.counters)
}

fn read(start: u16) -> Request {
    Request::Read { table: Table::Holding, span: Span { start, count: 125 } }
}

#[test]
fn a_unit_on_a_terminal_pair_is_read_and_written() {
    let (far, config) = pair();
    let unit = slave(far, obedient);
    let mut requests: Vec<Request> = (0..50).map(read).collect();
    requests.push(Request::WriteOne { address: 7, value: 0x0D0A });
    let (ended, counters) = ask(&config, &requests, Micros::from_millis(5_000));
    for (start, ended) in (0..50).zip(&ended) {
        assert_eq!(ended.result, Ok(Reply::Registers(vec![start; 125])));
    }
    assert_eq!(ended[50].result, Ok(Reply::Written));
    assert_eq!((counters.timeouts, counters.stray_bytes, unit.join().unwrap()), (0, 0, 51));
}

#[test]
fn a_reply_that_never_comes_whole_costs_one_transaction() {
    let (far, config) = pair();
    let mut is_first = true;
    let unit = slave(far, move |unit, request| {
        let reply = obedient(unit, request);
        reply[..if std::mem::take(&mut is_first) { 100 } else { reply.len() }].to_vec()
    });
    let (ended, counters) = ask(&config, &[read(1), read(2)], Micros::from_millis(300));
    assert_eq!(ended[0].result, Err(Failure::TimedOut));
    assert_eq!(ended[1].result, Ok(Reply::Registers(vec![2; 125])));
    assert_eq!((counters.stray_bytes, unit.join().unwrap()), (100, 2));
}

#[test]
fn a_unit_whose_port_is_gone_is_seen_as_an_end() {
    let (far, config) = pair();
    let poll = Poll::new().unwrap();
    let mut socket = Socket::open(&config, poll.registry(), Token(0)).unwrap();
    assert_eq!(socket.is_connected(), Some(true));
    assert_eq!(socket.receive(&mut [0; CHUNK]), Received::Nothing);
    drop(far);
    assert_eq!(socket.receive(&mut [0; CHUNK]), Received::End);
}

#[test]
fn a_port_that_cannot_be_used_is_refused_with_path_and_reason() {
    let (_far, config) = pair();
    let with = |format: Format| Port::open(&PortConfig { format, ..config.clone() }).unwrap_err().to_string();
    let at = |path: &str| Port::open(&PortConfig { path: path.to_owned(), ..config.clone() }).unwrap_err().to_string();
    let table = [
        (at("/dev/no-such-port"), "serial port /dev/no-such-port: cannot be opened (No such file"),
        (at("/dev/null"), "serial port /dev/null: is not a serial port; expected"),
        (with(Format { stop_bits: 3, ..FORMAT }), "3 stop bits asked for; expected 1 or 2"),
        (with(Format { baud: 0, ..FORMAT }), "0 baud asked for"),
    ];
    for (message, part) in table {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_driver_that_sets_something_else_than_asked_is_found_out() {
    let (_far, config) = pair();
    let settings = tcgetattr(&Port::open(&config).unwrap().file).unwrap();
    let found =
        |format: Format| check(&settings, format).map_err(|problem| PortError::new(&config, problem).to_string());
    let table = [
        (Format { parity: Parity::Even, ..FORMAT }, "does not take 8 data bits, parity Even, 1 stop bits"),
        (Format { stop_bits: 2, ..FORMAT }, "does not take 8 data bits, parity None, 2 stop bits"),
        (Format { baud: 9_600, ..FORMAT }, "9600 baud asked for, the driver gives 4000000"),
    ];
    assert_eq!(found(FORMAT), Ok(()));
    for (format, part) in table {
        assert!(found(format).unwrap_err().contains(part));
    }
}
