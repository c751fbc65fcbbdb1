//! Whether a device does what it is told: what its control has shown, turned into one answer per tick.
//!
//! ```text
//! Proved ──> controlled          Lost ──> uncontrolled, at once
//! Unproved (it answers) ──> as before, for as long as a reading holds        Silent ──> as before: readings age by themselves
//! ```
//! A lost answer is not a loss of control: the setpoint stands with its proved revert. An answer that tells of another
//! master, a refusal (local mode) or a device that is heard and cannot be proved is; one that comes back from a silence is
//! proved again before it counts. It decides nothing else.
use crate::units::Micros;

/// What is known of the control over a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Setpoint and revert were read back as written, and nobody else has been found to command it.
    Proved,
    /// It is heard; a setpoint is not proved yet, or an answer was lost.
    Unproved,
    /// It is looked for.
    Silent,
    /// Somebody else commands it, it refuses, or it is not the device of the configuration.
    Lost,
}

/// The answer for one device, with the patience that a lost answer deserves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    is_controlled: bool,
    /// Since when it has not been proved, silence included.
    unproved_since: Option<Micros>,
}

impl Hold {
    /// Takes the standing of a tick; whether the device counts as controlled. Before its first proof it does not.
    pub fn update(&mut self, standing: Standing, patience: Micros, now: Micros) -> bool {
        match standing {
            Standing::Proved => *self = Self { is_controlled: true, unproved_since: None },
            Standing::Unproved | Standing::Silent => {
                let since = *self.unproved_since.get_or_insert(now);
                self.is_controlled &= standing == Standing::Silent || now - since <= patience;
            }
            Standing::Lost => self.is_controlled = false,
        }
        self.is_controlled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Micros = Micros::from_millis(2_000);

    fn answers(ticks: &[(Standing, i64)]) -> Vec<bool> {
        let mut hold = Hold::default();
        ticks.iter().map(|(standing, now)| hold.update(*standing, PATIENCE, Micros::from_millis(*now))).collect()
    }

    #[test]
    fn nothing_is_controlled_before_it_is_proved() {
        let ticks = [Standing::Silent, Standing::Unproved, Standing::Proved].map(|standing| (standing, 0));
        assert_eq!(answers(&ticks), [false, false, true]);
    }

    #[test]
    fn a_lost_answer_is_borne_for_as_long_as_a_reading_holds() {
        let (proved, unproved) = (Standing::Proved, Standing::Unproved);
        assert_eq!(answers(&[(proved, 0), (unproved, 100), (proved, 2_000), (unproved, 4_000)]), [true; 4]);
        let ticks = [(proved, 0), (unproved, 100), (unproved, 2_100), (unproved, 2_101), (proved, 2_200)];
        assert_eq!(answers(&ticks), [true, true, true, false, true]);
    }

    #[test]
    fn silence_changes_nothing_and_after_it_control_is_proved_again_before_it_counts() {
        let (proved, unproved, silent) = (Standing::Proved, Standing::Unproved, Standing::Silent);
        assert_eq!(answers(&[(proved, 0), (silent, 100), (silent, 900_000), (proved, 900_100)]), [true; 4]);
        assert_eq!(answers(&[(proved, 0), (silent, 100), (unproved, 2_101), (proved, 2_200)])[2..], [false, true]);
        assert_eq!(answers(&[(proved, 0), (silent, 100), (unproved, 400), (proved, 500)]), [true; 4], "a reconnect");
    }

    #[test]
    fn another_master_takes_control_at_once_and_silence_does_not_give_it_back() {
        let ticks = [Standing::Proved, Standing::Lost, Standing::Silent, Standing::Unproved, Standing::Proved];
        assert_eq!(answers(&ticks.map(|standing| (standing, 0))), [true, false, false, false, true]);
    }
}
