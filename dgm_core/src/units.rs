//! Quantities as integers with a name: a watt is never handed over as a milliamp.
//!
//! Every type wraps an `i64` in the unit of its name. `+`, `-` and negation saturate at the ends of `i64`: a sum that
//! cannot be represented stays at the safe, absurd end instead of wrapping round to a small number.
//!
//! ```text
//! milliamps x millivolts = microwatts (exact)      microwatts -> watts: rounded by the caller's intent, up or down
//! ```

use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0);

            /// The value in the unit of the name.
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            /// The bare number, in the unit of the name.
            pub const fn get(self) -> i64 {
                self.0
            }

            /// Magnitude, saturating.
            pub const fn abs(self) -> Self {
                Self(self.0.saturating_abs())
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(self.0.saturating_neg())
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }
        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Add::add)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

quantity!(
    /// Active power, W, positive into the thing named.
    Watts
);
quantity!(
    /// Reactive power, var, positive absorbed by the thing named.
    Vars
);
quantity!(
    /// Current, mA, a magnitude per phase unless said otherwise.
    Milliamps
);
quantity!(
    /// Voltage, mV, phase to neutral.
    Millivolts
);
quantity!(
    /// A point on the caller's monotonic clock or a span of it, ms.
    Millis
);
quantity!(
    /// A point on the caller's monotonic clock or a span of it, us: what the wire is timed in.
    Micros
);
quantity!(
    /// A span of line time, ns: one register more costs a LAN far less than a microsecond.
    Nanos
);
quantity!(
    /// Thousandths of the whole.
    Permille
);
quantity!(
    /// Energy, Wh.
    WattHours
);
quantity!(
    /// Power in which a W row is reckoned, uW: exactly mA x mV.
    Microwatts
);

/// Position of an asset in the configuration's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetIndex(pub usize);

/// Position of a circuit in the configuration's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CircuitIndex(pub usize);

impl Micros {
    /// Whole milliseconds as microseconds, saturating.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Rounded down to whole milliseconds.
    pub const fn to_millis(self) -> Millis {
        Millis(self.0.div_euclid(1000))
    }
}

impl Nanos {
    /// Rounded up to whole microseconds.
    pub const fn to_micros(self) -> Micros {
        Micros(self.0.saturating_neg().div_euclid(1000).saturating_neg())
    }
}

impl From<Micros> for Nanos {
    fn from(span: Micros) -> Self {
        Self(span.0.saturating_mul(1000))
    }
}

impl From<Millis> for Micros {
    fn from(span: Millis) -> Self {
        Self::from_millis(span.0)
    }
}

impl Watts {
    /// The same power in uW, saturating.
    pub const fn micro(self) -> Microwatts {
        Microwatts(self.0.saturating_mul(1_000_000))
    }
}

impl Microwatts {
    /// Whole watts, towards minus infinity: for limits, grants and help.
    pub const fn watts_down(self) -> Watts {
        Watts(self.0.div_euclid(1_000_000))
    }

    /// Whole watts, towards plus infinity: for loads.
    pub const fn watts_up(self) -> Watts {
        Watts(self.0.saturating_neg().div_euclid(1_000_000).saturating_neg())
    }
}

impl Milliamps {
    /// Power of this current on each of `conductors` phases at `voltage` and power factor 1, saturating.
    pub const fn power(self, voltage: Millivolts, conductors: i64) -> Microwatts {
        Microwatts(self.0.saturating_mul(voltage.0).saturating_mul(conductors))
    }
}

impl Permille {
    /// This share of `whole`, rounded down.
    pub fn of(self, whole: i64) -> i64 {
        let share = (i128::from(whole) * i128::from(self.0)).div_euclid(1000);
        i64::try_from(share).unwrap_or(if share < 0 { i64::MIN } else { i64::MAX })
    }
}

/// `numerator / denominator` towards minus infinity; the denominator must be positive.
pub const fn div_down(numerator: i64, denominator: i64) -> i64 {
    numerator.div_euclid(denominator)
}

/// `numerator / denominator` towards plus infinity; the denominator must be positive.
pub const fn div_up(numerator: i64, denominator: i64) -> i64 {
    numerator.saturating_neg().div_euclid(denominator).saturating_neg()
}

/// A count as a signed number, saturating.
pub fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_round_up_and_limits_round_down() {
        assert_eq!(Microwatts::new(1_500_000).watts_up(), Watts::new(2));
        assert_eq!(Microwatts::new(1_500_000).watts_down(), Watts::new(1));
        assert_eq!(Microwatts::new(-1_500_000).watts_up(), Watts::new(-1));
        assert_eq!(Microwatts::new(-1_500_000).watts_down(), Watts::new(-2));
        assert_eq!(div_up(7, 2), 4);
        assert_eq!(div_down(-7, 2), -4);
    }

    #[test]
    fn sums_stay_at_the_end_instead_of_wrapping() {
        assert_eq!(Watts::new(i64::MAX) + Watts::new(1), Watts::new(i64::MAX));
        assert_eq!(-Watts::new(i64::MIN), Watts::new(i64::MAX));
        assert_eq!(Milliamps::new(i64::MAX).power(Millivolts::new(230_000), 3).get(), i64::MAX);
    }

    #[test]
    fn a_current_is_a_power_exactly() {
        assert_eq!(Milliamps::new(6_001).power(Millivolts::new(230_123), 3), Microwatts::new(6_001 * 230_123 * 3));
    }
}
