//! What a battery has shown that it gives: one that is told to discharge and does not is no help, whatever its rating.
//!
//! ```text
//! told - measured > tolerance, for 5 s  ──> help is what it gives        later: the most that it gives is help again
//! ```
//! A trip looks like that: the battery is heard, at 0 W. `obedience` holds nothing against it, for it breaks no limit; but
//! EVs that draw on its account do. It is never tried out at the expense of a limit: what it shows when rows or targets call
//! upon it counts, and nothing else.

use crate::units::{Millis, Permille, Watts};

/// How long a setpoint may take to show: communication, ramp and measurement.
pub const DEAD_TIME: Millis = Millis::new(5_000);
/// Of the rating, by which a measurement may be off.
const TOLERANCE: Permille = Permille::new(50);
const TOLERANCE_MIN: Watts = Watts::new(200);

/// Of one battery.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    short_since: Option<Millis>,
    most: Option<Watts>,
}

impl Shown {
    /// A power measured under a setpoint that was told before; W, positive charges.
    pub fn watch(&mut self, told: Watts, measured: Watts, rating: Watts, now: Millis) {
        let (asked, given) = ((-told).max(Watts::ZERO), (-measured).max(Watts::ZERO));
        let tolerance = Watts::new(TOLERANCE.of(rating.get())).max(TOLERANCE_MIN);
        if given + tolerance >= asked {
            self.short_since = None;
            self.most = self.most.map(|most| most.max(given));
        } else if now - *self.short_since.get_or_insert(now) >= DEAD_TIME {
            self.most = Some(given);
        }
    }

    /// It is not heard: nothing is shown, and nothing held against it.
    pub fn unseen(&mut self) {
        self.short_since = None;
    }

    /// Help that may be counted on, of what would be counted on otherwise.
    pub fn of(&self, help: Watts) -> Watts {
        self.most.map_or(help, |most| help.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATING: Watts = Watts::new(250_000);
    const HELP: Watts = Watts::new(150_000);

    fn play(shown: &mut Shown, from_s: i64, to_s: i64, told: i64, measured: i64) {
        for tick in from_s * 10..to_s * 10 {
            shown.watch(Watts::new(told), Watts::new(measured), RATING, Millis::new(tick * 100));
        }
    }

    #[test]
    fn a_battery_that_gives_nothing_when_called_upon_is_no_help_after_its_dead_time() {
        let mut shown = Shown::default();
        play(&mut shown, 0, 5, -150_000, 0);
        assert_eq!(shown.of(HELP), HELP, "it may still be on its way");
        play(&mut shown, 5, 6, -150_000, 0);
        assert_eq!(shown.of(HELP), Watts::ZERO);
        play(&mut shown, 6, 600, 0, 0);
        assert_eq!(shown.of(HELP), Watts::ZERO, "not being asked proves nothing");
    }

    #[test]
    fn what_it_gives_again_counts_again() {
        let mut shown = Shown::default();
        play(&mut shown, 0, 6, -150_000, 0);
        play(&mut shown, 6, 8, -40_000, -40_000);
        assert_eq!(shown.of(HELP), Watts::new(40_000));
        play(&mut shown, 8, 10, -200_000, -200_000);
        assert_eq!(shown.of(HELP), HELP);
    }

    #[test]
    fn a_lag_a_small_error_and_charging_are_nothing() {
        let mut shown = Shown::default();
        for second in 0..60 {
            let told = if second % 10 < 5 { -250_000 } else { 250_000 };
            play(&mut shown, second, second + 1, told, told / 2);
        }
        play(&mut shown, 60, 120, -150_000, -140_000);
        play(&mut shown, 120, 180, 100_000, 0);
        assert_eq!(shown.of(HELP), HELP);
    }

    #[test]
    fn one_that_falls_silent_begins_anew() {
        let mut shown = Shown::default();
        play(&mut shown, 0, 4, -150_000, 0);
        shown.unseen();
        play(&mut shown, 60, 64, -150_000, 0);
        assert_eq!(shown.of(HELP), HELP);
    }
}
