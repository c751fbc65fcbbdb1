//! The load that nobody controls, from meters that also see what is controlled.
//!
//! ```text
//! uncontrolled(t) = meter(t) - PV(t) - battery(t) - lower bound of EV draw(t)        all signed, positive consumes
//! counted         = maximum of it over as long as the oldest EV sample in use is old, plus one tick
//! ```
//! The maximum is taken because an EV sample says what the car drew then: what the meter has seen since may be the car or
//! the building. A sample that has aged out keeps the window open: older data must not make room.

use std::collections::VecDeque;

use crate::units::{count, Millis};

/// Slots kept per circuit; a longer window has wider slots.
pub const SLOTS_MAX: usize = 512;

/// W, then mA of L1 to L3; absent: not measured.
pub type Load = [Option<i64>; 4];

/// The worst of the estimates between two times.
#[derive(Clone, Copy, Debug)]
struct Slot {
    from: Millis,
    to: Millis,
    load: Load,
}

/// The sliding maximum of one metered circuit.
#[derive(Clone, Debug)]
pub struct Window {
    slots: VecDeque<Slot>,
    width: Millis,
    longest: Millis,
}

impl Window {
    /// A window that can look back for `longest`.
    pub fn new(tick: Millis, longest: Millis) -> Self {
        let width = tick.get().max(longest.get() / (count(SLOTS_MAX) - 2));
        Self { slots: VecDeque::new(), width: Millis::new(width), longest }
    }

    /// Adds an estimate; what is too old for any use is dropped.
    pub fn put(&mut self, now: Millis, load: Load) {
        match self.slots.back_mut() {
            Some(slot) if now - slot.from < self.width => {
                slot.to = now;
                slot.load = larger(slot.load, load);
            }
            _ => self.slots.push_back(Slot { from: now, to: now, load }),
        }
        while self.slots.len() >= SLOTS_MAX || self.slots.front().is_some_and(|slot| now - slot.to > self.longest) {
            self.slots.pop_front();
        }
    }

    /// The worst estimate of the last `span`.
    pub fn worst(&self, now: Millis, span: Millis) -> Load {
        let recent = self.slots.iter().rev().take_while(|slot| now - slot.to <= span);
        recent.fold([None; 4], |worst, slot| larger(worst, slot.load))
    }
}

fn larger(one: Load, other: Load) -> Load {
    [0, 1, 2, 3].map(|item| one[item].max(other[item]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(Millis::new(100), Millis::new(12_000))
    }

    #[test]
    fn the_worst_estimate_of_the_span_counts_and_older_ones_do_not() {
        let mut window = window();
        for (at, watts) in [(0, 50), (1_000, 30), (2_000, 10)] {
            window.put(Millis::new(at), [Some(watts), None, None, None]);
        }
        let worst = |span| window.worst(Millis::new(2_000), Millis::new(span))[0];
        assert_eq!(worst(2_000), Some(50));
        assert_eq!(worst(1_999), Some(30));
        assert_eq!(worst(100), Some(10));
    }

    #[test]
    fn the_number_of_slots_is_bounded_whatever_the_rhythm() {
        let mut window = Window::new(Millis::new(1), Millis::new(1_000_000));
        for at in 0..20_000 {
            window.put(Millis::new(at * 53), [Some(at), None, None, None]);
        }
        assert!(window.slots.len() < SLOTS_MAX);
        assert_eq!(window.worst(Millis::new(19_999 * 53), Millis::ZERO)[0], Some(19_999));
    }
}
