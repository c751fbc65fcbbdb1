//! The codec against itself, hostile bytes, and the answers a server must give.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn span(count_max: u16) -> impl Strategy<Value = Span> {
    (1..=count_max)
        .prop_flat_map(|count| (0..=u16::MAX - (count - 1), Just(count)))
        .prop_map(|(start, count)| Span { start, count })
}

fn block<T: Copy + std::fmt::Debug>(value: impl Strategy<Value = T>, max: u16) -> impl Strategy<Value = (u16, Vec<T>)> {
    prop::collection::vec(value, 1..=usize::from(max)).prop_flat_map(|values| {
        let count = u16::try_from(values.len()).unwrap();
        (0..=u16::MAX - (count - 1), Just(values))
    })
}

/// Any request that the protocol can express.
pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    let read = |table: Table| span(table.read_max()).prop_map(move |span| Request::Read { table, span });
    prop_oneof![
        read(Table::Holding),
        read(Table::Input),
        read(Table::Coil),
        read(Table::DiscreteInput),
        any::<(u16, bool)>().prop_map(|(address, value)| Request::WriteCoil { address, value }),
        any::<(u16, u16)>().prop_map(|(address, value)| Request::WriteOne { address, value }),
        block(any::<bool>(), WRITE_BITS_MAX).prop_map(|(start, values)| Request::WriteCoils { start, values }),
        block(any::<u16>(), WRITE_MAX).prop_map(|(start, values)| Request::WriteMany { start, values }),
        any::<(u16, u16, u16)>().prop_map(|(address, and, or)| Request::MaskWrite { address, and, or }),
        (span(READ_MAX), block(any::<u16>(), READ_WRITE_MAX)).prop_map(|(read, (start, values))| Request::ReadWrite {
            read,
            start,
            values
        }),
    ]
}

/// A right answer to a request, made of the given values.
pub(crate) fn answer(request: &Request, seed: u16) -> Vec<u8> {
    let (mut pdu, function) = (Vec::new(), request.function());
    match request {
        Request::Read { table, span } if table.is_bits() => {
            let bits: Vec<bool> = (0..span.count).map(|at| (at ^ seed) & 4 == 0).collect();
            bits_into(&mut pdu, function, &bits);
        }
        Request::Read { span, .. } | Request::ReadWrite { read: span, .. } => {
            let words: Vec<u16> = (0..span.count).map(|at| at.wrapping_mul(31) ^ seed).collect();
            registers_into(&mut pdu, function, &words);
        }
        Request::WriteCoil { address, value } => {
            written_into(&mut pdu, function, *address, if *value { 0xFF00 } else { 0 });
        }
        Request::WriteOne { address, value } => written_into(&mut pdu, function, *address, *value),
        Request::WriteCoils { start, values } => {
            written_into(&mut pdu, function, *start, u16::try_from(values.len()).unwrap());
        }
        Request::WriteMany { start, values } => {
            written_into(&mut pdu, function, *start, u16::try_from(values.len()).unwrap());
        }
        Request::MaskWrite { address, and, or } => mask_written_into(&mut pdu, *address, *and, *or),
    }
    pdu
}

proptest! {
    #[test]
    fn a_request_survives_the_wire(request in any_request()) {
        let pdu = request.encode().unwrap();
        prop_assert!(pdu.len() <= PDU_MAX);
        prop_assert_eq!(pdu.len(), request.length());
        prop_assert_eq!(Request::parse(&pdu), Ok(request));
    }

    #[test]
    fn no_bytes_make_the_parser_panic_and_what_it_accepts_is_canonical(
        function in prop_oneof![any::<u8>(), prop::sample::select(vec![1, 2, 3, 4, 5, 6, 15, 16, 22, 23])],
        body in prop::collection::vec(any::<u8>(), 0..260),
    ) {
        let pdu = [vec![function], body].concat();
        if let Ok(request) = Request::parse(&pdu) {
            match request.encode() {
                // What fills the last byte of coils up is not part of the values.
                Ok(again) if function == WRITE_COILS => prop_assert_eq!(&again[..again.len() - 1], &pdu[..pdu.len() - 1]),
                Ok(again) => prop_assert_eq!(again, pdu),
                Err(error) => prop_assert!(matches!(error, LimitError::Address { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn a_cut_request_is_never_taken_for_a_whole_one(request in any_request(), cut in any::<prop::sample::Index>()) {
        let pdu = request.encode().unwrap();
        prop_assert!(Request::parse(&pdu[..cut.index(pdu.len())]).is_err());
    }

    #[test]
    fn the_right_answer_is_taken_and_nothing_shorter_or_longer(request in any_request(), seed in any::<u16>(), cut in any::<prop::sample::Index>()) {
        let (expected, mut pdu) = (request.expected(), answer(&request, seed));
        prop_assert_eq!(expected.length(), pdu.len());
        prop_assert!(expected.parse(&pdu).is_ok());
        prop_assert_eq!(expected.parse(&pdu[..cut.index(pdu.len())]), Err(ReplyError::Malformed));
        pdu.push(0);
        prop_assert_eq!(expected.parse(&pdu), Err(ReplyError::Malformed));
    }

    #[test]
    fn the_values_of_a_reply_are_those_that_were_sent(words in prop::collection::vec(any::<u16>(), 1..=125), bits in prop::collection::vec(any::<bool>(), 1..=2000)) {
        let count = |len: usize| u16::try_from(len).unwrap();
        let read = |table, count| Request::Read { table, span: Span { start: 0, count } }.expected();
        let mut pdu = encode_registers(READ_HOLDING, &words);
        let reply = read(Table::Holding, count(words.len())).parse(&pdu).map(ReplyView::to_owned);
        prop_assert_eq!(reply, Ok(Reply::Registers(words)));
        pdu.clear();
        bits_into(&mut pdu, READ_COILS, &bits);
        let reply = read(Table::Coil, count(bits.len())).parse(&pdu).map(ReplyView::to_owned);
        prop_assert_eq!(reply, Ok(Reply::Bits(bits)));
    }

    #[test]
    fn no_reply_bytes_make_the_master_panic(request in any_request(), pdu in prop::collection::vec(any::<u8>(), 0..260)) {
        let _ = request.expected().parse(&pdu);
    }
}

fn read(count: u16) -> Request {
    Request::Read { table: Table::Holding, span: Span { start: 0, count } }
}

#[test]
fn an_exception_reply_names_its_code() {
    for (code, exception) in [
        (1, Exception::IllegalFunction),
        (2, Exception::IllegalAddress),
        (3, Exception::IllegalValue),
        (4, Exception::DeviceFailure),
        (5, Exception::Acknowledge),
        (6, Exception::DeviceBusy),
        (8, Exception::MemoryParity),
        (0x0A, Exception::GatewayPath),
        (0x0B, Exception::GatewayTarget),
        (7, Exception::Other(7)),
    ] {
        assert_eq!(exception.code(), code);
        let pdu = encode_exception(READ_HOLDING, exception);
        assert_eq!(read(1).expected().parse(&pdu), Err(ReplyError::Exception(exception)));
    }
    for pdu in [&[0x83][..], &[0x84, 2], &[0x83, 2, 0]] {
        assert_eq!(read(1).expected().parse(pdu), Err(ReplyError::Malformed));
    }
}

#[test]
fn a_write_is_confirmed_only_by_its_own_echo() {
    let table = [
        (Request::WriteOne { address: 5, value: 9 }, [6, 0, 5, 0, 9].to_vec()),
        (Request::WriteMany { start: 5, values: vec![1, 2] }, [16, 0, 5, 0, 2].to_vec()),
        (Request::WriteCoil { address: 5, value: true }, [5, 0, 5, 0xFF, 0].to_vec()),
        (Request::WriteCoils { start: 5, values: vec![true; 3] }, [15, 0, 5, 0, 3].to_vec()),
        (Request::MaskWrite { address: 5, and: 0xF2, or: 0x25 }, [22, 0, 5, 0, 0xF2, 0, 0x25].to_vec()),
    ];
    for (request, right) in table {
        assert_eq!(request.expected().parse(&right), Ok(ReplyView::Written));
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert_eq!(request.expected().parse(&wrong), Err(ReplyError::Malformed), "{wrong:02x?}");
        }
    }
}

#[test]
fn a_request_beyond_the_limits_is_refused_with_what_fits_and_appends_nothing() {
    let values = |count: usize| vec![0; count];
    let span = |count| Span { start: 0, count };
    let over: [(Result<Request, LimitError>, &str); 7] = [
        (Request::read(Table::Holding, span(126)), "function 3: 126 values, 1 to 125"),
        (Request::read(Table::Input, span(0)), "function 4: 0 values, 1 to 125"),
        (Request::read(Table::Coil, span(2_001)), "function 1: 2001 values, 1 to 2000"),
        (Request::write(0, values(124)), "function 16: 124 values, 1 to 123"),
        (Request::write_coils(0, vec![true; 1_969]), "function 15: 1969 values, 1 to 1968"),
        (Request::read_write(span(125), 0, values(122)), "function 23: 122 values, 1 to 121"),
        (Request::write(65_535, values(2)), "function 16: 2 values from address 65535 pass 65535"),
    ];
    for (refused, text) in over {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    }
    let mut out = vec![7];
    assert!(read(126).encode_into(&mut out).is_err());
    assert_eq!(out, [7]);
    assert!(Request::read_write(span(125), 65_415, values(121)).is_ok());
}

#[test]
fn each_malformed_request_has_its_defined_answer() {
    let exception = |code| Err(Refusal::Exception(code));
    let table: [(&[u8], Result<Request, Refusal>); 15] = [
        (&[], Err(Refusal::Close)),
        (&[0x03], exception(Exception::IllegalValue)),
        (&[0x55, 0, 0, 0, 1], exception(Exception::IllegalFunction)),
        (&[0x07], exception(Exception::IllegalFunction)),
        (&[0x80, 0, 0, 0, 1], Err(Refusal::Close)),
        (&[0x03, 0, 0], Err(Refusal::Close)),
        (&[0x16, 0, 0, 0, 1], Err(Refusal::Close)),
        (&[0x03, 0, 0, 0, 0], exception(Exception::IllegalValue)),
        (&[0x03, 0, 0, 0, 126], exception(Exception::IllegalValue)),
        (&[0x03, 0, 0, 0, 1, 9, 9], exception(Exception::IllegalValue)),
        (&[0x01, 0, 0, 0x07, 0xD1], exception(Exception::IllegalValue)),
        (&[0x05, 0, 0, 0, 1], exception(Exception::IllegalValue)),
        (&[0x0F, 0, 0, 0, 9, 1, 0xFF], exception(Exception::IllegalValue)),
        (&[0x10, 0, 0, 0, 2, 200, 0, 1, 0, 2], exception(Exception::IllegalValue)),
        (&[0x16, 0, 0, 0, 1, 0, 2, 9], exception(Exception::IllegalValue)),
    ];
    for (pdu, expected) in table {
        assert_eq!(Request::parse(pdu), expected, "{pdu:02x?}");
    }
}

#[test]
fn bits_stand_lowest_first_and_what_fills_the_last_byte_is_no_difference() {
    let mut pdu = Vec::new();
    bits_into(&mut pdu, READ_COILS, &[true, false, true, true, false, false, true, true, true, true]);
    assert_eq!(pdu, [1, 2, 0b1100_1101, 0b11]);
    let (clean, dirty) = (BitBytes::new(&[0b11], 2).unwrap(), BitBytes::new(&[0b1111_1111], 2).unwrap());
    assert_eq!(clean, dirty);
    assert_eq!((dirty.len(), dirty.get(1), dirty.get(2)), (2, Some(true), None));
    assert_ne!(clean, BitBytes::new(&[0b10], 2).unwrap());
}

#[test]
fn registers_can_be_taken_by_position_and_in_parts() {
    let values = RegisterBytes::new(&[0, 1, 0xAB, 0xCD, 0, 3]).unwrap();
    assert_eq!((values.get(1), values.get(3)), (Some(0xABCD), None));
    assert_eq!(values.slice(1, 2).unwrap().to_vec(), [0xABCD, 3]);
    assert!(values.slice(2, 2).is_none() && values.slice(usize::MAX, 2).is_none());
    let mut words = [9; 2];
    values.copy_to(&mut words);
    assert_eq!(words, [1, 0xABCD]);
    assert!(RegisterBytes::new(&[0]).is_none());
}
