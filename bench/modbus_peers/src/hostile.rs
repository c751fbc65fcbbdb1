//! A good client among bad ones, and a client that stops renewing what it wrote.
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::client::{connect, REPLY, REQUEST};
use crate::meter::{nanos, Meter};
use crate::poll::{fired, timer, Poll};
use crate::Arguments;

/// Longest wait for an answer before it counts as not given.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Connections on which broken frames go out.
const BROKEN_CONNECTIONS: usize = 16;

/// One frame for each way to be wrong. Those that only wait for more are left out: half-open connections do that.
const BROKEN: [&[u8]; 15] = [
    &[0, 1, 0, 1, 0, 6, 1, 3, 0, 0, 0, 1],                    // protocol id 1
    &[0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1],                    // length 0
    &[0, 1, 0, 0, 0, 1, 1, 3, 0, 0, 0, 1],                    // length 1
    &[0, 1, 0, 0, 0xff, 0xff, 1, 3, 0, 0, 0, 1],              // length 65535
    &[0, 1, 0, 0, 0, 4, 1, 3, 0, 0, 0, 1],                    // length too short
    &[0, 1, 0, 0, 0, 2, 1, 3],                                // function code alone
    &[0, 1, 0, 0, 0, 6, 1, 0x55, 0, 0, 0, 1],                 // unknown function
    &[0, 1, 0, 0, 0, 2, 1, 0x80],                             // function 0x80
    &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 0],                    // no registers
    &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 126],                  // too many registers
    &[0, 1, 0, 0, 0, 6, 1, 3, 0xff, 0xff, 0, 2],              // past the end
    &[0, 1, 0, 0, 0, 255, 1, 16, 0, 0, 0, 124, 248],          // longer than a frame may be
    &[0, 1, 0, 0, 0, 11, 1, 16, 0, 0, 0, 2, 200, 0, 1, 0, 2], // byte count that lies
    &[0, 1, 0, 0, 0, 9, 1, 3, 0, 0, 0, 1, 9, 9, 9],           // bytes behind the request
    &[0, 1, 0, 0, 0, 6, 247, 3, 0, 0, 0, 1],                  // a unit that is not there
];

/// PORT MILLISECONDS PERIOD_US: reads at that rate; what it waited for each answer, and the answers that never came.
pub fn good(given: &Arguments) -> io::Result<()> {
    let period = given.get(2, "PERIOD_US")? * 1000;
    let mut stream = connect(given.port()?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut meter = Meter::start(given.span()?);
    let clock = timer(nanos() + period, period)?;
    let mut poll = Poll::new()?;
    poll.add(&clock, 0)?;
    let (mut ready, mut reply, mut reads, mut unanswered) = (Vec::new(), [0; REPLY], 0, 0);
    while !meter.is_over() {
        poll.wait(&mut ready)?;
        fired(&clock);
        let asked = nanos();
        stream.write_all(&REQUEST)?;
        match stream.read_exact(&mut reply) {
            Ok(()) => {
                meter.took(nanos() - asked);
                reads += 1;
            }
            Err(_) => {
                unanswered += 1;
                stream = connect(given.port()?)?;
                stream.set_read_timeout(Some(PATIENCE))?;
            }
        }
    }
    meter.report(reads, &[("unanswered", unanswered)]);
    Ok(())
}

/// PORT MILLISECONDS HALF_OPEN PERIOD_US: connections that said one byte, and a broken frame each period.
pub fn bad(given: &Arguments) -> io::Result<()> {
    let port = given.port()?;
    let period = given.get(3, "PERIOD_US")? * 1000;
    let mut silent = Vec::new();
    for _ in 0..given.get(2, "HALF_OPEN")? {
        silent.push(half_open(port)?);
    }
    let mut broken: Vec<Option<TcpStream>> = (0..BROKEN_CONNECTIONS).map(|_| None).collect();
    let meter = Meter::start(given.span()?);
    let clock = timer(nanos() + period, period)?;
    let mut poll = Poll::new()?;
    poll.add(&clock, 0)?;
    let (mut ready, mut frames, mut closed) = (Vec::new(), 0_usize, 0);
    while !meter.is_over() {
        poll.wait(&mut ready)?;
        for _ in 0..fired(&clock) {
            let place = &mut broken[frames % BROKEN_CONNECTIONS];
            closed += send_broken(place, port, BROKEN[frames % BROKEN.len()])?;
            frames += 1;
        }
        if frames % 64 == 0 {
            for stream in silent.iter_mut().filter(|stream| is_closed(stream)) {
                *stream = half_open(port)?;
            }
        }
    }
    meter.report(u64::try_from(frames).unwrap_or(0), &[("closed", closed)]);
    Ok(())
}

fn half_open(port: u16) -> io::Result<TcpStream> {
    let mut stream = connect(port)?;
    stream.write_all(&[0])?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Sends one frame, on a new connection if the server has closed the old one (then 1 is returned).
fn send_broken(place: &mut Option<TcpStream>, port: u16, frame: &[u8]) -> io::Result<u64> {
    let was_open = place.take();
    let closed = u64::from(was_open.is_some());
    let (mut stream, closed) = match was_open.filter(|stream| !is_closed(stream)) {
        Some(stream) => (stream, 0),
        None => {
            let stream = connect(port)?;
            stream.set_nonblocking(true)?;
            (stream, closed)
        }
    };
    // A server that closes while we write has done what it should.
    let _ = stream.write_all(frame);
    *place = Some(stream);
    Ok(closed)
}

/// Drains what came; whether the other side has closed.
fn is_closed(mut stream: &TcpStream) -> bool {
    let mut chunk = [0; 1024];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// PORT MILLISECONDS ADDRESS VALUE: writes once, then reads each millisecond until the register says something else.
pub fn expiry(given: &Arguments) -> io::Result<()> {
    let word = |index, name| u16::try_from(given.get(index, name)?).map_err(io::Error::other);
    let (address, value) = (word(2, "ADDRESS")?.to_be_bytes(), word(3, "VALUE")?.to_be_bytes());
    let mut stream = connect(given.port()?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut echo = [0; 12];
    let mut meter = Meter::start(given.span()?);
    stream.write_all(&[0, 1, 0, 0, 0, 6, 1, 6, address[0], address[1], value[0], value[1]])?;
    stream.read_exact(&mut echo)?;
    let (written, mut reply) = (nanos(), [0; 11]);
    let mut expired = 0;
    while expired == 0 && !meter.is_over() {
        std::thread::sleep(Duration::from_millis(1));
        stream.write_all(&[0, 2, 0, 0, 0, 6, 1, 3, address[0], address[1], 0, 1])?;
        stream.read_exact(&mut reply)?;
        if reply[9..] != value {
            expired = 1;
            meter.took(nanos() - written);
        }
    }
    meter.report(expired, &[]);
    Ok(())
}
