//! Clients that ask as fast as they get answers: the physical limit of one connection, of a window, of many sockets.
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::meter::{nanos, Meter, LOOK_EVERY, TIME_EVERY};
use crate::poll::Poll;
use crate::Arguments;

/// Bytes of a reply with 125 registers.
pub const REPLY: usize = 259;
/// FC3, unit 1, 125 registers from address 0; the first two bytes are the transaction id.
pub const REQUEST: [u8; 12] = [0, 0, 0, 0, 0, 6, 1, 3, 0, 0, 0, 125];
/// One connection in so many has its reads timed.
const TIMED_CONNECTION: usize = 16;
/// Connections opened before the server gets its turn.
const CONNECTS_AT_ONCE: usize = 16;
/// Most requests of one window.
const WINDOW_MAX: usize = 64;

/// Connects without delays.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// PORT MILLISECONDS
pub fn serial(given: &Arguments) -> io::Result<()> {
    window(connect(given.port()?)?, given.span()?, 1)
}

/// PORT MILLISECONDS DEPTH
pub fn pipelined(given: &Arguments) -> io::Result<()> {
    let depth = usize::try_from(given.get(2, "DEPTH")?).map_err(io::Error::other)?;
    window(connect(given.port()?)?, given.span()?, depth.clamp(1, WINDOW_MAX))
}

/// `depth` requests in one segment, all their answers, and again.
fn window(mut stream: TcpStream, span: u64, depth: usize) -> io::Result<()> {
    let mut requests: Vec<u8> = REQUEST.repeat(depth);
    let mut replies = vec![0; REPLY * depth];
    let (mut meter, mut turns) = (Meter::start(span), 0_u64);
    while !turns.is_multiple_of(LOOK_EVERY) || !meter.is_over() {
        for request in requests.chunks_exact_mut(REQUEST.len()) {
            request[..2].copy_from_slice(&turns.to_be_bytes()[6..]);
        }
        let started = turns.is_multiple_of(TIME_EVERY).then(nanos);
        stream.write_all(&requests)?;
        stream.read_exact(&mut replies)?;
        if let Some(started) = started {
            meter.took(nanos() - started);
        }
        turns += 1;
    }
    meter.report(turns * u64::try_from(depth).unwrap_or(0), &[]);
    Ok(())
}

/// PORT MILLISECONDS CONNECTIONS: one request under way on each.
pub fn many(given: &Arguments) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut streams = Vec::new();
    for number in 0..usize::try_from(given.get(2, "CONNECTIONS")?).map_err(io::Error::other)? {
        let mut stream = connect(given.port()?)?;
        poll.add(&stream, number)?;
        stream.write_all(&REQUEST)?;
        streams.push((stream, nanos(), 0));
        if number.is_multiple_of(CONNECTS_AT_ONCE) {
            // A server on our own core has to come to accept them: its backlog is not what is measured.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let (mut ready, mut chunk) = (Vec::new(), [0; 2 * REPLY]);
    let (mut meter, mut reads) = (Meter::start(given.span()?), 0_u64);
    while !meter.is_over() {
        poll.wait(&mut ready)?;
        for number in &ready {
            let (stream, asked, held) = &mut streams[*number];
            *held += stream.read(&mut chunk)?;
            if *held < REPLY {
                continue;
            }
            *held = 0;
            reads += 1;
            // One connection in many is timed: a clock for each read would be work of ours.
            if number.is_multiple_of(TIMED_CONNECTION) {
                meter.took(nanos() - *asked);
                *asked = nanos();
            }
            stream.write_all(&REQUEST)?;
        }
    }
    meter.report(reads, &[]);
    Ok(())
}
