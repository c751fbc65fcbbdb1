//! The connection under a session: when to connect, when to give up, how long to wait before the next attempt.
//!
//! ```text
//! Down ── retry_at ──> Connecting ── connected ──> Up
//!   ^──── closed, refused, CONNECT_TIMEOUT ─────────┘
//! ```
//!
//! In the first second after a loss it tries at least each 250 ms; then the waits double up to 5 s. Only an answer from
//! a device ends the growth: a peer that accepts connections and says nothing is left alone ever longer.
use crate::units::Micros;

/// First wait before connecting again; doubles with each failure.
pub const BACKOFF_FIRST: Micros = Micros::from_millis(50);
/// How long after a loss the waits stay below `BACKOFF_EAGER_MAX`.
pub const EAGER: Micros = Micros::from_millis(1_000);
/// Longest wait while `EAGER` has not passed.
pub const BACKOFF_EAGER_MAX: Micros = Micros::from_millis(250);
/// Longest wait of all.
pub const BACKOFF_MAX: Micros = Micros::from_millis(5_000);
/// Longest wait for a connection to be established.
pub const CONNECT_TIMEOUT: Micros = Micros::from_millis(2_000);

/// Spreads reconnects of many lines; seeded from outside, so a run can be repeated.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A sequence that depends on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number of the sequence (xorshift64).
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Something between half of `span` and all of it.
    pub fn spread(&mut self, span: Micros) -> Micros {
        let permille = 500 + i64::try_from(self.next() % 501).unwrap_or_default();
        Micros::new(span.get() * permille / 1000)
    }

    /// Any number of 16 bits.
    pub fn word(&mut self) -> u16 {
        let [a, b, ..] = self.next().to_be_bytes();
        u16::from_be_bytes([a, b])
    }
}

/// What the owner of the socket has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkCommand {
    /// Open a connection, then report `connected` or `closed`.
    Connect,
    /// Close the connection; `closed` has been taken into account already.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down { retry_at: Micros },
    Connecting { until: Micros },
    Up,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    jitter: Jitter,
    /// When the first of the failures since the last answer was.
    lost_at: Option<Micros>,
    backoff: Micros,
    close: bool,
}

impl Link {
    pub(super) fn new(jitter: Jitter) -> Self {
        let state = State::Down { retry_at: Micros::new(i64::MIN) };
        Self { state, jitter, lost_at: None, backoff: Micros::ZERO, close: false }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(super) fn take_command(&mut self, now: Micros) -> Option<LinkCommand> {
        if std::mem::take(&mut self.close) {
            return Some(LinkCommand::Close);
        }
        match self.state {
            State::Down { retry_at } if retry_at <= now => {
                self.state = State::Connecting { until: now + CONNECT_TIMEOUT };
                Some(LinkCommand::Connect)
            }
            _ => None,
        }
    }

    pub(super) fn connected(&mut self) {
        self.state = State::Up;
    }

    /// A number that differs from connection to connection.
    pub(super) fn nonce(&mut self) -> u16 {
        self.jitter.word()
    }

    /// A device has answered: the line works.
    pub(super) fn answered(&mut self) {
        (self.lost_at, self.backoff) = (None, Micros::ZERO);
    }

    /// Whether an attempt to connect has taken too long.
    pub(super) fn is_overdue(&self, now: Micros) -> bool {
        matches!(self.state, State::Connecting { until } if until <= now)
    }

    /// The connection is to be closed from our side.
    pub(super) fn give_up(&mut self, now: Micros) -> bool {
        self.close = true;
        self.lose(now)
    }

    /// The connection has ended; whether there was one, or an attempt.
    pub(super) fn lose(&mut self, now: Micros) -> bool {
        if matches!(self.state, State::Down { .. }) {
            return false;
        }
        let lost_at = *self.lost_at.get_or_insert(now);
        let longest = if now - lost_at < EAGER { BACKOFF_EAGER_MAX } else { BACKOFF_MAX };
        let doubled = (self.backoff + self.backoff).max(BACKOFF_FIRST);
        self.backoff = doubled.min(longest);
        self.state = State::Down { retry_at: now + self.jitter.spread(self.backoff) };
        true
    }

    /// When something is to be done; `None` while the connection stands.
    pub(super) fn wake_time(&self) -> Option<Micros> {
        match self.state {
            State::Down { retry_at } => Some(retry_at),
            State::Connecting { until } => Some(until),
            State::Up => None,
        }
    }
}
