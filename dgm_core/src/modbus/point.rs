//! SunSpec points: typed values out of a run of registers, with their scale factor and their "not implemented" value.
//!
//! ```text
//! registers ── type, sentinel ──> raw value ── scale factor (read in the same transaction) ──> integer in our unit
//! ```
//!
//! A sentinel is absence, never 0. Offsets count from the model's header, so that they are those of the published
//! model definitions.

/// Registers of one model as they were read in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    first: u16,
    words: &'a [u16],
}

/// A power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(i32);

/// Which way a value goes that is no whole number of our unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards plus infinity: loads.
    Up,
    /// Towards minus infinity: what may be used up or granted.
    Down,
}

impl<'a> Block<'a> {
    /// Words from offset `first` of the model on.
    pub fn new(first: u16, words: &'a [u16]) -> Self {
        Self { first, words }
    }

    fn words<const N: usize>(&self, offset: u16) -> Option<[u16; N]> {
        let at = usize::from(offset.checked_sub(self.first)?);
        self.words.get(at..at + N)?.try_into().ok()
    }

    /// int16; 0x8000 is absence.
    pub fn int16(&self, offset: u16) -> Option<i64> {
        let [word] = self.words(offset)?;
        (word != 0x8000).then(|| i64::from(i16::from_be_bytes(word.to_be_bytes())))
    }

    /// uint16 or enum16; 0xffff is absence.
    pub fn uint16(&self, offset: u16) -> Option<i64> {
        let [word] = self.words(offset)?;
        (word != 0xffff).then(|| i64::from(word))
    }

    /// uint32; all ones is absence.
    pub fn uint32(&self, offset: u16) -> Option<i64> {
        let value = self.bits32(offset)?;
        (value != u32::MAX).then(|| i64::from(value))
    }

    /// acc32; 0 is absence (an accumulator that was never started).
    pub fn acc32(&self, offset: u16) -> Option<i64> {
        let value = self.bits32(offset)?;
        (value != 0).then(|| i64::from(value))
    }

    /// uint64; all ones is absence, and so is what no i64 holds.
    pub fn uint64(&self, offset: u16) -> Option<i64> {
        let words: [u16; 4] = self.words(offset)?;
        let value = words.iter().fold(0u64, |value, word| value << 16 | u64::from(*word));
        i64::try_from(value).ok()
    }

    /// sunssf: a scale factor of -10..=10; 0x8000 and anything else is absence.
    pub fn scale(&self, offset: u16) -> Option<Scale> {
        let exponent = i32::try_from(self.int16(offset)?).ok()?;
        (-10..=10).contains(&exponent).then_some(Scale(exponent))
    }

    fn bits32(&self, offset: u16) -> Option<u32> {
        let [high, low] = self.words(offset)?;
        Some(u32::from(high) << 16 | u32::from(low))
    }
}

impl Scale {
    /// `raw` in a unit that is `digits` decimal digits finer than the point's.
    pub fn apply(self, raw: i64, digits: i32, rounding: Rounding) -> Option<i64> {
        shift(i128::from(raw), self.0 + digits, rounding)
    }

    /// The raw value whose meaning is `value`, given in a unit `digits` decimal digits finer than the point's.
    pub fn invert(self, value: i64, digits: i32, rounding: Rounding) -> Option<i64> {
        shift(i128::from(value), -(self.0 + digits), rounding)
    }
}

/// value x 10^exponent as a whole number.
fn shift(value: i128, exponent: i32, rounding: Rounding) -> Option<i64> {
    let power = 10i128.checked_pow(exponent.unsigned_abs())?;
    let exact = match (exponent >= 0, rounding) {
        (true, _) => value.checked_mul(power)?,
        (false, Rounding::Down) => value.div_euclid(power),
        (false, Rounding::Up) => -(-value).div_euclid(power),
    };
    i64::try_from(exact).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sentinel_is_absence_and_zero_is_a_value() {
        let block = Block::new(10, &[0x8000, 0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0]);
        assert_eq!(block.int16(10), None);
        assert_eq!(block.scale(10), None);
        assert_eq!(block.uint16(11), None);
        assert_eq!(block.uint32(11), None);
        assert_eq!(block.uint64(11), None);
        assert_eq!(block.acc32(15), None);
        assert_eq!(block.int16(15), Some(0));
        assert_eq!(block.uint16(15), Some(0));
        assert_eq!(block.uint32(15), Some(0));
        assert_eq!(block.uint64(15), Some(0));
    }

    #[test]
    fn a_point_outside_the_block_is_absence() {
        let block = Block::new(10, &[1, 2]);
        assert_eq!((block.int16(9), block.int16(12), block.uint32(11)), (None, None, None));
        assert_eq!(block.uint32(10), Some(0x1_0002));
    }

    #[test]
    fn a_scale_factor_beyond_ten_is_absence() {
        let block = Block::new(0, &[10, 11, 0xfff6, 0xfff5]);
        assert_eq!(block.scale(0), Some(Scale(10)));
        assert_eq!(block.scale(1), None);
        assert_eq!(block.scale(2), Some(Scale(-10)));
        assert_eq!(block.scale(3), None);
    }

    #[test]
    fn rounding_goes_the_way_it_is_told_on_both_sides_of_zero() {
        let tenths = Scale(-1);
        assert_eq!(tenths.apply(123, 0, Rounding::Up), Some(13));
        assert_eq!(tenths.apply(123, 0, Rounding::Down), Some(12));
        assert_eq!(tenths.apply(-123, 0, Rounding::Up), Some(-12));
        assert_eq!(tenths.apply(-123, 0, Rounding::Down), Some(-13));
        assert_eq!(tenths.apply(123, 3, Rounding::Down), Some(12_300));
        assert_eq!(Scale(2).apply(7, 0, Rounding::Down), Some(700));
        assert_eq!(Scale(10).apply(i64::MAX, 3, Rounding::Down), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_never_means_more_than_asked(value in 0i64..1_000_000_000, scale in -10i32..=10) {
            let raw = Scale(scale).invert(value, 0, Rounding::Down);
            if let Some(raw) = raw {
                let meant = Scale(scale).apply(raw, 0, Rounding::Up).unwrap();
                prop_assert!(meant <= value);
            }
        }
    }
}
