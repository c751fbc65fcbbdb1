//! Both kinds of session against a simple account of them: whatever a peer does, and however its bytes are cut, every
//! transaction ends exactly once and never with what was meant for another.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::frame;
use super::super::pdu::{encode_exception, encode_registers, Exception, Reply, Span, Table};
use super::super::rtu::{self, Format, Parity};
use super::*;

const TIMEOUT: Micros = Micros::from_millis(300);
const FORMAT: Format = Format { baud: 19_200, parity: Parity::Even, stop_bits: 1 };

#[derive(Clone, Debug)]
enum Step {
    /// Another request to unit 1 or 2, if the line takes one.
    Send(u8),
    /// The right answer to a request of this connection, be it late or not the next one.
    Answer(Index),
    /// The answer that came last, again.
    Repeat,
    /// An answer of another length, or an exception.
    Wrong(Index, bool),
    /// The answer that somebody else asked for.
    Foreign(u8),
    /// Bytes that are no answer.
    Noise(Vec<u8>),
    Wait(i64),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u8..3).prop_map(Step::Send),
        6 => any::<Index>().prop_map(Step::Answer),
        1 => Just(Step::Repeat),
        1 => any::<(Index, bool)>().prop_map(|(which, refuses)| Step::Wrong(which, refuses)),
        1 => (1u8..9).prop_map(Step::Foreign),
        1 => prop::collection::vec(any::<u8>(), 1..30).prop_map(Step::Noise),
        // Long enough for a request to leave, for silence, for a time-out, and whatever else.
        6 => prop_oneof![3 => Just(6i64), 2 => Just(300), 1 => 1i64..650].prop_map(Step::Wait),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..60)
}

/// A request as the peer knows it. Its answer is one register that holds the token.
#[derive(Clone, Debug)]
struct Asked {
    connection: usize,
    head: [u8; 2],
    unit: u8,
    token: u16,
    sent_at: Micros,
    is_answered: bool,
}

/// What a peer sends for a step.
type Peer = fn(&mut Model, &Step) -> Vec<u8>;

struct Model {
    session: Session,
    now: Micros,
    piece: usize,
    asked: Vec<Asked>,
    tokens: u16,
    /// The answer that came last, and on which connection.
    last: (usize, Vec<u8>),
    ended: BTreeMap<u16, Result<Reply, Failure>>,
    twice: bool,
    connections: usize,
}

impl Model {
    fn new(transport: Transport, piece: usize) -> Self {
        let session = Session::new(SessionConfig { transport, gap: Micros::ZERO }, Jitter::new(3));
        let (now, ended) = (Micros::ZERO, BTreeMap::new());
        let mut model = Self {
            session,
            now,
            piece,
            asked: vec![],
            tokens: 0,
            last: (0, vec![]),
            ended,
            twice: false,
            connections: 0,
        };
        model.connect();
        model
    }

    fn connect(&mut self) {
        while let Some(command) = self.session.take_command(self.now) {
            if command == LinkCommand::Connect {
                self.session.connected(self.now);
                self.connections += 1;
            }
        }
    }

    fn watch(&mut self, act: impl FnOnce(&mut Session, &mut dyn FnMut(Completion<'_>))) {
        let (ended, twice) = (&mut self.ended, &mut self.twice);
        let mut done = |completion: Completion<'_>| {
            let token = u16::try_from(completion.token.0).unwrap();
            *twice |= ended.insert(token, completion.to_owned().result).is_some();
        };
        act(&mut self.session, &mut done);
        self.connect();
    }

    fn hear(&mut self, bytes: &[u8]) {
        let (now, piece) = (self.now, self.piece);
        self.watch(|session, mut done| {
            bytes.chunks(piece).for_each(|piece| session.receive(piece, now, &mut done));
        });
    }

    fn wait(&mut self, millis: i64) {
        self.now += Micros::from_millis(millis);
        let now = self.now;
        self.watch(|session, mut done| session.expire(now, &mut done));
    }

    fn send(&mut self, unit: u8) {
        self.now = self.now.max(self.session.ready_at().unwrap_or(self.now));
        let (mut out, token) = (Vec::new(), self.tokens);
        let request = Request::Read { table: Table::Holding, span: Span { start: 0, count: 1 } };
        let deadline = self.now + TIMEOUT;
        let sent = self.session.send(unit, &request, Token(u64::from(token)), deadline, self.now, &mut out);
        if sent.is_ok() {
            let head = *out.first_chunk().unwrap();
            self.asked.push(Asked {
                connection: self.connections,
                head,
                unit,
                token,
                sent_at: self.now,
                is_answered: false,
            });
            self.tokens += 1;
        }
    }

    /// Each transaction has ended once, and what was read is what was meant for it.
    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(!self.twice, "ended twice");
        prop_assert_eq!(self.ended.len(), usize::from(self.tokens), "some never ended");
        for (token, result) in &self.ended {
            if let Ok(reply) = result {
                prop_assert_eq!(reply, &Reply::Registers(vec![*token]));
            }
        }
        Ok(())
    }
}

fn wrong(refuses: bool) -> Vec<u8> {
    if refuses {
        encode_exception(3, Exception::DeviceBusy)
    } else {
        encode_registers(3, &[1, 2])
    }
}

/// What a TCP peer sends for a step, on the connection on which it was asked.
fn tcp_bytes(model: &mut Model, step: &Step) -> Vec<u8> {
    let of = |asked: &Asked, pdu: &[u8]| frame::encode(u16::from_be_bytes(asked.head), asked.unit, pdu);
    let asked: Vec<&Asked> = model.asked.iter().filter(|asked| asked.connection == model.connections).collect();
    match step {
        Step::Answer(which) if !asked.is_empty() => {
            let asked = which.get(&asked);
            let answer = of(asked, &encode_registers(3, &[asked.token]));
            model.last = (model.connections, answer.clone());
            answer
        }
        Step::Wrong(which, refuses) if !asked.is_empty() => {
            let asked = which.get(&asked);
            of(asked, &wrong(*refuses))
        }
        Step::Repeat if model.last.0 == model.connections => model.last.1.clone(),
        Step::Foreign(unit) => {
            // The right id and another unit, or another id and the right unit.
            let id = asked.last().map_or(0, |asked| u16::from_be_bytes(asked.head));
            let (id, unit) = if *unit > 2 { (id, *unit) } else { (id.wrapping_add(1), *unit) };
            frame::encode(id, unit, &encode_registers(3, &[0xFFFF]))
        }
        // Anything but a frame that may be an answer: as noise on TCP, half of a header.
        Step::Noise(noise) if noise.len() > 25 => vec![0, 0, 0xFF],
        _ => vec![],
    }
}

/// What units on a serial line send for a step. A unit answers once, and at the latest when it has been waited for twice.
fn rtu_bytes(model: &mut Model, step: &Step) -> Vec<u8> {
    let now = model.now;
    let owes = |asked: &&mut Asked| !asked.is_answered && now < asked.sent_at + TIMEOUT + TIMEOUT;
    match step {
        Step::Answer(which) | Step::Wrong(which, _) => {
            let mut owing: Vec<&mut Asked> = model.asked.iter_mut().filter(owes).collect();
            if owing.is_empty() {
                return vec![];
            }
            let at = which.index(owing.len());
            owing[at].is_answered = true;
            match step {
                Step::Wrong(_, refuses) => rtu::encode(owing[at].unit, &wrong(*refuses)),
                _ => rtu::encode(owing[at].unit, &encode_registers(3, &[owing[at].token])),
            }
        }
        Step::Foreign(unit) => rtu::encode(unit + 3, &encode_registers(3, &[0xFFFF])),
        Step::Noise(noise) => noise.clone(),
        _ => vec![],
    }
}

fn run(model: &mut Model, steps: &[Step], bytes: Peer) {
    for step in steps {
        let heard = bytes(model, step);
        model.hear(&heard);
        match step {
            Step::Send(unit) => model.send(*unit),
            Step::Wait(millis) => model.wait(*millis),
            Step::Close => {
                let now = model.now;
                model.watch(|session, mut done| session.closed(now, &mut done));
            }
            _ => {}
        }
    }
    let now = model.now;
    model.watch(|session, mut done| session.closed(now, &mut done));
}

/// Whole or cut into pieces: the same ends, the same counts.
fn same(transport: Transport, steps: &[Step], piece: usize, bytes: Peer) -> Result<(), TestCaseError> {
    let (mut cut, mut whole) = (Model::new(transport, piece), Model::new(transport, 10_000));
    run(&mut cut, steps, bytes);
    run(&mut whole, steps, bytes);
    cut.check()?;
    prop_assert_eq!(&cut.ended, &whole.ended);
    prop_assert_eq!(cut.session.counters, whole.session.counters);
    Ok(())
}

proptest! {
    #[test]
    fn over_tcp_each_transaction_ends_once_and_never_with_anothers_data(
        steps in steps(), window_max in 1u16..6, piece in 1usize..20,
    ) {
        same(Transport::Tcp { window_max }, &steps, piece, tcp_bytes)?;
    }

    #[test]
    fn on_a_serial_line_each_transaction_ends_once_and_never_with_anothers_data(steps in steps(), piece in 1usize..20) {
        same(Transport::Rtu(FORMAT), &steps, piece, rtu_bytes)?;
    }

    #[test]
    fn a_peer_that_only_answers_keeps_an_open_window_open(bursts in prop::collection::vec(1usize..6, 1..20), window_max in 2u16..6) {
        let mut model = Model::new(Transport::Tcp { window_max }, 7);
        for burst in [2].into_iter().chain(bursts) {
            (0..burst).for_each(|_| model.send(1));
            let answers: Vec<Vec<u8>> = model.asked.drain(..)
                .map(|asked| frame::encode(u16::from_be_bytes(asked.head), 1, &encode_registers(3, &[asked.token])))
                .collect();
            prop_assert_eq!(answers.len(), burst.min(model.session.window()));
            model.hear(&answers.concat());
            prop_assert_eq!(model.session.window(), usize::from(window_max));
        }
        model.check()?;
    }

    #[test]
    fn a_peer_that_answers_in_time_is_always_understood(which in any::<Index>(), piece in 1usize..20) {
        let round = [Step::Wait(10), Step::Send(1), Step::Wait(10), Step::Answer(which)];
        let kinds: [(_, Peer); 2] =
            [(Transport::Tcp { window_max: 1 }, tcp_bytes), (Transport::Rtu(FORMAT), rtu_bytes)];
        for (transport, bytes) in kinds {
            let mut model = Model::new(transport, piece);
            run(&mut model, &round, bytes);
            model.check()?;
            prop_assert_eq!(model.ended, BTreeMap::from([(0, Ok(Reply::Registers(vec![0])))]));
        }
    }
}
