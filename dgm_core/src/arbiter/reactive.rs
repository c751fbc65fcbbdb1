//! What reactive power an inverter can do beside its active power, and one site-wide wish shared among several.
//!
//! ```text
//!        Q ^   ___  apparent power S          priority P: Q <= sqrt(S^2 - P^2)
//!          | /  :  \                          priority Q: Q <= its own bound, P <= sqrt(S^2 - Q^2)
//!          |/___:___\__> P
//! ```
//!
//! Pure and in integers; var is positive absorbed. A bound rounds down, so that what is granted always fits. What power
//! the priority of Q takes away is capability, not error: the inverter itself does it.
use crate::units::{Vars, Watts};

/// Which of the two gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Reactive power takes what active power leaves.
    Active,
    /// Active power takes what reactive power leaves.
    Reactive,
}

/// What bounds one inverter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Apparent power, VA.
    pub apparent: i64,
    /// Most that it absorbs, a magnitude.
    pub absorb: Vars,
    /// Most that it injects, a magnitude.
    pub inject: Vars,
    /// Active power now, either sign.
    pub power: Watts,
    /// Which gives way.
    pub priority: Priority,
}

impl Capability {
    /// Lowest (injected, <= 0) and highest (absorbed, >= 0) reactive power.
    pub fn range(&self) -> (Vars, Vars) {
        let circle = match self.priority {
            Priority::Active => leg(self.apparent, self.power.get()),
            Priority::Reactive => self.apparent.max(0),
        };
        let bound = |own: Vars| own.get().clamp(0, circle);
        (Vars::new(-bound(self.inject)), Vars::new(bound(self.absorb)))
    }

    /// Most active power, a magnitude, beside a reactive power.
    pub fn power_beside(&self, reactive: Vars) -> Watts {
        Watts::new(leg(self.apparent, reactive.get()))
    }
}

/// One wish among inverters in proportion to what each can do; what cannot be done is left out. The parts are no more
/// than the wish, and short of it by less than one var an inverter where they could do it.
pub fn share(wish: Vars, inverters: &[Capability]) -> Vec<Vars> {
    let able = |one: &Capability| {
        let (low, high) = one.range();
        i128::from(if wish < Vars::ZERO { low.get() } else { high.get() })
    };
    let total: i128 = inverters.iter().map(able).sum();
    if total == 0 {
        return vec![Vars::ZERO; inverters.len()];
    }
    let wish = i128::from(wish.get());
    let wish = if total < 0 { wish.max(total) } else { wish.min(total) };
    inverters.iter().map(|one| Vars::new(i64::try_from(wish * able(one) / total).unwrap_or_default())).collect()
}

/// The other leg of a right-angled triangle, rounded down; 0 where the one is longer than the hypotenuse.
fn leg(hypotenuse: i64, one: i64) -> i64 {
    let square = |value: i64| i128::from(value) * i128::from(value);
    let rest = (square(hypotenuse.max(0)) - square(one)).max(0);
    i64::try_from(rest.isqrt()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inverter(apparent: i64, own: i64, power: i64, priority: Priority) -> Capability {
        Capability { apparent, absorb: Vars::new(own), inject: Vars::new(own), power: Watts::new(power), priority }
    }

    #[test]
    fn active_power_leaves_the_rest_of_the_circle() {
        let range = |power, priority| inverter(50_000, 44_000, power, priority).range().1.get();
        assert_eq!(range(-30_000, Priority::Active), 40_000);
        assert_eq!(range(-50_000, Priority::Active), 0);
        assert_eq!(range(0, Priority::Active), 44_000, "its own bound");
        assert_eq!(range(-50_000, Priority::Reactive), 44_000);
        let full = inverter(50_000, 44_000, -50_000, Priority::Reactive);
        assert_eq!(full.power_beside(Vars::new(-30_000)), Watts::new(40_000));
    }

    #[test]
    fn a_wish_is_shared_by_what_each_can_do() {
        let both = [inverter(50_000, 44_000, -30_000, Priority::Active), inverter(20_000, 10_000, 0, Priority::Active)];
        assert_eq!(share(Vars::new(25_000), &both), [Vars::new(20_000), Vars::new(5_000)]);
        assert_eq!(share(Vars::new(-25_000), &both), [Vars::new(-20_000), Vars::new(-5_000)]);
        assert_eq!(share(Vars::new(90_000), &both), [Vars::new(40_000), Vars::new(10_000)], "more than they can");
        assert_eq!(share(Vars::new(1), &[]), []);
    }

    fn any_inverter() -> impl Strategy<Value = Capability> {
        let priority = prop_oneof![Just(Priority::Active), Just(Priority::Reactive)];
        (0..2_000_000i64, 0..2_000_000i64, -2_000_000..2_000_000i64, priority)
            .prop_map(|(apparent, own, power, priority)| inverter(apparent, own, power, priority))
    }

    proptest! {
        #[test]
        fn every_share_lies_in_the_circle_and_all_never_exceed_the_wish(
            wish in -9_000_000..9_000_000i64,
            inverters in prop::collection::vec(any_inverter(), 0..6),
        ) {
            let shares = share(Vars::new(wish), &inverters);
            prop_assert_eq!(shares.len(), inverters.len());
            let mut sum = 0;
            for (share, one) in shares.iter().zip(&inverters) {
                let (low, high) = one.range();
                prop_assert!(low <= *share && *share <= high);
                let power = match one.priority {
                    Priority::Active => one.power.get().abs().min(one.apparent),
                    Priority::Reactive => one.power_beside(*share).get(),
                };
                let squares = i128::from(share.get()).pow(2) + i128::from(power).pow(2);
                prop_assert!(squares <= i128::from(one.apparent).pow(2));
                sum += share.get();
            }
            prop_assert!(sum.abs() <= wish.abs() && sum.signum() * wish.signum() >= 0);
            let able: i64 = inverters.iter().map(|one| if wish < 0 { -one.range().0.get() } else { one.range().1.get() }).sum();
            let count = i64::try_from(inverters.len()).unwrap_or_default();
            prop_assert!(sum.abs() + count >= wish.abs().min(able));
        }
    }
}
