//! The master's side over TCP: the input is a list of steps, each an opcode, a length and so many bytes.
use std::collections::BTreeMap;

use dgm_core::modbus::frame;
use dgm_core::modbus::pdu::{ReplyView, Request, Span, Table};
use dgm_core::modbus::session::{Completion, Jitter, LinkCommand, Session, SessionConfig, Token, Transport};
use dgm_core::units::Micros;

/// Tokens in flight to the number of registers asked for; a token that ends twice, or was never sent, is not there.
type Open = BTreeMap<u64, u16>;

fn end(open: &mut Open, completion: Completion<'_>) {
    let count = open.remove(&completion.token.0).expect("each transaction ends once");
    match completion.result {
        Ok(ReplyView::Registers(values)) => assert_eq!(values.len(), usize::from(count)),
        Ok(other) => panic!("{other:?}"),
        Err(_) => {}
    }
}

/// One input.
pub fn run(input: &[u8]) {
    let config = SessionConfig { transport: Transport::Tcp { window_max: 4 }, gap: Micros::ZERO };
    let (mut session, mut open, mut ids) = (Session::new(config, Jitter::new(1)), Open::new(), Vec::new());
    let (mut now, mut token, mut rest) = (Micros::ZERO, 0, input);
    while let [opcode, length, tail @ ..] = rest {
        let (bytes, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        match (opcode % 8, bytes) {
            (0, [low, ..]) => {
                let count = u16::from(low % 125) + 1;
                let request = Request::Read { table: Table::Holding, span: Span { start: 0, count } };
                let mut out = Vec::new();
                let deadline = now + Micros::from_millis(500);
                if session.send(1, &request, Token(token), deadline, now, &mut out).is_ok() {
                    ids.push(u16::from_be_bytes([out[0], out[1]]));
                    open.insert(token, count);
                    token += 1;
                }
            }
            // A PDU of the fuzzer's for one of the last four requests.
            (1..=4, [_, ..]) => {
                if let Some(id) = ids.len().checked_sub(usize::from(opcode % 8)).and_then(|at| ids.get(at)) {
                    session.receive(&frame::encode(*id, 1, bytes), now, &mut |done| end(&mut open, done));
                }
            }
            (5, _) => session.receive(bytes, now, &mut |done| end(&mut open, done)),
            (6, _) => {
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
        assert!(open.len() <= 4);
    }
    session.closed(now, &mut |done| end(&mut open, done));
    assert!(open.is_empty());
}
