//! The master's side on a serial line: the input is a list of steps, each an opcode, a length and so many bytes.
use dgm_core::modbus::pdu::{ReplyView, Request, Span, Table};
use dgm_core::modbus::rtu::{self, Format, Parity};
use dgm_core::modbus::session::{Completion, Jitter, LinkCommand, Session, SessionConfig, Token, Transport};
use dgm_core::units::Micros;

const FORMAT: Format = Format { baud: 19_200, parity: Parity::Even, stop_bits: 1 };

/// The token in flight and the bits asked for.
type Open = Option<(u64, u16)>;

fn end(open: &mut Open, completion: Completion<'_>) {
    let (token, count) = open.take().expect("each transaction ends once");
    assert_eq!(completion.token.0, token);
    match completion.result {
        Ok(ReplyView::Bits(values)) => assert_eq!(values.len(), usize::from(count)),
        Ok(ReplyView::Written | ReplyView::Broadcast) => assert_eq!(count, 0),
        Ok(other) => panic!("{other:?}"),
        Err(_) => {}
    }
}

fn request(kind: u8, count: u16) -> Request {
    match kind % 4 {
        0 => Request::WriteOne { address: 1, value: count },
        1 => Request::WriteCoils { start: 0, values: vec![true; usize::from(count)] },
        _ => Request::Read { table: Table::Coil, span: Span { start: 0, count } },
    }
}

/// One input.
pub fn run(input: &[u8]) {
    let config = SessionConfig { transport: Transport::Rtu(FORMAT), gap: Micros::ZERO };
    let (mut session, mut open) = (Session::new(config, Jitter::new(1)), None);
    let (mut now, mut token, mut rest, mut last) = (Micros::ZERO, 0, input, Micros::new(i64::MIN / 2));
    while let [opcode, length, tail @ ..] = rest {
        let (bytes, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        now += Micros::from_millis(i64::from(opcode / 8));
        match (opcode % 8, bytes) {
            (0 | 1, [unit, kind, low, ..]) => {
                let request = request(*kind, u16::from(*low) + 1);
                let deadline = now + Micros::from_millis(500);
                let mut out = Vec::new();
                if session.send(unit % 3, &request, Token(token), deadline, now, &mut out).is_ok() {
                    assert!(open.is_none() && now >= last + FORMAT.t3_5());
                    open = Some((token, if request.is_write() { 0 } else { u16::from(*low) + 1 }));
                    token += 1;
                }
            }
            // A frame with a right check sum, and one without.
            (2 | 3, [unit, pdu @ ..]) => {
                session.receive(&rtu::encode(unit % 3, pdu), now, &mut |done| end(&mut open, done));
                last = now;
            }
            (4, [_, ..]) => {
                session.receive(bytes, now, &mut |done| end(&mut open, done));
                last = now;
            }
            (5 | 6, _) => {
                now += Micros::from_millis(i64::from(*length) * 10);
                session.expire(now, &mut |done| end(&mut open, done));
            }
            (7, _) => session.closed(now, &mut |done| end(&mut open, done)),
            _ => {}
        }
        while let Some(command) = session.take_command(now) {
            if command == LinkCommand::Connect {
                session.connected(now);
            }
        }
    }
    session.closed(now, &mut |done| end(&mut open, done));
    assert!(open.is_none());
}
