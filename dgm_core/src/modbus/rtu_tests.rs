//! Check sum, times and the search for a reply in a noisy stream.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::pdu::tests::{answer, any_request};
use super::super::pdu::{encode_exception, encode_registers, Exception, ReplyView, Span, Table};
use super::*;

fn format(baud: u32) -> Format {
    Format { baud, parity: Parity::Even, stop_bits: 1 }
}

fn read(count: u16) -> Request {
    Request::Read { table: Table::Holding, span: Span { start: 0, count } }
}

/// What a search finds in a stream, and how many bytes it passes over.
fn search(stream: &[u8], unit: u8, expected: &Expected) -> (Vec<Vec<u8>>, u64) {
    let (mut decoder, mut found) = (ReplyDecoder::default(), Vec::new());
    for byte in stream {
        if let Some(pdu) = decoder.push(*byte, unit, expected) {
            found.push(pdu.to_vec());
            decoder.reset();
        }
    }
    decoder.discard();
    (found, decoder.take_strays())
}

#[test]
fn the_check_sum_is_that_of_the_standard() {
    // The check value that catalogues of CRCs give for CRC-16/MODBUS.
    assert_eq!(crc16(b"123456789"), 0x4B37);
    assert_eq!(crc16(&[]), 0xFFFF);
    // MODBUS over Serial Line V1.02, figure in section 6.2.2: unit 2, function 7 gives 0x1241.
    assert_eq!(encode(2, &[7]), [2, 7, 0x41, 0x12]);
    assert_eq!(encode(1, &[3, 0, 0, 0, 10]), [1, 3, 0, 0, 0, 10, 0xC5, 0xCD]);
}

#[test]
fn silences_scale_with_the_baud_rate_up_to_19200_and_are_fixed_above() {
    let table = [(9_600, 1_719, 4_011), (19_200, 860, 2_006), (19_201, 750, 1_750), (115_200, 750, 1_750)];
    for (baud, t1_5, t3_5) in table {
        assert_eq!((format(baud).t1_5(), format(baud).t3_5()), (Micros::new(t1_5), Micros::new(t3_5)), "{baud}");
    }
    let no_parity = Format { parity: Parity::None, ..format(9_600) };
    assert_eq!(no_parity.characters(96), Micros::from_millis(100));
    assert_eq!(Format { stop_bits: 2, ..no_parity }.characters(96), Micros::from_millis(110));
}

#[test]
fn a_transaction_takes_at_least_what_its_characters_and_silences_do() {
    for (baud, count, millis) in [(9_600, 125, 309), (9_600, 10, 45), (19_200, 40, 57), (115_200, 125, 28)] {
        assert_eq!(format(baud).transaction(&read(count)).get() / 1_000, millis, "{baud} {count}");
    }
}

#[test]
fn noise_and_other_units_are_passed_over_until_the_reply_comes() {
    let reply = encode(1, &encode_registers(3, &[7, 8]));
    let mut broken = reply.clone();
    broken[4] ^= 1;
    let others = [
        vec![],
        vec![0],
        vec![0xFF, 1],
        vec![1, 3],
        vec![1, 3, 4, 0],
        encode(2, &encode_registers(3, &[7, 8])),
        encode(1, &encode_registers(4, &[7, 8])),
        encode(1, &encode_registers(3, &[7])),
        encode(1, &[0x84, 2]),
        broken,
    ];
    for noise in others {
        let stream = [noise.clone(), reply.clone()].concat();
        let expected = (vec![encode_registers(3, &[7, 8])], u64::try_from(noise.len()).unwrap());
        assert_eq!(search(&stream, 1, &read(2).expected()), expected, "{noise:02x?}");
    }
}

#[test]
fn an_exception_is_found_as_the_answer() {
    let pdu = encode_exception(3, Exception::DeviceBusy);
    assert_eq!(search(&encode(9, &pdu), 9, &read(2).expected()), (vec![pdu], 0));
}

proptest! {
    #[test]
    fn a_frame_decodes_to_what_was_encoded_and_no_flipped_bit_passes(
        unit in any::<u8>(), pdu in prop::collection::vec(any::<u8>(), 1..=253), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let mut frame = encode(unit, &pdu);
        prop_assert_eq!(decode(unit, &frame), Some(pdu.as_slice()));
        let at = at.index(frame.len());
        frame[at] ^= 1 << bit;
        prop_assert_eq!(decode(unit, &frame), None);
    }

    #[test]
    fn the_right_reply_is_found_behind_any_noise_that_holds_no_reply_of_its_own(
        request in any_request(), seed in any::<u16>(), noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let expected = request.expected();
        prop_assume!(search(&noise, 1, &expected).0.is_empty());
        let pdu = answer(&request, seed);
        let (found, _) = search(&[noise, encode(1, &pdu)].concat(), 1, &expected);
        prop_assert_eq!(found.len(), 1);
        let reply = expected.parse(&pdu).unwrap();
        prop_assert!(found[0] == pdu || expected.parse(&found[0]).is_ok_and(|other| other == reply && reply == ReplyView::Written));
    }

    #[test]
    fn every_byte_is_either_part_of_a_reply_or_counted(
        stream in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 3, 4, 0x83, 0xFF]), 0..600), count in 1u16..3,
    ) {
        let (found, strays) = search(&stream, 1, &read(count).expected());
        let taken: usize = found.iter().map(|pdu| pdu.len() + OVERHEAD).sum();
        prop_assert_eq!(u64::try_from(stream.len() - taken).unwrap(), strays);
    }
}
