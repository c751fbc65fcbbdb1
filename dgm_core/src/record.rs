//! A run of a fleet as a compact log: everything its lines learnt and when, and a digest of everything they said.
//!
//! ```text
//! "DGMREC01" │ configuration u64 │ seed u64 │ entries: kind u8, us since the last one, line, body ... │ end
//! ```
//!
//! Numbers are LEB128. What is replayed from it says the same bytes and ends with the same image, or the first entry at
//! which it does not is named. It knows nothing of files: `reactor::recorder` writes them.
use crate::fleet::DeviceOrder;
use crate::modbus::line::LineEvent;
use crate::modbus::session::LinkCommand;
use crate::units::Micros;

/// First bytes of every log.
pub const MAGIC: [u8; 8] = *b"DGMREC01";
/// Longest body of an entry: a chunk off a socket.
pub const BODY_MAX: usize = 65_536;

/// Kinds of entries; their numbers are part of the format.
pub(crate) mod kind {
    pub const WAKE: u8 = 0;
    pub const CONNECTED: u8 = 1;
    pub const CLOSED: u8 = 2;
    pub const RECEIVED: u8 = 3;
    pub const ORDER: u8 = 4;
    pub const SENT: u8 = 5;
    pub const CONNECT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const END: u8 = 8;
}

/// Why a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The fleet was stopped; nothing is missing.
    Stopped,
    /// It has reached the size it was given.
    Full,
    /// It could not be written as fast as things happened.
    Lost,
}

impl Ending {
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::Stopped => 0,
            Self::Full => 1,
            Self::Lost => 2,
        }
    }

    pub(crate) fn from_code(code: u64) -> Option<Self> {
        [Self::Stopped, Self::Full, Self::Lost].into_iter().find(|ending| ending.code() == code)
    }
}

/// FNV-1a, 64 bits: small, and the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    /// Of these bytes alone.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.add(bytes);
        digest
    }

    /// More bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
    }

    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Appends entries to a buffer that its owner empties.
#[derive(Debug)]
pub struct Log {
    /// What was appended.
    pub bytes: Vec<u8>,
    at: Micros,
}

impl Log {
    /// The head of a log. `configuration`: of the fleet, as it was given; `seed`: of its lines.
    pub fn new(configuration: Digest, seed: u64) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(configuration.get().to_le_bytes());
        bytes.extend(seed.to_le_bytes());
        Self { bytes, at: Micros::ZERO }
    }

    /// Something happened to a line.
    pub fn event(&mut self, line: usize, event: LineEvent<'_>, now: Micros) {
        match event {
            LineEvent::Wake => self.begin(kind::WAKE, line, now),
            LineEvent::Connected => self.begin(kind::CONNECTED, line, now),
            LineEvent::Closed => self.begin(kind::CLOSED, line, now),
            LineEvent::Received(bytes) => {
                self.begin(kind::RECEIVED, line, now);
                self.body(bytes);
            }
        }
    }

    /// An order was handed in.
    pub fn order(&mut self, order: &DeviceOrder, now: Micros) {
        // What cannot be encoded is handed in as it is: replayed, it is refused in the same way.
        let pdu = order.request.encode().unwrap_or_default();
        self.begin(kind::ORDER, order.device, now);
        self.number(order.ticket);
        self.number(u64::try_from(order.deadline.get()).unwrap_or_default());
        self.body(&pdu);
    }

    /// A line said this.
    pub fn sent(&mut self, line: usize, bytes: &[u8]) {
        self.begin(kind::SENT, line, self.at);
        self.number(u64::try_from(bytes.len()).unwrap_or_default());
        self.number(Digest::of(bytes).get());
    }

    /// A line wanted this of its link.
    pub fn command(&mut self, line: usize, command: LinkCommand, now: Micros) {
        match command {
            LinkCommand::Connect => self.begin(kind::CONNECT, line, now),
            LinkCommand::Close => self.begin(kind::CLOSE, line, now),
        }
    }

    /// Nothing more comes. `image`: of the registers as they stand.
    pub fn end(&mut self, ending: Ending, image: Digest) {
        self.begin(kind::END, 0, self.at);
        self.number(ending.code());
        self.number(image.get());
    }

    fn begin(&mut self, kind: u8, line: usize, now: Micros) {
        let passed = (now - self.at).max(Micros::ZERO);
        self.at = self.at.max(now);
        self.bytes.push(kind);
        self.number(u64::try_from(passed.get()).unwrap_or_default());
        self.number(u64::try_from(line).unwrap_or_default());
    }

    fn body(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or_default());
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while let (true, [low, ..]) = (number >= 0x80, number.to_le_bytes()) {
            self.bytes.push(low | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}
