//! Whether a device's own sign of life still moves: one that has counted and does not any more shows old values, whatever
//! it answers. One that never moved says nothing.
use crate::units::Micros;

/// How long it may stand still once it has been seen to move: three looks.
pub const STANDSTILL: Micros = Micros::from_millis(6_000);

/// What was seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The number last seen and since when.
    held: Option<(i128, Micros)>,
    has_moved: bool,
    has_stopped: bool,
}

impl Life {
    /// Takes what it says now; `None`: it says nothing.
    pub fn feel(&mut self, beat: Option<i128>, now: Micros) {
        match (beat, self.held) {
            (Some(beat), Some((held, since))) if beat == held => {
                self.has_stopped = self.has_moved && now - since >= STANDSTILL;
            }
            (Some(beat), held) => {
                self.has_moved |= held.is_some();
                (self.held, self.has_stopped) = (Some((beat, now)), false);
            }
            (None, _) => (self.held, self.has_stopped) = (None, self.has_moved),
        }
    }

    /// Whether it has moved and stands still.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }
}
