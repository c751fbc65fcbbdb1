//! The write table of one served unit: which values a client may write, in which range, and how long they hold.
//!
//! ```text
//! write in range ──> held (watchdog armed) ── not rewritten in time ──> fallback
//! ```
//!
//! A value is one or two registers and is written whole or not at all. It holds no registers: `server` does.
use std::collections::BTreeMap;

use crate::units::Millis;

/// How many registers a value fills, most significant word first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 16 bits.
    One,
    /// 32 bits.
    Two,
}

impl Width {
    /// Number of registers.
    pub fn registers(self) -> u16 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    fn bits(self) -> u32 {
        16 * u32::from(self.registers())
    }
}

/// Who decides the value at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// Nobody wrote, or the watchdog expired.
    Fallback,
    /// A client, until it must have rewritten.
    Client { until: Option<Millis> },
}

/// One writable value. Signed in two's complement if its range starts below 0, unsigned otherwise.
#[derive(Clone, Debug)]
pub struct Writable {
    width: Width,
    low: i64,
    high: i64,
    watchdog: Option<Millis>,
    fallback: i64,
    holder: Holder,
}

/// Why a declaration or a fallback is refused; the text goes to whoever configured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// low > high, or a bound that the registers cannot hold.
    Range,
    /// Another writable value has one of the registers.
    Overlap,
    /// No value begins at this address.
    Unknown,
}

/// Why a write is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// A register of the span is not writable.
    NotWritable,
    /// Half a value, or a value out of its range.
    BadValue,
}

/// A write or a fallback that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// First register of the value.
    pub address: u16,
    /// The value now in force.
    pub value: i64,
}

impl Writable {
    /// A value that stands at `fallback` until somebody writes it. `watchdog`: longest time without a rewrite.
    pub fn new(width: Width, low: i64, high: i64, watchdog: Option<Millis>) -> Result<Self, TableError> {
        let writable = Self { width, low, high, watchdog, fallback: 0, holder: Holder::Fallback };
        let fits = writable.fits(low) && writable.fits(high) && low <= high;
        fits.then_some(writable).ok_or(TableError::Range)
    }

    fn is_signed(&self) -> bool {
        self.low < 0
    }

    fn fits(&self, value: i64) -> bool {
        let bits = self.width.bits();
        if self.is_signed() {
            (-(1 << (bits - 1))..1 << (bits - 1)).contains(&value)
        } else {
            (0..1 << bits).contains(&value)
        }
    }

    /// The words of a value of this kind.
    pub fn words(&self, value: i64) -> Vec<u16> {
        let [.., b3, b2, b1, b0] = value.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([b3, b2]), u16::from_be_bytes([b1, b0]));
        match self.width {
            Width::One => vec![low],
            Width::Two => vec![high, low],
        }
    }

    /// The value of its words; `None` when their number is wrong.
    fn value(&self, words: &[u16]) -> Option<i64> {
        let unsigned = match (self.width, words) {
            (Width::One, [low]) => i64::from(*low),
            (Width::Two, [high, low]) => i64::from(*high) << 16 | i64::from(*low),
            _ => return None,
        };
        let wraps = self.is_signed() && unsigned >= 1 << (self.width.bits() - 1);
        Some(if wraps { unsigned - (1 << self.width.bits()) } else { unsigned })
    }
}

/// All writable values of a unit, by their first register.
#[derive(Debug, Default)]
pub struct WriteTable {
    values: BTreeMap<u16, Writable>,
}

impl WriteTable {
    /// Declares a value whose fallback is what its registers hold now (`words`).
    pub fn allow(&mut self, address: u16, mut writable: Writable, words: &[u16]) -> Result<(), TableError> {
        let end = u32::from(address) + u32::from(writable.width.registers());
        let overlaps = self.values.iter().any(|(start, other)| {
            let start = u32::from(*start);
            start < end && u32::from(address) < start + u32::from(other.width.registers())
        });
        if overlaps {
            return Err(TableError::Overlap);
        }
        writable.fallback = writable.value(words).ok_or(TableError::Range)?;
        self.values.insert(address, writable);
        Ok(())
    }

    /// Sets what a value returns to. The words to store at once, if no client holds it.
    pub fn set_fallback(&mut self, address: u16, value: i64) -> Result<Option<Vec<u16>>, TableError> {
        let writable = self.values.get_mut(&address).ok_or(TableError::Unknown)?;
        if !writable.fits(value) {
            return Err(TableError::Range);
        }
        writable.fallback = value;
        Ok((writable.holder == Holder::Fallback).then(|| writable.words(value)))
    }

    /// Checks a client's write of `words` from `start` on: all values whole and in range, or nothing happens.
    pub fn write(&mut self, start: u16, words: &[u16], now: Millis) -> Result<Vec<Change>, WriteError> {
        let changes = self.check(start, words)?;
        for change in &changes {
            if let Some(writable) = self.values.get_mut(&change.address) {
                let until = writable.watchdog.map(|span| now + span);
                writable.holder = Holder::Client { until };
            }
        }
        Ok(changes)
    }

    fn check(&self, start: u16, words: &[u16]) -> Result<Vec<Change>, WriteError> {
        let mut changes = Vec::new();
        let (mut address, mut rest) = (start, words);
        while !rest.is_empty() {
            let writable = self.values.get(&address).ok_or_else(|| self.why_not(address))?;
            let count = usize::from(writable.width.registers());
            let (own, after) = rest.split_at_checked(count).ok_or(WriteError::BadValue)?;
            let value = writable.value(own).ok_or(WriteError::BadValue)?;
            if !(writable.low..=writable.high).contains(&value) {
                return Err(WriteError::BadValue);
            }
            changes.push(Change { address, value });
            rest = after;
            match address.checked_add(writable.width.registers()) {
                Some(next) => address = next,
                None if rest.is_empty() => break,
                None => return Err(WriteError::NotWritable),
            }
        }
        Ok(changes)
    }

    /// The second register of a value exists but cannot be written alone.
    fn why_not(&self, address: u16) -> WriteError {
        let before = address.checked_sub(1).and_then(|before| self.values.get(&before));
        match before.map(|writable| writable.width) {
            Some(Width::Two) => WriteError::BadValue,
            _ => WriteError::NotWritable,
        }
    }

    /// Returns every value whose watchdog has expired to its fallback; the changes, in order of address.
    pub fn expire(&mut self, now: Millis) -> Vec<(Change, Vec<u16>)> {
        let mut changes = Vec::new();
        for (address, writable) in &mut self.values {
            if matches!(writable.holder, Holder::Client { until: Some(until) } if until <= now) {
                writable.holder = Holder::Fallback;
                let value = writable.fallback;
                changes.push((Change { address: *address, value }, writable.words(value)));
            }
        }
        changes
    }

    /// When the next watchdog expires.
    pub fn next_expiry(&self) -> Option<Millis> {
        let until = |writable: &Writable| match writable.holder {
            Holder::Client { until } => until,
            Holder::Fallback => None,
        };
        self.values.values().filter_map(until).min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn table() -> WriteTable {
        let mut table = WriteTable::default();
        let watchdog = Some(Millis::new(1000));
        table.allow(10, Writable::new(Width::One, 0, 100, watchdog).unwrap(), &[50]).unwrap();
        table.allow(11, Writable::new(Width::Two, -9, 70_000, None).unwrap(), &[0, 0]).unwrap();
        table
    }

    proptest! {
        #[test]
        fn a_value_survives_its_words(value in -2_147_483_648i64..=2_147_483_647) {
            let wide = Writable::new(Width::Two, -1, 0, None).unwrap();
            prop_assert_eq!(wide.value(&wide.words(value)), Some(value));
        }

        #[test]
        fn only_whole_values_in_range_are_written(start in 8u16..15, words in prop::collection::vec(0u16..120, 1..4)) {
            let accepted = table().write(start, &words, Millis::new(0)).is_ok();
            let expected = match (start, words.as_slice()) {
                (10, [one]) => *one <= 100,
                (10, [one, high, low]) => *one <= 100 && (i64::from(*high) << 16 | i64::from(*low)) <= 70_000,
                (11, [high, low]) => (i64::from(*high) << 16 | i64::from(*low)) <= 70_000,
                _ => false,
            };
            prop_assert_eq!(accepted, expected);
        }
    }

    #[test]
    fn half_a_value_and_no_value_are_told_apart() {
        let mut table = table();
        assert_eq!(table.write(11, &[1], Millis::new(0)), Err(WriteError::BadValue));
        assert_eq!(table.write(12, &[1], Millis::new(0)), Err(WriteError::BadValue));
        assert_eq!(table.write(13, &[1], Millis::new(0)), Err(WriteError::NotWritable));
        assert_eq!(table.write(10, &[101], Millis::new(0)), Err(WriteError::BadValue));
    }

    #[test]
    fn a_negative_value_is_two_complement_in_a_signed_range() {
        let changes = table().write(11, &[0xffff, 0xfff7], Millis::new(0)).unwrap();
        assert_eq!(changes, [Change { address: 11, value: -9 }]);
        assert_eq!(table().write(11, &[0xffff, 0xfff6], Millis::new(0)), Err(WriteError::BadValue));
    }

    #[test]
    fn a_value_not_rewritten_in_time_returns_to_its_fallback_once() {
        let mut table = table();
        table.write(10, &[80], Millis::new(0)).unwrap();
        table.write(10, &[80], Millis::new(900)).unwrap();
        assert_eq!(table.next_expiry(), Some(Millis::new(1900)));
        assert_eq!(table.expire(Millis::new(1899)), []);
        assert_eq!(table.expire(Millis::new(1900)), [(Change { address: 10, value: 50 }, vec![50])]);
        assert_eq!(table.expire(Millis::new(9999)), []);
    }

    #[test]
    fn a_new_fallback_acts_at_once_only_where_no_client_holds_the_value() {
        let mut table = table();
        assert_eq!(table.set_fallback(10, 7), Ok(Some(vec![7])));
        table.write(10, &[80], Millis::new(0)).unwrap();
        assert_eq!(table.set_fallback(10, 8), Ok(None));
        assert_eq!(table.expire(Millis::new(1000)), [(Change { address: 10, value: 8 }, vec![8])]);
        assert_eq!(table.set_fallback(10, 70_000), Err(TableError::Range));
        assert_eq!(table.set_fallback(12, 0), Err(TableError::Unknown));
    }

    #[test]
    fn a_range_that_the_registers_cannot_hold_is_refused() {
        for (low, high) in [(0, 65_536), (-32_769, 0), (-1, 40_000), (5, 4)] {
            assert_eq!(Writable::new(Width::One, low, high, None).err(), Some(TableError::Range), "{low}..{high}");
        }
        let again = table().allow(12, Writable::new(Width::One, 0, 1, None).unwrap(), &[0]);
        assert_eq!(again, Err(TableError::Overlap));
    }
}
