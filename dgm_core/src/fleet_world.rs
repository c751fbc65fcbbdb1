//! A fleet on virtual wires, for tests: time jumps from event to event, exact to the microsecond.
use std::collections::{BTreeSet, VecDeque};

use super::*;
use crate::modbus::frame::{self, Decoder};
use crate::modbus::line::LineEvent;
use crate::modbus::mapped::Mapped;
use crate::modbus::pdu::{encode_exception, encode_registers, encode_written, Exception, Span, Table};
use crate::modbus::polled::{Done, ReadConfig};
use crate::modbus::session::{LinkCommand, Transport};

/// What a device at the end of a wire does.
#[derive(Debug)]
pub struct Peer {
    /// Whether its port is open.
    pub is_reachable: bool,
    /// Takes bytes and says nothing, not even that it is gone.
    pub is_mute: bool,
    /// Answers only the first frame of a segment.
    pub drops_second: bool,
    /// Units that do not answer.
    pub silent: BTreeSet<u8>,
    /// Time from request to answer.
    pub latency: Micros,
    /// The next answer comes so much later.
    pub delay_next: Option<Micros>,
    /// The next answer has another transaction id.
    pub wrong_id_next: bool,
    /// Answered to every read.
    pub refuses: Option<Exception>,
    is_connected: bool,
    decoder: Decoder,
    answers: VecDeque<(Micros, Vec<u8>)>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            is_reachable: true,
            is_mute: false,
            drops_second: false,
            silent: BTreeSet::new(),
            latency: Micros::new(700),
            delay_next: None,
            wrong_id_next: false,
            refuses: None,
            is_connected: false,
            decoder: Decoder::default(),
            answers: VecDeque::new(),
        }
    }
}

/// A request as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub at: Micros,
    pub line: usize,
    pub unit: u8,
    pub function: u8,
    pub start: u16,
}

/// A fleet, its devices and the time.
pub struct World {
    pub fleet: Fleet,
    pub peers: Vec<Peer>,
    pub now: Micros,
    pub sent: Vec<Sent>,
    pub done: Vec<Done>,
    pub connects: Vec<(Micros, usize)>,
    /// When something happens on each line, and the same in the order of time.
    next: Vec<Option<Micros>>,
    agenda: BTreeSet<(Micros, usize)>,
}

pub fn ms(value: i64) -> Micros {
    Micros::from_millis(value)
}

/// A read of 125 registers from `start` each `period` ms.
pub fn read(start: u16, period: i64, phase: i64) -> ReadConfig {
    let span = Span { start, count: 125 };
    ReadConfig { table: Table::Holding, span, period: ms(period), phase: ms(phase), age_max: ms(3 * period) }
}

/// A line to a host of its own.
pub fn line(window_max: u16, units: &[(u8, Vec<ReadConfig>)]) -> FleetLine {
    let session = SessionConfig { transport: Transport::Tcp { window_max }, gap: Micros::ZERO };
    let units = units
        .iter()
        .map(|(unit, reads)| UnitConfig { unit: *unit, reads: reads.clone(), points: Mapped::nothing() })
        .collect();
    FleetLine { endpoint: Endpoint::Tcp { host: "a".to_owned(), port: 502 }, session, timeout: ms(200), units }
}

impl World {
    pub fn new(lines: &[FleetLine]) -> Self {
        let fleet = Fleet::new(lines, Arc::new(image_of(lines)), 7);
        Self {
            fleet,
            peers: lines.iter().map(|_| Peer::default()).collect(),
            now: Micros::ZERO,
            sent: Vec::new(),
            done: Vec::new(),
            connects: Vec::new(),
            next: vec![Some(Micros::ZERO); lines.len()],
            // Every line is looked at once before anything else.
            agenda: (0..lines.len()).map(|line| (Micros::ZERO, line)).collect(),
        }
    }

    /// Until `end`, everything that happens in its order.
    pub fn run_until(&mut self, end: Micros) {
        while let Some((at, line)) = self.agenda.first().copied().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            match self.peers[line].answers.pop_front_if(|(arrives, _)| *arrives <= self.now) {
                Some((_, bytes)) => self.feed(line, LineEvent::Received(&bytes)),
                None => self.feed(line, LineEvent::Wake),
            }
        }
        self.now = end;
    }

    pub fn run(&mut self, span: i64) {
        self.run_until(self.now + ms(span));
    }

    /// The port closes: the connection is reset.
    pub fn reset(&mut self, line: usize) {
        self.peers[line].is_reachable = false;
        if std::mem::take(&mut self.peers[line].is_connected) {
            self.peers[line].answers.clear();
            self.feed(line, LineEvent::Closed);
        }
    }

    pub fn order(&mut self, order: DeviceOrder) {
        let line = self.fleet.order(order, self.now).unwrap();
        self.attend(line);
    }

    fn note(&mut self, index: usize) {
        let answer = self.peers[index].answers.front().map(|(at, _)| *at);
        let next = answer.into_iter().chain(self.fleet.lines()[index].1.wake_time()).min();
        if let Some(before) = std::mem::replace(&mut self.next[index], next) {
            self.agenda.remove(&(before, index));
        }
        self.agenda.extend(next.map(|at| (at, index)));
    }

    pub fn feed(&mut self, line: usize, event: LineEvent<'_>) {
        self.fleet.line_mut(line).unwrap().feed(event, self.now);
        self.attend(line);
    }

    fn attend(&mut self, index: usize) {
        let line = self.fleet.line_mut(index).unwrap();
        let done = line.take(|polled| std::mem::take(polled.done()));
        self.done.extend(done);
        while let Some(command) = self.fleet.line_mut(index).unwrap().take_command(self.now) {
            let peer = &mut self.peers[index];
            (peer.decoder, peer.is_connected) = (Decoder::default(), false);
            peer.answers.clear();
            if command == LinkCommand::Connect {
                self.connects.push((self.now, index));
                peer.is_connected = peer.is_reachable;
                let event = if peer.is_reachable { LineEvent::Connected } else { LineEvent::Closed };
                self.fleet.line_mut(index).unwrap().feed(event, self.now);
            }
        }
        let bytes = std::mem::take(self.fleet.line_mut(index).unwrap().output());
        if !bytes.is_empty() {
            assert!(self.peers[index].is_connected, "bytes for nobody");
            self.carry(index, &bytes);
        }
        self.note(index);
    }

    fn carry(&mut self, line: usize, bytes: &[u8]) {
        let (peer, now) = (&mut self.peers[line], self.now);
        peer.decoder.push(bytes);
        let mut is_first = true;
        while let Some(frame) = peer.decoder.next_frame().unwrap() {
            let start = u16::from_be_bytes([frame.pdu[1], frame.pdu[2]]);
            self.sent.push(Sent { at: now, line, unit: frame.unit, function: frame.pdu[0], start });
            let is_dropped = peer.drops_second && !std::mem::take(&mut is_first);
            if is_dropped || peer.is_mute || peer.silent.contains(&frame.unit) {
                continue;
            }
            let pdu = answer(frame.unit, frame.pdu, peer.refuses);
            let id = frame.transaction.wrapping_add(u16::from(std::mem::take(&mut peer.wrong_id_next)));
            let at = now + peer.latency + peer.delay_next.take().unwrap_or_default();
            peer.answers.push_back((at, frame::encode(id, frame.unit, &pdu)));
        }
    }
}

/// A register holds the unit id and its own address.
pub fn value(unit: u8, address: u16) -> u16 {
    u16::from(unit) << 8 | address & 0xFF
}

fn answer(unit: u8, pdu: &[u8], refuses: Option<Exception>) -> Vec<u8> {
    match (Request::parse(pdu).unwrap(), refuses) {
        (_, Some(exception)) => encode_exception(pdu[0], exception),
        (Request::Read { span, .. }, None) => {
            let addresses = span.start..span.start + span.count;
            encode_registers(pdu[0], &addresses.map(|address| value(unit, address)).collect::<Vec<_>>())
        }
        (Request::WriteMany { start, values }, None) => {
            encode_written(pdu[0], start, u16::try_from(values.len()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}
