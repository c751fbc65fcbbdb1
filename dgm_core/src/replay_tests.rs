//! A run, recorded and replayed: the same bytes, the same image, bit for bit.
use std::io::Read as _;

use super::*;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::frame::{self, Decoder};
use crate::modbus::line::LineEvent;
use crate::modbus::mapped::Mapped;
use crate::modbus::pdu::{Span, Table};
use crate::modbus::polled::{ReadConfig, UnitConfig};
use crate::modbus::session::{SessionConfig, Transport};
use crate::record::Log;

fn config() -> Vec<FleetLine> {
    let read = |start, period| ReadConfig {
        table: Table::Holding,
        span: Span { start, count: 7 },
        period: Micros::from_millis(period),
        phase: Micros::ZERO,
        age_max: Micros::from_millis(1_000),
    };
    let units = vec![UnitConfig { unit: 1, reads: vec![read(0, 10), read(20, 0)], points: Mapped::nothing() }];
    let session = SessionConfig { transport: Transport::Tcp { window_max: 4 }, gap: Micros::ZERO };
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: 1 };
    vec![FleetLine { endpoint, session, timeout: Micros::from_millis(100), units }; 2]
}

/// Two lines for a while under virtual time, with an order, a lost connection and noise; every byte into a log.
fn recorded(seed: u64) -> (Vec<u8>, Digest) {
    let lines = config();
    let mut fleet = Fleet::new(&lines, Arc::new(image_of(&lines)), seed);
    let mut log = Log::new(Digest::of(b"config"), seed);
    let (mut said, mut on_the_way) = (Digest::default(), [Vec::new(), Vec::new()]);
    for step in 0..400_u16 {
        let (index, now) = (usize::from(step % 2), Micros::new(i64::from(step) * 1_300));
        if step == 90 {
            let (request, deadline) = (Request::write(3, vec![step]).unwrap(), now + Micros::from_millis(50));
            let order = DeviceOrder { ticket: 1, device: 0, request, deadline };
            log.order(&order, now);
            fleet.order(order, now);
        }
        let mut feed = |fleet: &mut Fleet, event: LineEvent<'_>| {
            log.event(index, event, now);
            fleet.line_mut(index).unwrap().feed(event, now);
            while let Some(command) = fleet.line_mut(index).unwrap().take_command(now) {
                log.command(index, command, now);
                if command == LinkCommand::Connect {
                    log.event(index, LineEvent::Connected, now);
                    fleet.line_mut(index).unwrap().feed(LineEvent::Connected, now);
                }
            }
            let output = std::mem::take(fleet.line_mut(index).unwrap().output());
            if !output.is_empty() {
                log.sent(index, &output);
                said.add(&output);
            }
            answers(&output, step)
        };
        let answers = std::mem::take(&mut on_the_way[index]);
        let mut next = match step {
            150 => feed(&mut fleet, LineEvent::Closed),
            200 => feed(&mut fleet, LineEvent::Received(&[1, 2, 3, 4, 5, 6, 7, 8])),
            _ if answers.is_empty() => Vec::new(),
            _ => feed(&mut fleet, LineEvent::Received(&answers)),
        };
        next.extend(feed(&mut fleet, LineEvent::Wake));
        on_the_way[index] = next;
    }
    log.end(Ending::Stopped, fleet.image().digest());
    (log.bytes, said)
}

fn answers(output: &[u8], value: u16) -> Vec<u8> {
    let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
    decoder.push(output);
    while let Some(frame) = decoder.next_frame().unwrap() {
        if frame.pdu[0] == 3 {
            let pdu = crate::modbus::pdu::encode_registers(3, &[value; 7]);
            bytes.extend(frame::encode(frame.transaction, frame.unit, &pdu));
        }
    }
    bytes
}

#[test]
fn a_run_replays_bit_for_bit() {
    let (log, said) = recorded(9);
    let summary = replay(&config(), Digest::of(b"config"), log.as_slice()).unwrap();
    assert_eq!((summary.mismatches, summary.first_mismatch, summary.ending), (0, None, Some(Ending::Stopped)));
    assert_eq!(summary.output, said);
    assert!(summary.entries > 900 && summary.sent > 3_000, "{summary:?}");
}

#[test]
fn another_byte_received_is_found_at_the_end_and_another_said_where_it_is() {
    let (log, _) = recorded(9);
    let mut other_value = log.clone();
    let at = other_value.windows(2).rposition(|pair| pair == [1, 141]).unwrap();
    other_value[at + 1] = 142;
    let summary = replay(&config(), Digest::of(b"config"), other_value.as_slice()).unwrap();
    assert_eq!((summary.mismatches, summary.first_mismatch), (1, Some(summary.entries - 1)), "the image");
    let mut other_seed = log;
    other_seed[16] ^= 1;
    let summary = replay(&config(), Digest::of(b"config"), other_seed.as_slice()).unwrap();
    assert!(summary.mismatches > 10 && summary.first_mismatch.is_some_and(|at| at < 10), "{summary:?}");
}

#[test]
fn a_log_that_was_cut_off_replays_as_far_as_it_goes() {
    let (log, _) = recorded(9);
    for cut in [24, 25, 100, log.len() / 2, log.len() - 1] {
        let summary = replay(&config(), Digest::of(b"config"), &log[..cut]).unwrap();
        assert_eq!((summary.mismatches, summary.ending), (0, None), "cut at {cut}");
    }
}

#[test]
fn what_is_no_log_of_this_configuration_is_refused() {
    let (log, _) = recorded(9);
    let refused = |log: &[u8], config: &[u8]| replay(&super::tests::config(), Digest::of(config), log).unwrap_err();
    assert!(matches!(refused(&log, b"other"), ReplayError::Configuration));
    assert!(matches!(refused(b"DGMREC00................", b"config"), ReplayError::Magic));
    assert!(matches!(refused(b"", b"config"), ReplayError::Read(_)));
    let mut unknown = log[..24].to_vec();
    unknown.extend([99, 0, 0]);
    assert!(matches!(refused(&unknown, b"config"), ReplayError::Entry(0)));
    let mut huge = log[..24].to_vec();
    huge.extend([kind::RECEIVED, 0, 0, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert!(matches!(refused(&huge, b"config"), ReplayError::Entry(0)));
}

#[test]
fn numbers_of_every_size_survive() {
    for number in [0, 1, 127, 128, 300, 1 << 32, u64::MAX] {
        let mut log = Log::new(Digest::default(), 0);
        log.bytes.clear();
        log.number(number);
        let mut entries = Entries { log: log.bytes.as_slice(), at: Micros::ZERO };
        assert_eq!(entries.number().unwrap(), number);
        assert_eq!(entries.log.read(&mut [0]).unwrap(), 0);
    }
}
