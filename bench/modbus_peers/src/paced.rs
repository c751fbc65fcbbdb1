//! The reference poller: a fleet at its rate, due times on slots, one thread, and nothing that a product would need.
//!
//! Each connection is due once a period, on a slot of its own choosing modulo the number of slots. A device that has not
//! answered when it is due again has missed that period. Replies are decoded into one array of words.
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use crate::client::{connect, REPLY, REQUEST};
use crate::meter::{nanos, Meter};
use crate::poll::{fired, timer, Poll};
use crate::Arguments;

const TIMER: usize = usize::MAX;
const WORDS: usize = 125;

struct Fleet {
    streams: Vec<(TcpStream, bool)>,
    image: Vec<u16>,
    slots: usize,
    slot: usize,
    started: u64,
    slot_ns: u64,
    reads: u64,
    missed: u64,
}

/// PORT MILLISECONDS CONNECTIONS PERIOD_US SLOT_US
pub fn fleet(given: &Arguments) -> io::Result<()> {
    let size = |index, name| usize::try_from(given.get(index, name)?).map_err(io::Error::other);
    let (connections, period_us, slot_us) = (size(2, "CONNECTIONS")?, size(3, "PERIOD_US")?, given.get(4, "SLOT_US")?);
    let mut poll = Poll::new()?;
    let mut streams = Vec::new();
    for number in 0..connections {
        let stream = connect(given.port()?)?;
        poll.add(&stream, number)?;
        streams.push((stream, false));
    }
    let slots = period_us / usize::try_from(slot_us).map_err(io::Error::other)?;
    let (slot_ns, started) = (slot_us * 1000, nanos() + 1_000_000);
    let clock = timer(started, slot_ns)?;
    poll.add(&clock, TIMER)?;
    let image = vec![0; connections * WORDS];
    let mut fleet = Fleet { streams, image, slots, slot: 0, started, slot_ns, reads: 0, missed: 0 };
    let mut meter = Meter::start(given.span()?);
    let mut ready = Vec::new();
    while !meter.is_over() {
        poll.wait(&mut ready)?;
        for number in &ready {
            if *number == TIMER {
                fleet.ask(&clock, &mut meter)?;
            } else {
                fleet.take(*number)?;
            }
        }
    }
    meter.report(fleet.reads, &[("missed", fleet.missed)]);
    Ok(())
}

impl Fleet {
    /// Asks all that are due in the slots that have begun.
    fn ask(&mut self, clock: &OwnedFd, meter: &mut Meter) -> io::Result<()> {
        for _ in 0..fired(clock) {
            let slot = self.slot % self.slots;
            let due = self.started + u64::try_from(self.slot).unwrap_or(0) * self.slot_ns;
            for (stream, is_waiting) in self.streams.iter_mut().skip(slot).step_by(self.slots) {
                if std::mem::replace(is_waiting, true) {
                    self.missed += 1;
                    continue;
                }
                stream.write_all(&REQUEST)?;
                meter.took(nanos().saturating_sub(due));
            }
            self.slot += 1;
        }
        Ok(())
    }

    /// Takes one reply and decodes it.
    fn take(&mut self, number: usize) -> io::Result<()> {
        let mut reply = [0; REPLY];
        let (stream, is_waiting) = &mut self.streams[number];
        stream.read_exact(&mut reply)?;
        *is_waiting = false;
        self.reads += 1;
        let words = reply[9..].as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair));
        self.image[number * WORDS..][..WORDS].iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
        Ok(())
    }
}
