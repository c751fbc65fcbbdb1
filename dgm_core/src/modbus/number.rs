//! Exact arithmetic between raw register values and integers in our units, rounded the way the caller says.
//!
//! ```text
//! raw (integer, or float = mantissa x 2^exponent)  x  multiplier / divisor  x  10^scale  ──>  whole number of our unit
//! ```
//!
//! Everything is a fraction of two i128 until the one rounding at the end. What does not fit is `None`, never clipped.

/// A power of ten, -10..=10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(i8);

impl Scale {
    /// Times one.
    pub const ONE: Self = Self(0);

    /// A power of ten; one beyond 10 on either side means nothing.
    pub fn new(exponent: i64) -> Option<Self> {
        i8::try_from(exponent).ok().filter(|exponent| (-10..=10).contains(exponent)).map(Self)
    }

    /// The exponent.
    pub fn exponent(self) -> i32 {
        i32::from(self.0)
    }
}

/// Which way a value goes that is no whole number of our unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards plus infinity: loads.
    Up,
    /// Towards minus infinity: what may be used up.
    Down,
    /// Towards zero: what is asked of a device in either direction.
    Inwards,
    /// To the nearest, half away from zero: what is only shown.
    Nearest,
}

/// A raw value as registers hold it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw {
    /// Integers of any width.
    Integer(i128),
    /// Floats of either width; finite.
    Float(f64),
}

/// What raw values are multiplied by to give a value in the unit of the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gain {
    /// Not 0, at most `GAIN_MAX` in magnitude; negative turns the sign.
    pub multiplier: i64,
    /// 1..=`GAIN_MAX`.
    pub divisor: i64,
}

/// Largest multiplier or divisor.
pub const GAIN_MAX: i64 = 1_000_000_000;

impl Gain {
    /// Times one.
    pub const ONE: Self = Self { multiplier: 1, divisor: 1 };
    /// Times minus one.
    pub const TURNED: Self = Self { multiplier: -1, divisor: 1 };

    /// The value in a unit `digits` decimal digits finer than the point's.
    pub fn apply(self, raw: Raw, scale: Scale, digits: i32, rounding: Rounding) -> Option<i64> {
        let (mantissa, twos) = parts(raw);
        if self == Self::ONE && scale.exponent() + digits == 0 && twos == 0 {
            // Most values are whole numbers of their unit, and dividing 128 bits takes longer than all the rest.
            return i64::try_from(mantissa).ok();
        }
        let mut fraction = Fraction { top: mantissa, bottom: 1 };
        fraction.times(i128::from(self.multiplier))?;
        fraction.over(i128::from(self.divisor))?;
        fraction.shift(10, scale.exponent() + digits)?;
        fraction.shift(2, twos)?;
        i64::try_from(fraction.round(rounding)?).ok()
    }

    /// The raw number whose meaning is `value`, given in a unit `digits` decimal digits finer than the point's.
    pub fn invert(self, value: i64, scale: Scale, digits: i32) -> Option<Fraction> {
        let mut fraction = Fraction { top: i128::from(value), bottom: 1 };
        fraction.times(i128::from(self.divisor))?;
        fraction.over(i128::from(self.multiplier))?;
        fraction.shift(10, -(scale.exponent() + digits))?;
        Some(fraction)
    }
}

/// An exact number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    top: i128,
    /// Above 0.
    bottom: i128,
}

impl Fraction {
    fn times(&mut self, factor: i128) -> Option<()> {
        self.top = self.top.checked_mul(factor)?;
        Some(())
    }

    fn over(&mut self, divisor: i128) -> Option<()> {
        let sign = divisor.signum();
        self.top = self.top.checked_mul(sign)?;
        self.bottom = self.bottom.checked_mul(divisor.checked_mul(sign)?)?;
        (self.bottom > 0).then_some(())
    }

    fn shift(&mut self, base: i128, exponent: i32) -> Option<()> {
        let power = base.checked_pow(exponent.unsigned_abs())?;
        if exponent >= 0 {
            self.times(power)
        } else {
            self.over(power)
        }
    }

    /// As a whole number.
    pub fn round(self, rounding: Rounding) -> Option<i128> {
        let Self { top, bottom } = self;
        Some(match rounding {
            Rounding::Down => top.div_euclid(bottom),
            Rounding::Up => -(-top).div_euclid(bottom),
            Rounding::Inwards => top / bottom,
            Rounding::Nearest => {
                let doubled = top.checked_mul(2)?.checked_abs()?.checked_add(bottom)?;
                doubled.div_euclid(bottom.checked_mul(2)?) * top.signum()
            }
        })
    }

    /// The IEEE 754 bits of the nearest number towards zero with `bits` bits of mantissa (23 or 52) behind the one.
    pub fn float_bits(self, bits: u32) -> Option<u64> {
        if self.top == 0 {
            return Some(0);
        }
        let (exponent_bits, bias) = if bits == 23 { (8, 127) } else { (11, 1023) };
        let magnitude = Self { top: self.top.checked_abs()?, bottom: self.bottom };
        let width = i32::try_from(bits).ok()?;
        // The power of two that brings the number into [2^bits, 2^(bits+1)).
        let mut twos = width - magnitude.floor_log2()?;
        let mut scaled = magnitude.scaled(twos)?;
        if scaled >> (bits + 1) != 0 {
            twos -= 1;
            scaled = magnitude.scaled(twos)?;
        }
        let exponent = u64::try_from(bias + width - twos).ok().filter(|e| (1..(1 << exponent_bits) - 1).contains(e))?;
        let sign = u64::from(self.top < 0);
        Some(sign << (bits + exponent_bits) | exponent << bits | u64::try_from(scaled).ok()? & ((1 << bits) - 1))
    }

    /// The exponent of two of a positive number, or one less.
    fn floor_log2(self) -> Option<i32> {
        let top = i32::try_from(self.top.checked_ilog2()?).ok()?;
        Some(top - i32::try_from(self.bottom.checked_ilog2()?).ok()? - 1)
    }

    fn scaled(mut self, twos: i32) -> Option<i128> {
        self.shift(2, twos)?;
        self.round(Rounding::Inwards)
    }
}

/// A raw value as mantissa x 2^exponent. Bits that are worth less than 2^-64 are left out.
fn parts(raw: Raw) -> (i128, i32) {
    let float = match raw {
        Raw::Integer(value) => return (value, 0),
        Raw::Float(float) => float,
    };
    let bits = float.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or_default();
    let fraction = i128::from(bits & ((1 << 52) - 1));
    let (mut mantissa, mut twos) =
        if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let idle = i32::try_from(mantissa.trailing_zeros()).unwrap_or_default().min(52);
    (mantissa, twos) = (mantissa >> idle, twos + idle);
    if twos < -64 {
        mantissa = mantissa.checked_shr((-64 - twos).unsigned_abs()).unwrap_or_default();
        twos = -64;
    }
    (if float.is_sign_negative() { -mantissa } else { mantissa }, twos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn scale(exponent: i64) -> Scale {
        Scale::new(exponent).unwrap()
    }

    #[test]
    fn rounding_goes_the_way_it_is_told_on_both_sides_of_zero() {
        let tenths = |raw, rounding| Gain::ONE.apply(Raw::Integer(raw), scale(-1), 0, rounding).unwrap();
        assert_eq!([123, -123].map(|raw| tenths(raw, Rounding::Up)), [13, -12]);
        assert_eq!([123, -123].map(|raw| tenths(raw, Rounding::Down)), [12, -13]);
        assert_eq!([129, -129].map(|raw| tenths(raw, Rounding::Inwards)), [12, -12]);
        assert_eq!([124, 125, -124, -125].map(|raw| tenths(raw, Rounding::Nearest)), [12, 13, -12, -13]);
        assert_eq!(Gain::ONE.apply(Raw::Integer(123), scale(-1), 3, Rounding::Down), Some(12_300));
        assert_eq!(Gain::ONE.apply(Raw::Integer(i128::from(i64::MAX)), scale(10), 3, Rounding::Down), None);
    }

    #[test]
    fn a_gain_multiplies_divides_and_turns() {
        let gain = Gain { multiplier: -5, divisor: 3 };
        assert_eq!(gain.apply(Raw::Integer(7), Scale::ONE, 0, Rounding::Down), Some(-12));
        assert_eq!(gain.invert(-12, Scale::ONE, 0).unwrap().round(Rounding::Inwards), Some(7));
    }

    #[test]
    fn a_float_is_taken_exactly() {
        let value = |float, digits| Gain::ONE.apply(Raw::Float(float), Scale::ONE, digits, Rounding::Nearest);
        assert_eq!(value(230.25, 3), Some(230_250));
        assert_eq!(value(f64::from(0.1_f32), 9), Some(100_000_001));
        assert_eq!(value(-1e-300, 3), Some(0));
        assert_eq!(value(-1.5e15, 0), Some(-1_500_000_000_000_000));
        assert_eq!(value(1e300, 0), None);
    }

    #[test]
    fn a_scale_factor_beyond_ten_is_none() {
        assert_eq!([-11, 11, 40_000].map(Scale::new), [None; 3]);
        assert_eq!(scale(-10).exponent(), -10);
    }

    proptest! {
        #[test]
        fn what_is_asked_of_a_device_never_means_more_than_wanted(value in -1_000_000_000i64..1_000_000_000, exponent in -10i64..=10) {
            if let Some(raw) = Gain::ONE.invert(value, scale(exponent), 0).and_then(|raw| raw.round(Rounding::Inwards)) {
                let meant = Gain::ONE.apply(Raw::Integer(raw), scale(exponent), 0, Rounding::Nearest).unwrap();
                prop_assert!(meant.abs() <= value.abs() && meant * value >= 0);
            }
        }

        #[test]
        fn the_bits_of_a_float_are_the_nearest_towards_zero(value in -100_000_000_000i64..100_000_000_000, exponent in -6i64..=3) {
            let fraction = Gain::ONE.invert(value, scale(exponent), 0).unwrap();
            let exact = f64::from_bits(fraction.float_bits(52).unwrap());
            let single = f64::from(f32::from_bits(u32::try_from(fraction.float_bits(23).unwrap()).unwrap()));
            let wanted = value as f64 / 10f64.powi(i32::try_from(exponent).unwrap());
            prop_assert!((exact - wanted).abs() <= wanted.abs() * 1e-15);
            prop_assert!(single.abs() <= exact.abs() && (single - wanted).abs() <= wanted.abs() * 1.3e-7);
        }

        #[test]
        fn no_float_makes_the_arithmetic_panic(bits in any::<u64>(), multiplier in -GAIN_MAX..=GAIN_MAX, digits in -3i32..=6) {
            let gain = Gain { multiplier, divisor: 7 };
            let float = f64::from_bits(bits);
            if float.is_finite() {
                gain.apply(Raw::Float(float), scale(-3), digits, Rounding::Nearest);
            }
        }

        #[test]
        fn a_float_gives_what_float_arithmetic_gives(float in -1e9f64..1e9) {
            let found = Gain::ONE.apply(Raw::Float(float), Scale::ONE, 3, Rounding::Nearest).unwrap();
            prop_assert!((found as f64 - float * 1000.0).abs() <= 1.0);
        }
    }
}
