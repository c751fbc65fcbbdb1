//! Whether a device follows what it was told: measured power against setpoints that were read back.
//!
//! ```text
//!             oldest setpoint that may still act ┐     ┌ newest
//! PV:         more output than the largest cap of those, by more than the tolerance          ──> does not follow
//! battery:    beyond the largest charge or discharge of those, or against their direction    ──> does not follow
//! ```
//!
//! A device in local or autonomous mode may read back what was written and do something else. Less than allowed is never
//! held against it: no sun, an empty or a full battery look like that. It counts as following again after a while within
//! bounds. Pure; SAFETY.md section 2.
use super::actuator::Kind;
use crate::units::{Micros, Watts};

/// How long a setpoint before may still act, at most twice as long: communication, ramp and measurement of the device.
pub const DEAD_TIME: Micros = Micros::from_millis(5_000);
/// How long it must be out of bounds.
pub const PERSISTENCE: Micros = Micros::from_millis(3_000);
/// How long it must be within bounds again.
pub const REDEMPTION: Micros = Micros::from_millis(60_000);
/// Measurements out of bounds in a row that it takes at least.
pub const SAMPLES_MIN: u32 = 3;
/// Thousandths of the rating by which a measurement may be off, and watts at least.
const TOLERANCE_PERMILLE: i64 = 50;
const TOLERANCE_MIN: Watts = Watts::new(200);

/// Lowest and highest power of some setpoints, positive into the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    low: Watts,
    high: Watts,
}

impl Span {
    fn of(power: Watts) -> Self {
        Self { low: power, high: power }
    }

    fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// What was told and seen of late.
#[derive(Clone, Copy, Debug)]
pub struct Obedience {
    kind: Kind,
    tolerance: Watts,
    /// The setpoint in force.
    current: Option<Watts>,
    /// Setpoints of this dead time and the one before it: together at least one whole.
    recent: Option<Span>,
    before: Option<Span>,
    turned_at: Micros,
    /// Nothing is judged before: the device has to come down from wherever it was.
    from: Micros,
    outside: Option<(Micros, u32)>,
    inside_since: Option<Micros>,
    follows: bool,
}

impl Obedience {
    /// Nothing told yet; presumed to follow.
    pub fn new(kind: Kind, rating: Watts) -> Self {
        let share = Watts::new(rating.abs().get() / 1000 * TOLERANCE_PERMILLE);
        Self {
            kind,
            tolerance: share.max(TOLERANCE_MIN),
            current: None,
            recent: None,
            before: None,
            turned_at: Micros::ZERO,
            from: Micros::ZERO,
            outside: None,
            inside_since: None,
            follows: true,
        }
    }

    /// Whether it follows, as far as anybody could see.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// A setpoint was read back.
    pub fn confirmed(&mut self, power: Watts, now: Micros) {
        if self.current.is_none() {
            (self.from, self.turned_at) = (now + DEAD_TIME, now);
        }
        self.turn(now);
        self.current = Some(power);
        self.recent = Some(self.recent.map_or(Span::of(power), |recent| recent.with(Span::of(power))));
    }

    /// Nobody knows what is in force any more.
    pub fn forget(&mut self) {
        (self.current, self.recent, self.before, self.outside) = (None, None, None, None);
    }

    /// A power was measured, positive into the device.
    pub fn measured(&mut self, power: Watts, now: Micros) {
        self.turn(now);
        let (Some(recent), true) = (self.recent, self.from <= now) else { return };
        let told = self.before.map_or(recent, |before| before.with(recent));
        if self.is_within(power, told) {
            self.outside = None;
            let since = *self.inside_since.get_or_insert(now);
            self.follows |= now - since >= REDEMPTION;
        } else {
            self.inside_since = None;
            let (since, samples) = self.outside.map_or((now, 1), |(since, samples)| (since, samples.saturating_add(1)));
            self.outside = Some((since, samples));
            self.follows &= now - since < PERSISTENCE || samples < SAMPLES_MIN;
        }
    }

    fn is_within(&self, power: Watts, told: Span) -> bool {
        let highest = match self.kind {
            // What PV draws is not its output.
            Kind::Cap => return power >= told.low.min(Watts::ZERO) - self.tolerance,
            Kind::Power => told.high.max(Watts::ZERO),
        };
        (told.low.min(Watts::ZERO) - self.tolerance..=highest + self.tolerance).contains(&power)
    }

    /// Setpoints older than a dead time fall out, at the latest after two.
    fn turn(&mut self, now: Micros) {
        if now - self.turned_at < DEAD_TIME {
            return;
        }
        let is_long_ago = now - self.turned_at >= DEAD_TIME + DEAD_TIME;
        let current = self.current.map(Span::of);
        self.before = if is_long_ago { current } else { self.recent };
        (self.recent, self.turned_at) = (current, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: i64) -> Micros {
        Micros::from_millis(1_000 * seconds)
    }

    /// Tells and measures once a second; each step: setpoint if it changes, and measured power. When it was not followed.
    fn play(kind: Kind, steps: impl IntoIterator<Item = (Option<i64>, i64)>) -> Vec<i64> {
        let mut obedience = Obedience::new(kind, Watts::new(100_000));
        let mut disobeyed = Vec::new();
        for (second, (told, measured)) in (0..).zip(steps) {
            if let Some(told) = told {
                obedience.confirmed(Watts::new(told), s(second));
            }
            obedience.measured(Watts::new(measured), s(second));
            if !obedience.follows() {
                disobeyed.push(second);
            }
        }
        disobeyed
    }

    fn held(told: i64, measured: i64, seconds: usize) -> Vec<(Option<i64>, i64)> {
        (0..seconds).map(|second| ((second == 0).then_some(told), measured)).collect()
    }

    #[test]
    fn an_inverter_that_goes_on_above_its_cap_is_found_within_dead_time_and_persistence() {
        let disobeyed = play(Kind::Cap, held(-20_000, -60_000, 30));
        assert_eq!(disobeyed.first(), Some(&8), "5 s of dead time, 3 s of persistence");
        assert_eq!(disobeyed.last(), Some(&29));
    }

    #[test]
    fn no_sun_a_full_battery_and_a_small_error_are_no_disobedience() {
        assert_eq!(play(Kind::Cap, held(-20_000, 0, 30)), []);
        assert_eq!(play(Kind::Cap, held(-20_000, 300, 30)), [], "it draws for itself");
        assert_eq!(play(Kind::Cap, held(-20_000, -24_900, 30)), []);
        assert_eq!(play(Kind::Power, held(50_000, 0, 30)), [], "full");
        assert_eq!(play(Kind::Power, held(-50_000, -1_000, 30)), [], "empty");
    }

    #[test]
    fn a_battery_that_goes_too_far_or_the_wrong_way_does_not_follow() {
        assert_eq!(play(Kind::Power, held(50_000, 56_000, 30)).first(), Some(&8));
        assert_eq!(play(Kind::Power, held(50_000, -6_000, 30)).first(), Some(&8));
        assert_eq!(play(Kind::Power, held(0, 6_000, 30)).first(), Some(&8));
        assert_eq!(play(Kind::Power, held(-50_000, 6_000, 30)).first(), Some(&8));
    }

    #[test]
    fn a_device_may_take_its_dead_time_after_every_change() {
        let steps =
            held(-80_000, -80_000, 20).into_iter().chain(held(-20_000, -80_000, 5)).chain(held(-20_000, -20_000, 30));
        assert_eq!(play(Kind::Cap, steps), []);
        let turns = (0..60).map(|second| (Some(if second % 2 == 0 { 40_000 } else { -40_000 }), 40_000));
        assert_eq!(play(Kind::Power, turns), [], "a setpoint of this dead time allows it");
    }

    #[test]
    fn one_spike_is_no_disobedience() {
        let mut steps = held(-20_000, -20_000, 40);
        (steps[20].1, steps[21].1) = (-90_000, -90_000);
        assert_eq!(play(Kind::Cap, steps), []);
    }

    #[test]
    fn it_follows_again_after_a_minute_within_bounds() {
        let steps = held(-20_000, -60_000, 10).into_iter().chain(held(-20_000, -20_000, 120));
        let disobeyed = play(Kind::Cap, steps);
        assert_eq!((disobeyed.first(), disobeyed.last()), (Some(&8), Some(&69)));
    }

    #[test]
    fn nothing_is_judged_while_nobody_knows_what_is_in_force() {
        let mut obedience = Obedience::new(Kind::Cap, Watts::new(100_000));
        obedience.confirmed(Watts::ZERO, s(0));
        obedience.forget();
        for second in 0..60 {
            obedience.measured(Watts::new(-90_000), s(second));
        }
        assert!(obedience.follows());
    }

    proptest! {
        #[test]
        fn a_device_that_follows_within_its_dead_time_is_never_blamed(
            told in prop::collection::vec(-100_000i64..=100_000, 1..120), lag in 0usize..=5, share in 0i64..=100,
        ) {
            let steps = (0..told.len()).map(|second| {
                let acting = told[second.saturating_sub(lag)];
                (Some(told[second]), acting * share / 100)
            });
            prop_assert_eq!(play(Kind::Power, steps), Vec::<i64>::new());
        }
    }
}
