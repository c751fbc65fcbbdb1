//! What a master asks: the owned form it keeps and sends, and the view a server takes of the bytes.
use super::{packed, push_bits, push_words, BitBytes, Exception, Expected, RegisterBytes, Span, Table, EXCEPTION_FLAG};
use super::{MASK_WRITE, READ_WRITE, WRITE_COIL, WRITE_COILS, WRITE_MANY, WRITE_ONE};
use super::{READ_MAX, READ_WRITE_MAX, WRITE_BITS_MAX, WRITE_MAX};

/// A coil that is on, as functions 5 writes it.
pub(super) const COIL_ON: u16 = 0xFF00;

/// Why a server does not carry out what it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Answer with this exception and go on.
    Exception(Exception),
    /// The length field or the function code lies: what follows cannot be trusted as a frame.
    Close,
}

/// A request that the protocol cannot express; nothing of it was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// More or fewer registers or bits than one request of this function may name.
    Count {
        /// Function code.
        function: u8,
        /// How many were named.
        found: usize,
        /// How many it may be at most; at least 1.
        max: u16,
    },
    /// The run passes address 65535.
    Address {
        /// Function code.
        function: u8,
        /// First address.
        start: u16,
        /// How many were named.
        count: usize,
    },
}

impl std::fmt::Display for LimitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count { function, found, max } => {
                write!(f, "Modbus function {function}: {found} values, 1 to {max} fit into one request: split it")
            }
            Self::Address { function, start, count } => {
                write!(f, "Modbus function {function}: {count} values from address {start} pass 65535, the last one")
            }
        }
    }
}

impl std::error::Error for LimitError {}

/// One request, with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Functions 1 to 4.
    Read {
        /// Which table.
        table: Table,
        /// What of it: 1..=125 registers or 1..=2000 bits.
        span: Span,
    },
    /// Function 5.
    WriteCoil {
        /// Coil.
        address: u16,
        /// New value.
        value: bool,
    },
    /// Function 6.
    WriteOne {
        /// Register.
        address: u16,
        /// New value.
        value: u16,
    },
    /// Function 15.
    WriteCoils {
        /// First coil.
        start: u16,
        /// 1..=1968 values.
        values: Vec<bool>,
    },
    /// Function 16.
    WriteMany {
        /// First register.
        start: u16,
        /// 1..=123 values.
        values: Vec<u16>,
    },
    /// Function 22: new = (old AND `and`) OR (`or` AND NOT `and`).
    MaskWrite {
        /// Register.
        address: u16,
        /// Bits to keep.
        and: u16,
        /// Bits to set among the others.
        or: u16,
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

impl Request {
    /// A read that the protocol can express.
    pub fn read(table: Table, span: Span) -> Result<Self, LimitError> {
        Self::Read { table, span }.checked()
    }

    /// A write of registers that the protocol can express.
    pub fn write(start: u16, values: Vec<u16>) -> Result<Self, LimitError> {
        Self::WriteMany { start, values }.checked()
    }

    /// A write of coils that the protocol can express.
    pub fn write_coils(start: u16, values: Vec<bool>) -> Result<Self, LimitError> {
        Self::WriteCoils { start, values }.checked()
    }

    /// A write and a read in one that the protocol can express.
    pub fn read_write(read: Span, start: u16, values: Vec<u16>) -> Result<Self, LimitError> {
        Self::ReadWrite { read, start, values }.checked()
    }

    fn checked(self) -> Result<Self, LimitError> {
        self.check().map(|()| self)
    }

    /// Whether the counts and addresses fit the protocol.
    pub fn check(&self) -> Result<(), LimitError> {
        let function = self.function();
        match self {
            Self::Read { table, span } => check_span(function, *span, table.read_max()),
            Self::WriteCoil { .. } | Self::WriteOne { .. } | Self::MaskWrite { .. } => Ok(()),
            Self::WriteCoils { start, values } => check_run(function, *start, values.len(), WRITE_BITS_MAX),
            Self::WriteMany { start, values } => check_run(function, *start, values.len(), WRITE_MAX),
            Self::ReadWrite { read, start, values } => {
                check_span(function, *read, READ_MAX)?;
                check_run(function, *start, values.len(), READ_WRITE_MAX)
            }
        }
    }

    /// The function code on the wire.
    pub fn function(&self) -> u8 {
        match self {
            Self::Read { table, .. } => table.read_function(),
            Self::WriteCoil { .. } => WRITE_COIL,
            Self::WriteOne { .. } => WRITE_ONE,
            Self::WriteCoils { .. } => WRITE_COILS,
            Self::WriteMany { .. } => WRITE_MANY,
            Self::MaskWrite { .. } => MASK_WRITE,
            Self::ReadWrite { .. } => READ_WRITE,
        }
    }

    /// Whether it changes something in the device.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }

    /// Whether its reply carries registers or bits, so that there must be one.
    pub fn has_values_back(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::ReadWrite { .. })
    }

    /// Length of the PDU in bytes.
    pub fn length(&self) -> usize {
        let values = match self {
            Self::WriteCoils { values, .. } => packed(values.len()),
            Self::WriteMany { values, .. } | Self::ReadWrite { values, .. } => 2 * values.len(),
            _ => 0,
        };
        1 + fixed_length(self.function()).unwrap_or_default() + values
    }

    /// Appends the PDU. A request beyond the limits appends nothing.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), LimitError> {
        self.check()?;
        out.push(self.function());
        match self {
            Self::Read { span, .. } => push_words(out, &[span.start, span.count]),
            Self::WriteCoil { address, value } => push_words(out, &[*address, if *value { COIL_ON } else { 0 }]),
            Self::WriteOne { address, value } => push_words(out, &[*address, *value]),
            Self::WriteCoils { start, values } => {
                push_words(out, &[*start, short(values.len())]);
                out.push(byte(packed(values.len())));
                push_bits(out, values);
            }
            Self::WriteMany { start, values } => push_block(out, *start, values),
            Self::MaskWrite { address, and, or } => push_words(out, &[*address, *and, *or]),
            Self::ReadWrite { read, start, values } => {
                push_words(out, &[read.start, read.count]);
                push_block(out, *start, values);
            }
        }
        Ok(())
    }

    /// The PDU in bytes of its own, for callers that are in no hurry.
    pub fn encode(&self) -> Result<Vec<u8>, LimitError> {
        let mut pdu = Vec::new();
        self.encode_into(&mut pdu).map(|()| pdu)
    }

    /// An own copy of what a server would read.
    pub fn parse(pdu: &[u8]) -> Result<Self, Refusal> {
        RequestView::parse(pdu).map(RequestView::to_owned)
    }

    /// What its reply must look like.
    pub fn expected(&self) -> Expected {
        let function = self.function();
        match self {
            Self::Read { table, span } if table.is_bits() => Expected::bits(function, span.count),
            Self::Read { span, .. } | Self::ReadWrite { read: span, .. } => Expected::registers(function, span.count),
            Self::WriteCoil { address, value } => Expected::echo(function, *address, if *value { COIL_ON } else { 0 }),
            Self::WriteOne { address, value } => Expected::echo(function, *address, *value),
            Self::WriteCoils { start, values } => Expected::echo(function, *start, short(values.len())),
            Self::WriteMany { start, values } => Expected::echo(function, *start, short(values.len())),
            Self::MaskWrite { address, and, or } => Expected::long_echo(function, *address, *and, *or),
        }
    }
}

/// One request as a server reads it: the values stay where they came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestView<'a> {
    /// Functions 1 to 4.
    Read {
        /// Which table.
        table: Table,
        /// What of it.
        span: Span,
    },
    /// Function 5.
    WriteCoil {
        /// Coil.
        address: u16,
        /// New value.
        value: bool,
    },
    /// Function 6.
    WriteOne {
        /// Register.
        address: u16,
        /// New value.
        value: u16,
    },
    /// Function 15.
    WriteCoils {
        /// First coil.
        start: u16,
        /// 1..=1968 values.
        values: BitBytes<'a>,
    },
    /// Function 16.
    WriteMany {
        /// First register.
        start: u16,
        /// 1..=123 values.
        values: RegisterBytes<'a>,
    },
    /// Function 22.
    MaskWrite {
        /// Register.
        address: u16,
        /// Bits to keep.
        and: u16,
        /// Bits to set among the others.
        or: u16,
    },
    /// Function 23: the write is carried out before the read.
    ReadWrite {
        /// Which registers to read, 1..=125.
        read: Span,
        /// First register to write.
        start: u16,
        /// 1..=121 values.
        values: RegisterBytes<'a>,
    },
}

impl<'a> RequestView<'a> {
    /// Reads a request as a server must: every malformed one has a defined answer.
    ///
    /// A bare function code and trailing bytes are exception 3; a PDU cut inside its fixed part means that the length
    /// field lied, so the stream is closed rather than its tail taken for a frame.
    pub fn parse(pdu: &'a [u8]) -> Result<Self, Refusal> {
        let (&function, body) = pdu.split_first().ok_or(Refusal::Close)?;
        if function >= EXCEPTION_FLAG {
            return Err(Refusal::Close);
        }
        let fixed = fixed_length(function).ok_or(Refusal::Exception(Exception::IllegalFunction))?;
        if body.is_empty() {
            return Err(Refusal::Exception(Exception::IllegalValue));
        }
        if body.len() < fixed {
            return Err(Refusal::Close);
        }
        parse_body(function, body).ok_or(Refusal::Exception(Exception::IllegalValue))
    }

    /// The same with values of its own.
    pub fn to_owned(self) -> Request {
        match self {
            Self::Read { table, span } => Request::Read { table, span },
            Self::WriteCoil { address, value } => Request::WriteCoil { address, value },
            Self::WriteOne { address, value } => Request::WriteOne { address, value },
            Self::WriteCoils { start, values } => Request::WriteCoils { start, values: values.to_vec() },
            Self::WriteMany { start, values } => Request::WriteMany { start, values: values.to_vec() },
            Self::MaskWrite { address, and, or } => Request::MaskWrite { address, and, or },
            Self::ReadWrite { read, start, values } => Request::ReadWrite { read, start, values: values.to_vec() },
        }
    }
}

/// Bytes of a request behind the function code, without its values; `None` for a function that is not served.
pub(crate) fn fixed_length(function: u8) -> Option<usize> {
    match function {
        WRITE_COIL | WRITE_ONE => Some(4),
        WRITE_COILS | WRITE_MANY => Some(5),
        MASK_WRITE => Some(6),
        READ_WRITE => Some(9),
        _ => Table::of(function).map(|_| 4),
    }
}

fn parse_body(function: u8, body: &[u8]) -> Option<RequestView<'_>> {
    match function {
        WRITE_COIL => {
            let [address, value] = words(body)?;
            let value = [(0, false), (COIL_ON, true)].into_iter().find(|(raw, _)| *raw == value)?.1;
            Some(RequestView::WriteCoil { address, value })
        }
        WRITE_ONE => words(body).map(|[address, value]| RequestView::WriteOne { address, value }),
        WRITE_COILS => {
            let span = span(body.get(..4)?, WRITE_BITS_MAX)?;
            let values = BitBytes::new(counted(body.get(4..)?)?, span.count)?;
            Some(RequestView::WriteCoils { start: span.start, values })
        }
        WRITE_MANY => block(body, WRITE_MAX).map(|(start, values)| RequestView::WriteMany { start, values }),
        MASK_WRITE => words(body).map(|[address, and, or]| RequestView::MaskWrite { address, and, or }),
        READ_WRITE => {
            let read = span(body.get(..4)?, READ_MAX)?;
            let (start, values) = block(body.get(4..)?, READ_WRITE_MAX)?;
            Some(RequestView::ReadWrite { read, start, values })
        }
        _ => {
            let table = Table::of(function)?;
            span(body, table.read_max()).map(|span| RequestView::Read { table, span })
        }
    }
}

/// Exactly `N` words.
fn words<const N: usize>(body: &[u8]) -> Option<[u16; N]> {
    let (pairs, rest) = body.as_chunks();
    let pairs: [[u8; 2]; N] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
    Some(pairs.map(u16::from_be_bytes))
}

fn span(body: &[u8], count_max: u16) -> Option<Span> {
    let [start, count] = words(body)?;
    (1..=count_max).contains(&count).then_some(Span { start, count })
}

fn block(body: &[u8], count_max: u16) -> Option<(u16, RegisterBytes<'_>)> {
    let span = span(body.get(..4)?, count_max)?;
    let values = RegisterBytes::new(counted(body.get(4..)?)?)?;
    (values.len() == usize::from(span.count)).then_some((span.start, values))
}

/// Bytes behind a byte count that must be true.
pub(super) fn counted(body: &[u8]) -> Option<&[u8]> {
    let (&count, rest) = body.split_first()?;
    (usize::from(count) == rest.len()).then_some(rest)
}

fn check_span(function: u8, span: Span, max: u16) -> Result<(), LimitError> {
    check_run(function, span.start, usize::from(span.count), max)
}

fn check_run(function: u8, start: u16, count: usize, max: u16) -> Result<(), LimitError> {
    if !(1..=usize::from(max)).contains(&count) {
        return Err(LimitError::Count { function, found: count, max });
    }
    if usize::from(start) + count > 0x1_0000 {
        return Err(LimitError::Address { function, start, count });
    }
    Ok(())
}

fn push_block(out: &mut Vec<u8>, start: u16, values: &[u16]) {
    push_words(out, &[start, short(values.len())]);
    out.push(byte(values.len() * 2));
    push_words(out, values);
}

/// A count that was checked before.
fn short(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// A count of bytes that was checked before.
pub(super) fn byte(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
