//! Units of a serial line for tests: one that is strict about time, and one that only looks at lengths.
use super::pdu::Request;
use super::rtu::{self, Format, OVERHEAD};
use crate::units::Micros;

/// Takes frames as the standard says: they end after t3.5 of silence and are dropped for a gap of more than t1.5.
pub struct StrictReceiver {
    format: Format,
    bytes: Vec<u8>,
    /// When the last character ended.
    last: Micros,
    is_broken: bool,
}

impl StrictReceiver {
    pub fn new(format: Format) -> Self {
        Self { format, bytes: Vec::new(), last: Micros::new(i64::MIN / 2), is_broken: false }
    }

    /// A character ended at `at`.
    pub fn byte(&mut self, byte: u8, at: Micros) {
        let gap = at - self.format.characters(1) - self.last;
        // Characters are rounded to microseconds, one each.
        self.is_broken |= !self.bytes.is_empty() && gap > self.format.t1_5();
        assert!(!self.bytes.is_empty() || gap + Micros::new(1) >= self.format.t3_5(), "silence of {gap} us only");
        self.bytes.push(byte);
        self.last = at;
    }

    /// When the frame that is coming in ends, if it goes on no further.
    pub fn ends_at(&self) -> Option<Micros> {
        (!self.bytes.is_empty()).then(|| self.last + self.format.t3_5())
    }

    /// Unit and PDU of the frame that has ended by `now`.
    pub fn take(&mut self, now: Micros) -> Option<(u8, Vec<u8>)> {
        self.ends_at().filter(|ends_at| *ends_at <= now)?;
        let frame = std::mem::take(&mut self.bytes);
        let unit = *frame.first()?;
        let pdu = rtu::decode(unit, &frame)?.to_vec();
        (!std::mem::take(&mut self.is_broken)).then_some((unit, pdu))
    }
}

/// Takes the first whole request off `bytes`, told from its length alone.
pub fn take_request(bytes: &mut Vec<u8>) -> Option<(u8, Request)> {
    let length = (OVERHEAD + 1..=bytes.len()).find(|length| rtu::decode(bytes[0], &bytes[..*length]).is_some())?;
    let frame: Vec<u8> = bytes.drain(..length).collect();
    let request = Request::parse(rtu::decode(frame[0], &frame)?).ok()?;
    Some((frame[0], request))
}
