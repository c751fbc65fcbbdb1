//! What a server answers: recognised by the master without a copy, appended by the server to what it sends.
use super::request::{byte, counted};
use super::{packed, push_bits, push_words, BitBytes, Exception, RegisterBytes, EXCEPTION_FLAG};

/// Length of the PDU of an exception.
const EXCEPTION_LENGTH: usize = 2;

/// What a device answered, still in the bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyView<'a> {
    /// The registers asked for, exactly as many.
    Registers(RegisterBytes<'a>),
    /// The bits asked for, exactly as many.
    Bits(BitBytes<'a>),
    /// The write was carried out.
    Written,
    /// The write went to all units of a serial line; nobody confirms it.
    Broadcast,
}

impl ReplyView<'_> {
    /// An own copy.
    pub fn to_owned(self) -> Reply {
        match self {
            Self::Registers(values) => Reply::Registers(values.to_vec()),
            Self::Bits(values) => Reply::Bits(values.to_vec()),
            Self::Written => Reply::Written,
            Self::Broadcast => Reply::Broadcast,
        }
    }
}

/// What a device answered, for callers that keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The registers asked for, exactly as many.
    Registers(Vec<u16>),
    /// The bits asked for, exactly as many.
    Bits(Vec<bool>),
    /// The write was carried out.
    Written,
    /// The write went to all units of a serial line; nobody confirms it.
    Broadcast,
}

/// A reply that is not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The device refused.
    Exception(Exception),
    /// Another function, another length, another echo than asked.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Registers(u16),
    Bits(u16),
    /// The first `length` bytes of `bytes`.
    Echo {
        bytes: [u8; 6],
        length: usize,
    },
}

/// What the reply to a request must look like: all that has to be kept while it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    function: u8,
    body: Body,
}

impl Expected {
    pub(super) fn registers(function: u8, count: u16) -> Self {
        Self { function, body: Body::Registers(count) }
    }

    pub(super) fn bits(function: u8, count: u16) -> Self {
        Self { function, body: Body::Bits(count) }
    }

    pub(super) fn echo(function: u8, first: u16, second: u16) -> Self {
        let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
        Self { function, body: Body::Echo { bytes: [a, b, c, d, 0, 0], length: 4 } }
    }

    pub(super) fn long_echo(function: u8, first: u16, second: u16, third: u16) -> Self {
        let ([a, b], [c, d], [e, f]) = (first.to_be_bytes(), second.to_be_bytes(), third.to_be_bytes());
        Self { function, body: Body::Echo { bytes: [a, b, c, d, e, f], length: 6 } }
    }

    /// The function asked for.
    pub fn function(&self) -> u8 {
        self.function
    }

    /// Length of the PDU of a reply that is no exception, in bytes.
    pub fn length(&self) -> usize {
        match self.body {
            Body::Registers(count) => 2 + 2 * usize::from(count),
            Body::Bits(count) => 2 + packed(usize::from(count)),
            Body::Echo { length, .. } => 1 + length,
        }
    }

    /// Length of the whole PDU if it may be the answer that begins with these bytes, at least one; else `None`.
    pub fn length_if_begun(&self, head: &[u8]) -> Option<usize> {
        let (&function, body) = head.split_first()?;
        if function == self.function | EXCEPTION_FLAG {
            return Some(EXCEPTION_LENGTH);
        }
        let is_alike = match &self.body {
            _ if function != self.function => false,
            Body::Registers(_) | Body::Bits(_) => {
                body.first().is_none_or(|count| usize::from(*count) + 2 == self.length())
            }
            Body::Echo { bytes, length } => {
                body.iter().zip(bytes.iter().take(*length)).all(|(found, sent)| found == sent)
            }
        };
        is_alike.then(|| self.length())
    }

    /// Whether a PDU is an answer to this function, be it an exception.
    pub fn is_for(&self, pdu: &[u8]) -> bool {
        pdu.first().is_some_and(|function| function & !EXCEPTION_FLAG == self.function)
    }

    /// Reads what a device answered.
    pub fn parse<'a>(&self, pdu: &'a [u8]) -> Result<ReplyView<'a>, ReplyError> {
        let (&function, body) = pdu.split_first().ok_or(ReplyError::Malformed)?;
        if function == self.function {
            return self.parse_body(body).ok_or(ReplyError::Malformed);
        }
        match body {
            [code] if function == self.function | EXCEPTION_FLAG => {
                Err(ReplyError::Exception(Exception::from_code(*code)))
            }
            _ => Err(ReplyError::Malformed),
        }
    }

    fn parse_body<'a>(&self, body: &'a [u8]) -> Option<ReplyView<'a>> {
        match &self.body {
            Body::Registers(count) => {
                let values = RegisterBytes::new(counted(body)?)?;
                (values.len() == usize::from(*count)).then_some(ReplyView::Registers(values))
            }
            Body::Bits(count) => BitBytes::new(counted(body)?, *count).map(ReplyView::Bits),
            Body::Echo { bytes, length } => (bytes.get(..*length)? == body).then_some(ReplyView::Written),
        }
    }
}

/// Appends the reply to a read of registers; at most 125 of them.
pub fn registers_into(out: &mut Vec<u8>, function: u8, values: &[u16]) {
    out.extend([function, byte(values.len() * 2)]);
    push_words(out, values);
}

/// Appends the reply to a read of bits; at most 2000 of them.
pub fn bits_into(out: &mut Vec<u8>, function: u8, values: &[bool]) {
    out.extend([function, byte(packed(values.len()))]);
    push_bits(out, values);
}

/// Appends the reply to a write: functions 5 and 6 echo the value, functions 15 and 16 the count.
pub fn written_into(out: &mut Vec<u8>, function: u8, address: u16, value_or_count: u16) {
    out.push(function);
    push_words(out, &[address, value_or_count]);
}

/// Appends the reply to function 22.
pub fn mask_written_into(out: &mut Vec<u8>, address: u16, and: u16, or: u16) {
    out.push(super::MASK_WRITE);
    push_words(out, &[address, and, or]);
}

/// Appends the reply that refuses.
pub fn exception_into(out: &mut Vec<u8>, function: u8, exception: Exception) {
    out.extend([function | EXCEPTION_FLAG, exception.code()]);
}

/// `registers_into` in bytes of its own.
pub fn encode_registers(function: u8, values: &[u16]) -> Vec<u8> {
    owned(|out| registers_into(out, function, values))
}

/// `written_into` in bytes of its own.
pub fn encode_written(function: u8, address: u16, value_or_count: u16) -> Vec<u8> {
    owned(|out| written_into(out, function, address, value_or_count))
}

/// `exception_into` in bytes of its own.
pub fn encode_exception(function: u8, exception: Exception) -> Vec<u8> {
    owned(|out| exception_into(out, function, exception))
}

fn owned(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}
