//! The codec and both kinds of session against frames that pymodbus wrote, whole and cut at every byte.
//!
//! ```text
//! tests/core/modbus_vectors.py ── pymodbus ──> vectors/modbus.txt ──> the same bytes, the same values
//! ```
#![allow(clippy::unwrap_used)]
use dgm_core::modbus::frame::{self, Decoder};
use dgm_core::modbus::pdu::{
    bits_into, exception_into, mask_written_into, registers_into, written_into, Exception, Expected, Reply, ReplyError,
    ReplyView, Request, RequestView, Span, Table,
};
use dgm_core::modbus::rtu::{self, Format, Parity, ReplyDecoder};
use dgm_core::modbus::session::{Failure, Jitter, LinkCommand, Session, SessionConfig, Token, Transport};
use dgm_core::units::Micros;

const VECTORS: &str = include_str!("vectors/modbus.txt");
const FORMAT: Format = Format { baud: 19_200, parity: Parity::Even, stop_bits: 1 };

/// One transaction, as values and as pymodbus wrote it.
struct Vector {
    request: Request,
    result: Result<Reply, Failure>,
    transaction: u16,
    unit: u8,
    /// Request and reply.
    tcp: [Vec<u8>; 2],
    rtu: [Vec<u8>; 2],
}

fn numbers(text: &str) -> Vec<u16> {
    text.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn flags(words: &[u16]) -> Vec<bool> {
    words.iter().map(|word| *word == 1).collect()
}

fn request(function: u8, numbers: &[u16], written: Vec<u16>) -> Request {
    let read = |table| Request::read(table, Span { start: numbers[0], count: numbers[1] }).unwrap();
    let address = numbers[0];
    match function {
        1 => read(Table::Coil),
        2 => read(Table::DiscreteInput),
        3 => read(Table::Holding),
        4 => read(Table::Input),
        5 => Request::WriteCoil { address, value: written[0] == 1 },
        6 => Request::WriteOne { address, value: written[0] },
        15 => Request::write_coils(address, flags(&written)).unwrap(),
        16 => Request::write(address, written).unwrap(),
        22 => Request::MaskWrite { address, and: numbers[1], or: numbers[2] },
        23 => Request::read_write(Span { start: address, count: numbers[1] }, numbers[2], written).unwrap(),
        other => panic!("function {other}"),
    }
}

fn vectors() -> impl Iterator<Item = Vector> {
    VECTORS.lines().map(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        let function = fields[0].parse().unwrap();
        let result = match (fields[3].strip_prefix("exception "), function) {
            (Some(code), _) => Err(Failure::Refused(Exception::from_code(code.parse().unwrap()))),
            (None, 1 | 2) => Ok(Reply::Bits(flags(&numbers(fields[3])))),
            (None, 3 | 4 | 23) => Ok(Reply::Registers(numbers(fields[3]))),
            (None, _) => Ok(Reply::Written),
        };
        Vector {
            request: request(function, &numbers(fields[1]), numbers(fields[2])),
            result,
            transaction: fields[4].parse().unwrap(),
            unit: fields[5].parse().unwrap(),
            tcp: [hex(fields[6]), hex(fields[7])],
            rtu: [hex(fields[8]), hex(fields[9])],
        }
    })
}

/// The reply as our server would write it.
fn answer(vector: &Vector) -> Vec<u8> {
    let (mut pdu, function) = (Vec::new(), vector.request.function());
    let short = |length: usize| u16::try_from(length).unwrap();
    match (&vector.result, &vector.request) {
        (Err(Failure::Refused(exception)), _) => exception_into(&mut pdu, function, *exception),
        (Ok(Reply::Registers(words)), _) => registers_into(&mut pdu, function, words),
        (Ok(Reply::Bits(bits)), _) => bits_into(&mut pdu, function, bits),
        (_, Request::WriteCoil { address, value }) => {
            written_into(&mut pdu, function, *address, if *value { 0xFF00 } else { 0 });
        }
        (_, Request::WriteOne { address, value }) => written_into(&mut pdu, function, *address, *value),
        (_, Request::WriteCoils { start, values }) => written_into(&mut pdu, function, *start, short(values.len())),
        (_, Request::WriteMany { start, values }) => written_into(&mut pdu, function, *start, short(values.len())),
        (_, Request::MaskWrite { address, and, or }) => mask_written_into(&mut pdu, *address, *and, *or),
        other => panic!("{other:?}"),
    }
    pdu
}

fn result(expected: &Expected, pdu: &[u8]) -> Result<Reply, Failure> {
    expected.parse(pdu).map(ReplyView::to_owned).map_err(|error| match error {
        ReplyError::Exception(exception) => Failure::Refused(exception),
        ReplyError::Malformed => Failure::Malformed,
    })
}

#[test]
fn requests_are_the_bytes_that_pymodbus_writes() {
    for vector in vectors() {
        let pdu = vector.request.encode().unwrap();
        assert_eq!(frame::encode(vector.transaction, vector.unit, &pdu), vector.tcp[0]);
        assert_eq!(rtu::encode(vector.unit, &pdu), vector.rtu[0]);
        assert_eq!(RequestView::parse(&pdu).map(RequestView::to_owned), Ok(vector.request));
    }
}

#[test]
fn replies_are_the_bytes_that_pymodbus_writes_and_mean_what_it_meant() {
    for vector in vectors() {
        let pdu = answer(&vector);
        assert_eq!(frame::encode(vector.transaction, vector.unit, &pdu), vector.tcp[1]);
        assert_eq!(rtu::encode(vector.unit, &pdu), vector.rtu[1]);
        assert_eq!(rtu::decode(vector.unit, &vector.rtu[1]), Some(pdu.as_slice()));
        assert_eq!(result(&vector.request.expected(), &pdu), vector.result);
    }
}

/// The stream in two pieces, cut at a place; byte by byte for the place behind its end.
fn split(stream: &[u8], at: usize) -> Vec<Vec<u8>> {
    match stream.split_at_checked(at) {
        Some((head, tail)) => vec![head.to_vec(), tail.to_vec()],
        None => stream.iter().map(|byte| vec![*byte]).collect(),
    }
}

#[test]
fn both_framers_find_the_same_in_every_split_of_every_frame() {
    for vector in vectors() {
        for (tcp, rtu) in vector.tcp.iter().zip(&vector.rtu) {
            for at in 0..=tcp.len() + 1 {
                let (mut decoder, mut found) = (Decoder::default(), 0);
                for piece in split(tcp, at) {
                    decoder.push(&piece);
                    while let Some(frame) = decoder.next_frame().unwrap() {
                        assert_eq!((frame.transaction, frame.unit), (vector.transaction, vector.unit));
                        assert_eq!(frame.pdu, &rtu[1..rtu.len() - 2]);
                        found += 1;
                    }
                }
                assert_eq!((found, decoder.is_partial()), (1, false));
            }
        }
        let (mut decoder, expected) = (ReplyDecoder::default(), vector.request.expected());
        let found: Vec<_> = vector.rtu[1]
            .iter()
            .filter_map(|byte| decoder.push(*byte, vector.unit, &expected).map(<[u8]>::to_vec))
            .collect();
        assert_eq!((found, decoder.take_strays()), (vec![answer(&vector)], 0));
    }
}

/// What a session makes of a reply; `cut` is given the request as it was sent and makes the pieces.
fn exchange(transport: Transport, vector: &Vector, cut: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Vec<Result<Reply, Failure>> {
    let config = SessionConfig { transport, gap: Micros::ZERO };
    let mut session = Session::new(config, Jitter::new(1));
    assert_eq!(session.take_command(Micros::ZERO), Some(LinkCommand::Connect));
    session.connected(Micros::ZERO);
    let (now, mut out, mut ended) = (Micros::from_millis(10), Vec::new(), Vec::new());
    let deadline = Micros::from_millis(60_000);
    session.send(vector.unit, &vector.request, Token(7), deadline, now, &mut out).unwrap();
    for piece in cut(&out) {
        session.receive(&piece, Micros::from_millis(5_000), &mut |completion| {
            assert_eq!(completion.token, Token(7));
            ended.push(completion.to_owned().result);
        });
    }
    ended
}

#[test]
fn both_sessions_make_the_same_of_every_split_of_every_reply() {
    for vector in vectors() {
        for at in 0..=vector.tcp[1].len() + 1 {
            let ended = exchange(Transport::Tcp { window_max: 1 }, &vector, |sent| {
                assert_eq!(sent[2..], vector.tcp[0][2..]);
                // Transaction ids are the session's own.
                split(&[&sent[..2], &vector.tcp[1][2..]].concat(), at)
            });
            assert_eq!(ended, std::slice::from_ref(&vector.result));
        }
        for at in 0..=vector.rtu[1].len() + 1 {
            let ended = exchange(Transport::Rtu(FORMAT), &vector, |sent| {
                assert_eq!(sent, vector.rtu[0]);
                split(&vector.rtu[1], at)
            });
            assert_eq!(ended, std::slice::from_ref(&vector.result));
        }
    }
}
