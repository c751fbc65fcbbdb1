//! Modbus RTU: the check sum, the times of a serial line, and the master's search for the reply it waits for.
//!
//! ```text
//! silence t3.5 │ unit u8 │ pdu │ crc u16, low byte first │ silence t3.5
//! ```
//!
//! Kernel and USB adapters deliver bytes in lumps, so silence inside a reply is not judged: unit, function, length or
//! echo, and check sum decide. Silence is kept before everything that is sent. Source: MODBUS over Serial Line V1.02,
//! section 2.5.1. An adapter that echoes what is sent is not supported.
use std::num::NonZeroU32;

use super::pdu::{Expected, Request};
use super::planning::cost::SerialSpeed;
use crate::units::Micros;

/// Longest frame in bytes.
pub const FRAME_MAX: usize = 256;
/// Unit id that all units obey and none answers.
pub const BROADCAST: u8 = 0;
/// Bytes around a PDU: unit and check sum.
pub const OVERHEAD: usize = 3;

const CRC_LENGTH: usize = 2;
/// Above this the silences are fixed.
const BAUD_SCALED_MAX: u32 = 19_200;

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parity {
    /// Even; the default of the standard.
    Even,
    /// Odd.
    Odd,
    /// None; the standard asks for two stop bits then.
    None,
}

/// What a character looks like and how long it takes; always 8 data bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format {
    /// Bits per second.
    pub baud: u32,
    /// Parity.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
}

impl Format {
    /// What the planner reckons with; `None` at 0 baud.
    pub fn speed(&self) -> Option<SerialSpeed> {
        let parity = u8::from(self.parity != Parity::None);
        let baud = NonZeroU32::new(self.baud)?;
        Some(SerialSpeed { baud, bits_per_character: 9 + parity + self.stop_bits })
    }

    /// Time that so many characters take, rounded up.
    pub fn characters(&self, count: usize) -> Micros {
        self.half_characters(2 * count)
    }

    fn half_characters(&self, count: usize) -> Micros {
        let parity = i64::from(self.parity != Parity::None);
        let bits = 9 + parity + i64::from(self.stop_bits);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let half_bits = count.saturating_mul(bits).saturating_mul(1_000_000);
        Micros::new(crate::units::div_up(half_bits, 2 * i64::from(self.baud.max(1))))
    }

    /// Longest silence inside a frame.
    pub fn t1_5(&self) -> Micros {
        if self.baud > BAUD_SCALED_MAX {
            Micros::new(750)
        } else {
            self.half_characters(3)
        }
    }

    /// Shortest silence between frames.
    pub fn t3_5(&self) -> Micros {
        if self.baud > BAUD_SCALED_MAX {
            Micros::new(1_750)
        } else {
            self.half_characters(7)
        }
    }

    /// Time from the first byte of a request to the earliest next one, if the device answers without delay.
    pub fn transaction(&self, request: &Request) -> Micros {
        let bytes = request.length() + request.expected().length() + 2 * OVERHEAD;
        self.characters(bytes) + self.t3_5() + self.t3_5()
    }
}

/// Where a frame begins whose PDU is still to be appended.
#[derive(Debug)]
pub struct Open(usize);

/// Appends the unit id; append the PDU, then `close` the frame.
pub fn open(out: &mut Vec<u8>, unit: u8) -> Open {
    let start = out.len();
    out.push(unit);
    Open(start)
}

/// Appends the check sum.
pub fn close(out: &mut Vec<u8>, Open(start): Open) {
    let crc = crc16(out.get(start..).unwrap_or_default());
    out.extend(crc.to_le_bytes());
}

/// Takes back a frame that cannot be completed.
pub fn cancel(out: &mut Vec<u8>, Open(start): Open) {
    out.truncate(start);
}

/// One frame in bytes of its own.
pub fn encode(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pdu.len() + OVERHEAD);
    let frame = open(&mut bytes, unit);
    bytes.extend_from_slice(pdu);
    close(&mut bytes, frame);
    bytes
}

/// The PDU of a whole frame of this unit; `None` if the check sum is another one.
pub fn decode(unit: u8, frame: &[u8]) -> Option<&[u8]> {
    let (body, crc) = frame.split_last_chunk::<CRC_LENGTH>()?;
    let (first, pdu) = body.split_first()?;
    (*first == unit && crc16(body) == u16::from_le_bytes(*crc)).then_some(pdu)
}

/// Looks for one reply in a stream of bytes: whatever cannot be it is passed over.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    /// The beginning of what may be the reply; shorter than a frame.
    buffer: Vec<u8>,
    /// Bytes passed over and not yet asked for.
    strays: u64,
}

enum Verdict {
    Beginning,
    Whole,
    Other,
}

impl ReplyDecoder {
    /// Takes the next byte; the PDU when it completes the reply. Then call `reset`.
    pub fn push(&mut self, byte: u8, unit: u8, expected: &Expected) -> Option<&[u8]> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(FRAME_MAX);
        }
        self.buffer.push(byte);
        loop {
            match judge(&self.buffer, unit, expected) {
                Verdict::Beginning => return None,
                Verdict::Whole => return decode(unit, &self.buffer),
                Verdict::Other => {
                    self.buffer.remove(0);
                    self.strays += 1;
                }
            }
        }
    }

    /// Begins a new search.
    pub fn reset(&mut self) {
        self.buffer.clear();
    }

    /// Begins a new search and passes over what had been collected.
    pub fn discard(&mut self) {
        self.strays += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.buffer.clear();
    }

    /// How many bytes were passed over since the last call.
    pub fn take_strays(&mut self) -> u64 {
        std::mem::take(&mut self.strays)
    }
}

fn judge(bytes: &[u8], unit: u8, expected: &Expected) -> Verdict {
    let length = match bytes {
        [] => return Verdict::Beginning,
        [first, ..] if *first != unit => return Verdict::Other,
        [_] => return Verdict::Beginning,
        [_, pdu @ ..] => expected.length_if_begun(pdu).map(|length| length + OVERHEAD),
    };
    match length {
        Some(length) if bytes.len() < length => Verdict::Beginning,
        Some(_) if decode(unit, bytes).is_some() => Verdict::Whole,
        _ => Verdict::Other,
    }
}

/// The check sum of RTU frames: polynomial 0xA001 (reflected 0x8005), start 0xFFFF.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc: u16, byte| {
        let [_, low] = (crc ^ u16::from(*byte)).to_be_bytes();
        crc >> 8 ^ CRC_TABLE.get(usize::from(low)).copied().unwrap_or_default()
    })
}

static CRC_TABLE: [u16; 256] = crc_table();

const fn crc_table() -> [u16; 256] {
    let mut table = [0; 256];
    let (mut at, mut byte) = (0, 0);
    while at < table.len() {
        let (mut crc, mut bit): (u16, u8) = (byte, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        byte += 1;
    }
    table
}

#[cfg(test)]
#[path = "rtu_tests.rs"]
mod tests;
