//! Modbus PDUs as values, for both ends: functions 1 to 6, 15, 16, 22 and 23.
//!
//! ```text
//! master:  Request ── encode_into ──> bytes      bytes ── Expected::parse ──> ReplyView (borrows the bytes)
//! server:  bytes ── RequestView::parse ──> RequestView (borrows the bytes) ── (image) ── reply::*_into ──> bytes
//! ```
//!
//! Nothing here allocates but the owned forms, which are for callers that keep a value. It knows nothing of sockets,
//! unit ids or which registers exist. Limits: Modbus Application Protocol V1.1b3, section 6.
mod reply;
mod request;
#[cfg(test)]
pub(crate) mod tests;
mod values;

pub use reply::{
    bits_into, encode_exception, encode_registers, encode_written, exception_into, mask_written_into, registers_into,
    written_into, Expected, Reply, ReplyError, ReplyView,
};
pub use request::{LimitError, Refusal, Request, RequestView};
pub use values::{BitBytes, RegisterBytes};

/// Most registers one read may ask for.
pub const READ_MAX: u16 = 125;
/// Most registers one write (function 16) may carry.
pub const WRITE_MAX: u16 = 123;
/// Most registers the write half of function 23 may carry.
pub const READ_WRITE_MAX: u16 = 121;
/// Most coils or discrete inputs one read may ask for.
pub const READ_BITS_MAX: u16 = 2_000;
/// Most coils one write (function 15) may carry.
pub const WRITE_BITS_MAX: u16 = 1_968;
/// Longest PDU in bytes.
pub const PDU_MAX: usize = 253;

const READ_COILS: u8 = 1;
const READ_DISCRETE: u8 = 2;
const READ_HOLDING: u8 = 3;
const READ_INPUT: u8 = 4;
const WRITE_COIL: u8 = 5;
const WRITE_ONE: u8 = 6;
const WRITE_COILS: u8 = 15;
const WRITE_MANY: u8 = 16;
const MASK_WRITE: u8 = 22;
const READ_WRITE: u8 = 23;
const EXCEPTION_FLAG: u8 = 0x80;

/// A run of registers or bits: `count` of them from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First address, as on the wire (0-based).
    pub start: u16,
    /// How many.
    pub count: u16,
}

impl Span {
    /// Whether the last address of the run exists in a 16-bit address space.
    pub fn is_addressable(self) -> bool {
        u32::from(self.start) + u32::from(self.count) <= 0x1_0000
    }
}

/// Which of the four tables a read asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Function 3.
    Holding,
    /// Function 4.
    Input,
    /// Function 1.
    Coil,
    /// Function 2.
    DiscreteInput,
}

impl Table {
    /// The function code that reads it.
    pub fn read_function(self) -> u8 {
        match self {
            Self::Holding => READ_HOLDING,
            Self::Input => READ_INPUT,
            Self::Coil => READ_COILS,
            Self::DiscreteInput => READ_DISCRETE,
        }
    }

    /// Whether it holds bits rather than registers.
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::DiscreteInput)
    }

    /// Most registers or bits that one read of it may ask for.
    pub fn read_max(self) -> u16 {
        if self.is_bits() {
            READ_BITS_MAX
        } else {
            READ_MAX
        }
    }

    fn of(function: u8) -> Option<Self> {
        match function {
            READ_HOLDING => Some(Self::Holding),
            READ_INPUT => Some(Self::Input),
            READ_COILS => Some(Self::Coil),
            READ_DISCRETE => Some(Self::DiscreteInput),
            _ => None,
        }
    }
}

/// Exception codes of the Modbus application protocol, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// 1: the function is not served.
    IllegalFunction,
    /// 2: an address of the span does not exist (or cannot be written).
    IllegalAddress,
    /// 3: the request does not make sense or a value is out of range.
    IllegalValue,
    /// 4: the device failed while it carried the request out.
    DeviceFailure,
    /// 5: accepted, and it will take a long time; nothing has been answered yet.
    Acknowledge,
    /// 6: busy with a long command; ask again later.
    DeviceBusy,
    /// 8: the device found its memory corrupt.
    MemoryParity,
    /// 0x0A: a gateway has no path to the unit.
    GatewayPath,
    /// 0x0B: a gateway has no such unit behind it, or it does not answer.
    GatewayTarget,
    /// Any other code a device sent.
    Other(u8),
}

impl Exception {
    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::IllegalFunction => 1,
            Self::IllegalAddress => 2,
            Self::IllegalValue => 3,
            Self::DeviceFailure => 4,
            Self::Acknowledge => 5,
            Self::DeviceBusy => 6,
            Self::MemoryParity => 8,
            Self::GatewayPath => 0x0A,
            Self::GatewayTarget => 0x0B,
            Self::Other(code) => code,
        }
    }

    /// The exception with this code.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalAddress,
            3 => Self::IllegalValue,
            4 => Self::DeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::DeviceBusy,
            8 => Self::MemoryParity,
            0x0A => Self::GatewayPath,
            0x0B => Self::GatewayTarget,
            other => Self::Other(other),
        }
    }
}

fn push_words(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

/// `bools` packed as the protocol says: the first in the lowest bit of the first byte, the last byte filled with zeros.
fn push_bits(out: &mut Vec<u8>, bools: &[bool]) {
    out.extend(bools.chunks(8).map(|eight| eight.iter().rev().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit))));
}

/// Bytes that so many bits take.
fn packed(bits: usize) -> usize {
    bits.div_ceil(8)
}
