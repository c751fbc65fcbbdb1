//! Modbus PDUs as values: what a master asks and what a server answers, to and from bytes.
//!
//! Registers only: functions 3, 4, 6, 16 and 23. A request for another function parses to exception 1. It knows
//! nothing of sockets, unit ids or which registers exist.
//!
//! ```text
//! Request ── encode ──> bytes ── Request::parse ──> Request ── (server image) ──> bytes ── parse_reply ──> Reply
//! ```

/// Most registers one read may ask for.
pub const READ_MAX: u16 = 125;
/// Most registers one write (function 16) may carry.
pub const WRITE_MAX: u16 = 123;
/// Most registers the write half of function 23 may carry.
pub const READ_WRITE_MAX: u16 = 121;

const READ_HOLDING: u8 = 3;
const READ_INPUT: u8 = 4;
const WRITE_ONE: u8 = 6;
const WRITE_MANY: u8 = 16;
const READ_WRITE: u8 = 23;
const EXCEPTION_FLAG: u8 = 0x80;

/// A run of registers: `count` of them from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First register, as on the wire (0-based).
    pub start: u16,
    /// How many.
    pub count: u16,
}

impl Span {
    /// Whether the last register of the run exists in a 16-bit address space.
    pub fn is_addressable(self) -> bool {
        u32::from(self.start) + u32::from(self.count) <= 0x1_0000
    }
}

/// Which of the two register tables a read asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Function 3.
    Holding,
    /// Function 4.
    Input,
}

/// Exception codes of the Modbus application protocol, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// 1: the function is not served.
    IllegalFunction,
    /// 2: a register of the span does not exist (or cannot be written).
    IllegalAddress,
    /// 3: the request does not make sense or a value is out of range.
    IllegalValue,
    /// 0x0B: a gateway has no such unit behind it.
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
            Self::GatewayTarget => 0x0B,
            Self::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalAddress,
            3 => Self::IllegalValue,
            0x0B => Self::GatewayTarget,
            other => Self::Other(other),
        }
    }
}

/// Why a server does not carry out what it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answer with this exception and go on.
    Exception(Exception),
    /// The length field or the function code lies: what follows cannot be trusted as a frame.
    Close,
}

/// One request for registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Functions 3 and 4.
    Read {
        /// Which table.
        table: Table,
        /// Which registers, 1..=125.
        span: Span,
    },
    /// Function 6.
    WriteOne {
        /// Register.
        address: u16,
        /// New value.
        value: u16,
    },
    /// Function 16.
    WriteMany {
        /// First register.
        start: u16,
        /// 1..=123 values.
        values: Vec<u16>,
    },
    /// Function 23: the write is carried out before the read.
    ReadWrite {
        /// Which registers to read, 1..=125.
        read: Span,
        /// First register to write.
        start: u16,
        /// 1..=121 values.
        values: Vec<u16>,
    },
}

/// What a device answered to a request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The registers asked for, exactly as many.
    Registers(Vec<u16>),
    /// The write was carried out.
    Written,
}

/// A reply that is not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The device refused.
    Exception(Exception),
    /// Another function, another length, another echo than asked.
    Malformed,
}

impl Request {
    /// The function code on the wire.
    pub fn function(&self) -> u8 {
        match self {
            Self::Read { table: Table::Holding, .. } => READ_HOLDING,
            Self::Read { table: Table::Input, .. } => READ_INPUT,
            Self::WriteOne { .. } => WRITE_ONE,
            Self::WriteMany { .. } => WRITE_MANY,
            Self::ReadWrite { .. } => READ_WRITE,
        }
    }

    /// The PDU to send. Counts above the limits of the protocol are a mistake of the caller; the server refuses them.
    pub fn encode(&self) -> Vec<u8> {
        let mut pdu = vec![self.function()];
        match self {
            Self::Read { span, .. } => push_span(&mut pdu, *span),
            Self::WriteOne { address, value } => push_words(&mut pdu, &[*address, *value]),
            Self::WriteMany { start, values } => push_block(&mut pdu, *start, values),
            Self::ReadWrite { read, start, values } => {
                push_span(&mut pdu, *read);
                push_block(&mut pdu, *start, values);
            }
        }
        pdu
    }

    /// Reads a request as a server must: every malformed one has a defined answer.
    ///
    /// A bare function code and trailing bytes are exception 3; a PDU cut inside its fixed part means that the length
    /// field lied, so the stream is closed rather than its tail taken for a frame.
    pub fn parse(pdu: &[u8]) -> Result<Self, Refusal> {
        let (&function, body) = pdu.split_first().ok_or(Refusal::Close)?;
        let fixed = match function {
            READ_HOLDING | READ_INPUT | WRITE_ONE => 4,
            WRITE_MANY => 5,
            READ_WRITE => 9,
            EXCEPTION_FLAG.. => return Err(Refusal::Close),
            _ => return Err(Refusal::Exception(Exception::IllegalFunction)),
        };
        if body.is_empty() {
            return Err(Refusal::Exception(Exception::IllegalValue));
        }
        if body.len() < fixed {
            return Err(Refusal::Close);
        }
        parse_body(function, body).ok_or(Refusal::Exception(Exception::IllegalValue))
    }

    /// Reads what a device answered to this request.
    pub fn parse_reply(&self, pdu: &[u8]) -> Result<Reply, ReplyError> {
        let (&function, body) = pdu.split_first().ok_or(ReplyError::Malformed)?;
        if function == self.function() | EXCEPTION_FLAG {
            return Err(match body {
                [code] => ReplyError::Exception(Exception::from_code(*code)),
                _ => ReplyError::Malformed,
            });
        }
        if function != self.function() {
            return Err(ReplyError::Malformed);
        }
        self.parse_reply_body(body).ok_or(ReplyError::Malformed)
    }

    fn parse_reply_body(&self, body: &[u8]) -> Option<Reply> {
        match self {
            Self::Read { span, .. } | Self::ReadWrite { read: span, .. } => {
                let values = counted_words(body)?;
                (values.len() == usize::from(span.count)).then_some(Reply::Registers(values))
            }
            Self::WriteOne { address, value } => (words(body)? == [*address, *value]).then_some(Reply::Written),
            Self::WriteMany { start, values } => match words(body)?.as_slice() {
                [echo, count] if echo == start && usize::from(*count) == values.len() => Some(Reply::Written),
                _ => None,
            },
        }
    }
}

/// The reply to a read.
pub fn encode_registers(function: u8, values: &[u16]) -> Vec<u8> {
    let mut pdu = vec![function, byte_count(values)];
    push_words(&mut pdu, values);
    pdu
}

/// The reply to a write: function 6 echoes the value, function 16 the count.
pub fn encode_written(function: u8, address: u16, value_or_count: u16) -> Vec<u8> {
    let mut pdu = vec![function];
    push_words(&mut pdu, &[address, value_or_count]);
    pdu
}

/// The reply that refuses.
pub fn encode_exception(function: u8, exception: Exception) -> Vec<u8> {
    vec![function | EXCEPTION_FLAG, exception.code()]
}

fn parse_body(function: u8, body: &[u8]) -> Option<Request> {
    match function {
        READ_HOLDING => parse_span(body, READ_MAX).map(|span| Request::Read { table: Table::Holding, span }),
        READ_INPUT => parse_span(body, READ_MAX).map(|span| Request::Read { table: Table::Input, span }),
        WRITE_ONE => match words(body)?.as_slice() {
            [address, value] => Some(Request::WriteOne { address: *address, value: *value }),
            _ => None,
        },
        WRITE_MANY => parse_block(body, WRITE_MAX).map(|(start, values)| Request::WriteMany { start, values }),
        READ_WRITE => {
            let read = parse_span(body.get(..4)?, READ_MAX)?;
            let (start, values) = parse_block(body.get(4..)?, READ_WRITE_MAX)?;
            Some(Request::ReadWrite { read, start, values })
        }
        _ => None,
    }
}

fn parse_span(body: &[u8], count_max: u16) -> Option<Span> {
    match words(body)?.as_slice() {
        [start, count] if (1..=count_max).contains(count) => Some(Span { start: *start, count: *count }),
        _ => None,
    }
}

fn parse_block(body: &[u8], count_max: u16) -> Option<(u16, Vec<u16>)> {
    let span = parse_span(body.get(..4)?, count_max)?;
    let values = counted_words(body.get(4..)?)?;
    (values.len() == usize::from(span.count)).then_some((span.start, values))
}

/// Words behind a byte count that must be true to the byte.
fn counted_words(body: &[u8]) -> Option<Vec<u16>> {
    let (&count, rest) = body.split_first()?;
    (usize::from(count) == rest.len()).then_some(())?;
    words(rest)
}

/// All bytes as big-endian words; `None` for an odd number.
fn words(bytes: &[u8]) -> Option<Vec<u16>> {
    let pairs = bytes.chunks_exact(2);
    pairs.remainder().is_empty().then_some(())?;
    Some(pairs.filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes)).collect())
}

fn push_words(pdu: &mut Vec<u8>, words: &[u16]) {
    pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

fn push_span(pdu: &mut Vec<u8>, span: Span) {
    push_words(pdu, &[span.start, span.count]);
}

fn push_block(pdu: &mut Vec<u8>, start: u16, values: &[u16]) {
    let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
    push_words(pdu, &[start, count]);
    pdu.push(byte_count(values));
    push_words(pdu, values);
}

fn byte_count(values: &[u16]) -> u8 {
    u8::try_from(values.len() * 2).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn any_span() -> impl Strategy<Value = Span> {
        (any::<u16>(), 1..=READ_MAX).prop_map(|(start, count)| Span { start, count })
    }

    fn any_values(count_max: u16) -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(any::<u16>(), 1..=usize::from(count_max))
    }

    fn any_request() -> impl Strategy<Value = Request> {
        prop_oneof![
            any_span().prop_map(|span| Request::Read { table: Table::Holding, span }),
            any_span().prop_map(|span| Request::Read { table: Table::Input, span }),
            any::<(u16, u16)>().prop_map(|(address, value)| Request::WriteOne { address, value }),
            (any::<u16>(), any_values(WRITE_MAX)).prop_map(|(start, values)| Request::WriteMany { start, values }),
            (any_span(), any::<u16>(), any_values(READ_WRITE_MAX))
                .prop_map(|(read, start, values)| Request::ReadWrite { read, start, values }),
        ]
    }

    proptest! {
        #[test]
        fn a_request_survives_the_wire(request in any_request()) {
            let pdu = request.encode();
            prop_assert!(pdu.len() <= 253);
            prop_assert_eq!(Request::parse(&pdu), Ok(request));
        }

        #[test]
        fn no_bytes_make_the_parser_panic_and_what_it_accepts_is_canonical(pdu in prop::collection::vec(any::<u8>(), 0..260)) {
            if let Ok(request) = Request::parse(&pdu) {
                prop_assert_eq!(request.encode(), pdu);
            }
        }

        #[test]
        fn a_cut_request_is_never_taken_for_a_whole_one(request in any_request(), cut in any::<prop::sample::Index>()) {
            let pdu = request.encode();
            prop_assert!(Request::parse(&pdu[..cut.index(pdu.len())]).is_err());
        }

        #[test]
        fn a_reply_with_another_count_is_malformed(span in any_span(), count in 0usize..126) {
            let request = Request::Read { table: Table::Holding, span };
            let reply = request.parse_reply(&encode_registers(READ_HOLDING, &vec![7; count]));
            if count == usize::from(span.count) {
                prop_assert_eq!(reply, Ok(Reply::Registers(vec![7; count])));
            } else {
                prop_assert_eq!(reply, Err(ReplyError::Malformed));
            }
        }

        #[test]
        fn no_reply_bytes_make_the_master_panic(request in any_request(), pdu in prop::collection::vec(any::<u8>(), 0..260)) {
            let _ = request.parse_reply(&pdu);
        }
    }

    #[test]
    fn an_exception_reply_names_its_code() {
        let request = Request::Read { table: Table::Holding, span: Span { start: 0, count: 1 } };
        let reply = request.parse_reply(&encode_exception(READ_HOLDING, Exception::IllegalAddress));
        assert_eq!(reply, Err(ReplyError::Exception(Exception::IllegalAddress)));
        assert_eq!(request.parse_reply(&[0x83]), Err(ReplyError::Malformed));
        assert_eq!(request.parse_reply(&[0x84, 2]), Err(ReplyError::Malformed));
    }

    #[test]
    fn a_write_is_confirmed_only_by_its_own_echo() {
        let one = Request::WriteOne { address: 5, value: 9 };
        assert_eq!(one.parse_reply(&encode_written(WRITE_ONE, 5, 9)), Ok(Reply::Written));
        assert_eq!(one.parse_reply(&encode_written(WRITE_ONE, 5, 8)), Err(ReplyError::Malformed));
        let many = Request::WriteMany { start: 5, values: vec![1, 2] };
        assert_eq!(many.parse_reply(&encode_written(WRITE_MANY, 5, 2)), Ok(Reply::Written));
        assert_eq!(many.parse_reply(&encode_written(WRITE_MANY, 6, 2)), Err(ReplyError::Malformed));
    }

    #[test]
    fn each_malformed_request_has_its_defined_answer() {
        let exception = |code| Err(Refusal::Exception(code));
        let table: [(&[u8], Result<Request, Refusal>); 9] = [
            (&[0x03], exception(Exception::IllegalValue)),
            (&[0x55, 0, 0, 0, 1], exception(Exception::IllegalFunction)),
            (&[0x01, 0, 0, 0, 1], exception(Exception::IllegalFunction)),
            (&[0x80, 0, 0, 0, 1], Err(Refusal::Close)),
            (&[0x03, 0, 0], Err(Refusal::Close)),
            (&[0x03, 0, 0, 0, 0], exception(Exception::IllegalValue)),
            (&[0x03, 0, 0, 0, 126], exception(Exception::IllegalValue)),
            (&[0x03, 0, 0, 0, 1, 9, 9], exception(Exception::IllegalValue)),
            (&[0x10, 0, 0, 0, 2, 200, 0, 1, 0, 2], exception(Exception::IllegalValue)),
        ];
        for (pdu, expected) in table {
            assert_eq!(Request::parse(pdu), expected, "{pdu:02x?}");
        }
    }
}
