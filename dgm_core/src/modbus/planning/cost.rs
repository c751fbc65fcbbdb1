//! What a transaction costs its line: a fixed part, and a part for each register.
//!
//! ```text
//! read of n registers = fixed + n x per_register       a gap is worth reading while gap x per_register <= fixed
//! ```
//!
//! On a serial line both follow from the baud rate; on a LAN the fixed part is the round trip and a register is nearly
//! free. `estimate` measures what they really are.
use std::num::NonZeroU32;

use super::super::pdu::Table;
use crate::units::{Micros, Nanos, Permille};

/// Round trip assumed of a TCP line that has not been measured.
pub const ROUND_TRIP_ASSUMED: Micros = Micros::from_millis(5);
/// What a device on a serial line is assumed to take until it answers.
pub const ANSWER_ASSUMED: Micros = Micros::from_millis(10);
/// Cost of a register assumed of a TCP line that has not been measured: two bytes at 100 Mbit/s, rounded up.
const TCP_REGISTER: Nanos = Nanos::new(200);

const SECOND_NS: i64 = 1_000_000_000;
/// Characters of a read beside its registers: the request 8, the reply 5.
const READ_CHARACTERS: i64 = 13;
const REGISTER_CHARACTERS: i64 = 2;
/// Coils and discrete inputs travel in the place of one register.
const BITS_PER_REGISTER: i64 = 16;
/// A write carries its registers in the request: 9 characters and the registers, the reply 8. Four more than a read.
const WRITE_REGISTERS_MORE: u16 = 2;
/// Above this rate the silence between frames is fixed (Modbus over serial line V1.02, 2.5.1.1).
const FIXED_SILENCE_ABOVE_BAUD: i64 = 19_200;
const FIXED_SILENCE_NS: i64 = 1_750_000;

/// A serial line's speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialSpeed {
    /// Bits per second.
    pub baud: NonZeroU32,
    /// Start, data, parity and stop bits: 11 by the standard, 10 with neither parity nor a second stop bit.
    pub bits_per_character: u8,
}

/// What transactions cost a line. Neither part is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCost {
    fixed: Nanos,
    per_register: Nanos,
}

impl LineCost {
    /// A line on which a register is free and a request costs a millisecond.
    #[cfg(test)]
    pub const FREE_REGISTERS: Self = Self { fixed: Nanos::new(1_000_000), per_register: Nanos::ZERO };

    /// From both parts; a negative part counts as nothing.
    pub fn new(fixed: Nanos, per_register: Nanos) -> Self {
        Self { fixed: fixed.max(Nanos::ZERO), per_register: per_register.max(Nanos::ZERO) }
    }

    /// A TCP line with this round trip.
    pub fn tcp(round_trip: Micros) -> Self {
        Self::new(Nanos::from(round_trip), TCP_REGISTER)
    }

    /// An RTU line: the characters of request and reply, two silences of 3.5 characters, and what the device takes to
    /// answer.
    pub fn serial(speed: SerialSpeed, turnaround: Micros) -> Self {
        let baud = i64::from(speed.baud.get());
        let bits = i64::from(speed.bits_per_character);
        let up = |characters: i64| (characters * bits * SECOND_NS + baud - 1) / baud;
        let frames = if baud > FIXED_SILENCE_ABOVE_BAUD {
            up(READ_CHARACTERS) + 2 * FIXED_SILENCE_NS
        } else {
            up(READ_CHARACTERS + 7)
        };
        // Rounded down, so that rounding never makes a gap dearer than the request it saves.
        let per_register = REGISTER_CHARACTERS * bits * SECOND_NS / baud;
        Self::new(Nanos::new(frames) + Nanos::from(turnaround), Nanos::new(per_register))
    }

    /// Cost of a request beside its registers.
    pub fn fixed(self) -> Nanos {
        self.fixed
    }

    /// Cost of one register more.
    pub fn per_register(self) -> Nanos {
        self.per_register
    }

    /// The same for what a table holds: a coil or discrete input is a sixteenth of a register, rounded up.
    pub fn of_table(self, table: Table) -> Self {
        match table {
            Table::Holding | Table::Input => self,
            Table::Coil | Table::DiscreteInput => {
                let each = self.per_register.get().saturating_add(BITS_PER_REGISTER - 1) / BITS_PER_REGISTER;
                Self { per_register: Nanos::new(each), ..self }
            }
        }
    }

    /// Line time of a read.
    pub fn read(self, registers: u16) -> Nanos {
        self.fixed + Nanos::new(self.per_register.get().saturating_mul(i64::from(registers)))
    }

    /// Line time of a write (function 16).
    pub fn write(self, registers: u16) -> Nanos {
        self.read(registers.saturating_add(WRITE_REGISTERS_MORE))
    }

    /// The longest gap between two needs that costs no more than a second request, at most `most`.
    pub fn gap_max(self, most: u16) -> u16 {
        times(self.fixed, self.per_register, most)
    }

    /// Most registers, up to `most`, that a read may have to take no longer than `bound`; 0: not even the request fits.
    pub fn registers_within(self, bound: Micros, most: u16) -> u16 {
        let room = Nanos::from(bound) - self.fixed;
        if room < Nanos::ZERO {
            return 0;
        }
        times(room, self.per_register, most)
    }
}

/// How often `each` goes into `room`, at most `most` times.
fn times(room: Nanos, each: Nanos, most: u16) -> u16 {
    room.get().checked_div(each.get()).map_or(most, |times| u16::try_from(times).unwrap_or(u16::MAX).min(most))
}

/// A share of a line's time, exact enough to compare plans: 10^12 is the whole line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load(i64);

impl Load {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// By how much the loads of the parts of a read may differ from that of the whole, at most.
    pub(super) const ROUNDING: Self = Self(2);
    /// The whole line.
    pub(super) const WHOLE: i64 = 1_000_000_000_000;

    /// `cost` of line time in every `period`, rounded up. A period below 1 us counts as 1 us.
    pub fn of(cost: Nanos, period: Micros) -> Self {
        let period = i128::from(period.get().max(1));
        let share = (i128::from(cost.get()) * 1_000_000_000 + period - 1).div_euclid(period);
        Self(i64::try_from(share).unwrap_or(i64::MAX))
    }

    /// Rounded up.
    pub fn permille(self) -> Permille {
        Permille::new((self.0.saturating_add(Self::WHOLE / 1000 - 1)).div_euclid(Self::WHOLE / 1000))
    }

    /// What is left of the line; `None`: more is asked than it has.
    pub(super) fn free(self) -> Option<i64> {
        (!self.is_over()).then_some(Self::WHOLE - self.0)
    }

    /// Whether more is asked than the line has.
    pub fn is_over(self) -> bool {
        self.0 > Self::WHOLE
    }
}

impl std::ops::Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Load {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, std::ops::Add::add)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::pdu::READ_MAX;
    use super::*;

    fn serial(baud: u32) -> LineCost {
        let speed = SerialSpeed { baud: NonZeroU32::new(baud).unwrap(), bits_per_character: 11 };
        LineCost::serial(speed, Micros::ZERO)
    }

    fn tenths_of_ms(cost: Nanos) -> i64 {
        (cost.get() + 50_000) / 100_000
    }

    #[test]
    fn a_serial_line_costs_what_its_characters_take() {
        // Baud; 125, 40 and 10 registers; one request more, all in tenths of a ms; the longest gap worth reading.
        let table =
            [(9_600, 3094, 1146, 458, 229, 10), (19_200, 1547, 573, 229, 115, 10), (115_200, 286, 124, 67, 47, 24)];
        for (baud, full, forty, ten, request, gap) in table {
            let cost = serial(baud);
            assert_eq!(tenths_of_ms(cost.read(125)), full, "{baud} baud, 125 registers");
            assert_eq!(tenths_of_ms(cost.read(40)), forty, "{baud} baud, 40 registers");
            assert_eq!(tenths_of_ms(cost.read(10)), ten, "{baud} baud, 10 registers");
            assert_eq!(tenths_of_ms(cost.fixed()), request, "{baud} baud, one request more");
            assert_eq!(cost.gap_max(READ_MAX), gap, "{baud} baud");
        }
        assert_eq!(serial(9_600).per_register().get() / 10_000, 229);
        assert_eq!(serial(115_200).per_register().get() / 10_000, 19);
    }

    #[test]
    fn a_device_that_answers_slowly_makes_longer_gaps_worth_reading() {
        let speed = SerialSpeed { baud: NonZeroU32::new(9_600).unwrap(), bits_per_character: 11 };
        let slow = LineCost::serial(speed, Micros::from_millis(20));
        assert_eq!(slow.gap_max(READ_MAX), 18);
        assert_eq!(slow.per_register(), serial(9_600).per_register());
    }

    #[test]
    fn on_a_lan_every_gap_is_worth_reading() {
        assert_eq!(LineCost::tcp(ROUND_TRIP_ASSUMED).gap_max(READ_MAX), READ_MAX);
        assert_eq!(LineCost::new(Nanos::new(5), Nanos::ZERO).gap_max(READ_MAX), READ_MAX);
    }

    #[test]
    fn a_bound_on_blocking_is_a_bound_on_registers() {
        assert_eq!(serial(19_200).registers_within(Micros::from_millis(50), READ_MAX), 33);
        assert_eq!(serial(19_200).registers_within(Micros::from_millis(5), READ_MAX), 0);
        assert_eq!(LineCost::tcp(ROUND_TRIP_ASSUMED).registers_within(Micros::from_millis(50), READ_MAX), READ_MAX);
    }

    #[test]
    fn sixteen_coils_cost_what_a_register_costs() {
        let coils = serial(9_600).of_table(Table::Coil);
        assert_eq!(tenths_of_ms(coils.read(160)), tenths_of_ms(serial(9_600).read(10)));
        assert_eq!(serial(9_600).of_table(Table::Input), serial(9_600));
    }

    #[test]
    fn a_write_is_four_characters_longer_than_a_read() {
        let cost = serial(9_600);
        assert_eq!(cost.write(1), cost.read(3));
    }

    #[test]
    fn a_load_rounds_up_and_never_wraps() {
        let ms = |ms| Nanos::from(Micros::from_millis(ms));
        assert_eq!(Load::of(ms(1), Micros::from_millis(10)).permille(), Permille::new(100));
        assert_eq!(Load::of(Nanos::new(1), Micros::from_millis(10)).permille(), Permille::new(1));
        assert!(!Load::of(ms(10), Micros::from_millis(10)).is_over());
        assert!(Load::of(Nanos::new(10_000_001), Micros::from_millis(10)).is_over());
        let huge = Load::of(Nanos::new(i64::MAX), Micros::ZERO);
        assert!((huge + huge).is_over());
    }
}
