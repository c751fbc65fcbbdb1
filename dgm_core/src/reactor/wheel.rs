//! When each line wants its turn: one wake per line, kept in slots of 1 ms, exact to the microsecond within them.
//!
//! ```text
//! cursor ─> │ slot │ slot │ ...  │ slot │  one turn of the wheel ahead; what is due later waits in the last slot
//!              └─ line <─> line <─> line      `earliest` of a slot is never later than any wake in it
//! ```
//!
//! Setting, moving and removing a wake costs the same for ten lines and for ten thousand, and allocates nothing.
//! It reads no clock.
use crate::units::Micros;

/// Length of a slot, us.
const SLOT_US: i64 = 1_000;
/// Slots of one turn: a power of two, so that a slot number keeps its place across turns.
const SLOTS: usize = 1_024;
const TURN: i64 = 1_024;
const BITS: usize = 64;
const NONE: usize = usize::MAX;
const NEVER: Micros = Micros::new(i64::MAX);

#[derive(Clone, Copy, Debug)]
struct Entry {
    wake: Micros,
    /// Slot in the ring, `NONE` while no wake is set.
    place: usize,
    next: usize,
    previous: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first: usize,
    earliest: Micros,
}

/// The wakes of a fixed number of lines.
#[derive(Debug)]
pub struct Wheel {
    entries: Box<[Entry]>,
    slots: Box<[Slot]>,
    occupied: [u64; SLOTS / BITS],
    /// Number of the first slot of this turn: everything before it has been taken.
    cursor: i64,
}

impl Wheel {
    /// No wake set for any of so many lines.
    pub fn new(lines: usize, now: Micros) -> Self {
        let entry = Entry { wake: NEVER, place: NONE, next: NONE, previous: NONE };
        Self {
            entries: vec![entry; lines].into_boxed_slice(),
            slots: vec![Slot { first: NONE, earliest: NEVER }; SLOTS].into_boxed_slice(),
            occupied: [0; SLOTS / BITS],
            cursor: slot_of(now),
        }
    }

    /// The wake of a line; `None` takes it away. A wake in the past is due at once.
    pub fn set(&mut self, line: usize, wake: Option<Micros>) {
        let Some(entry) = self.entries.get(line) else { return };
        let Some(wake) = wake else { return self.unlink(line) };
        let (place, bound) = self.place(wake);
        if entry.place != place {
            self.unlink(line);
            self.link(line, place);
        }
        self.entries[line].wake = wake;
        let slot = &mut self.slots[place];
        slot.earliest = slot.earliest.min(bound);
    }

    /// No wake is earlier than this; it may be earlier than all of them.
    pub fn next(&self) -> Option<Micros> {
        let place = self.first_occupied(index(self.cursor))?;
        Some(self.slots[place].earliest)
    }

    /// Moves the lines whose wake has come to `due`, in no particular order.
    pub fn take_due(&mut self, now: Micros, due: &mut Vec<usize>) {
        let end = slot_of(now).max(self.cursor);
        while let Some(place) = self.first_occupied(index(self.cursor)) {
            let ahead = count(place.wrapping_sub(index(self.cursor)) % SLOTS);
            if self.cursor + ahead > end {
                break;
            }
            self.cursor += ahead;
            self.sweep(place, now, due);
            if self.cursor >= end {
                break;
            }
            self.cursor += 1;
        }
        self.cursor = end;
    }

    /// Takes what is due out of one slot and puts the rest where it belongs now.
    fn sweep(&mut self, place: usize, now: Micros, due: &mut Vec<usize>) {
        if self.slots[place].earliest > now {
            return;
        }
        self.slots[place].earliest = NEVER;
        let mut line = self.slots[place].first;
        while let Some(Entry { wake, next, .. }) = self.entries.get(line).copied() {
            if wake <= now {
                self.unlink(line);
                due.push(line);
            } else {
                self.set(line, Some(wake));
            }
            line = next;
        }
    }

    /// The slot of a wake, and what its `earliest` must not exceed.
    fn place(&self, wake: Micros) -> (usize, Micros) {
        let last = self.cursor + TURN - 1;
        let slot = slot_of(wake).max(self.cursor);
        if slot > last {
            return (index(last), Micros::new(last.saturating_mul(SLOT_US)));
        }
        (index(slot), wake)
    }

    fn link(&mut self, line: usize, place: usize) {
        let first = std::mem::replace(&mut self.slots[place].first, line);
        if let Some(second) = self.entries.get_mut(first) {
            second.previous = line;
        }
        let entry = &mut self.entries[line];
        (entry.place, entry.next, entry.previous) = (place, first, NONE);
        self.occupied[place / BITS] |= 1 << (place % BITS);
    }

    fn unlink(&mut self, line: usize) {
        let Entry { place, next, previous, .. } = self.entries[line];
        if place == NONE {
            return;
        }
        self.entries[line].place = NONE;
        if let Some(next) = self.entries.get_mut(next) {
            next.previous = previous;
        }
        match self.entries.get_mut(previous) {
            Some(previous) => previous.next = next,
            None => self.slots[place].first = next,
        }
        if self.slots[place].first == NONE {
            self.slots[place].earliest = NEVER;
            self.occupied[place / BITS] &= !(1 << (place % BITS));
        }
    }

    /// The first occupied slot from a place on, once round the ring.
    fn first_occupied(&self, from: usize) -> Option<usize> {
        let (word, bit) = (from / BITS, from % BITS);
        let words = self.occupied.len();
        let here = self.occupied[word] & (u64::MAX << bit);
        if here != 0 {
            return Some(word * BITS + trailing(here));
        }
        let later = (1..=words).map(|step| (word + step) % words);
        later
            .map(|word| (word, self.occupied[word]))
            .find(|(_, bits)| *bits != 0)
            .map(|(word, bits)| word * BITS + trailing(bits))
    }
}

fn slot_of(time: Micros) -> i64 {
    time.get().div_euclid(SLOT_US)
}

fn index(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(TURN)).unwrap_or_default()
}

fn trailing(bits: u64) -> usize {
    usize::try_from(bits.trailing_zeros()).unwrap_or_default()
}

fn count(slots: usize) -> i64 {
    i64::try_from(slots).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due(wheel: &mut Wheel, now: i64) -> Vec<usize> {
        let mut due = Vec::new();
        wheel.take_due(Micros::new(now), &mut due);
        due.sort_unstable();
        due
    }

    fn at(us: i64) -> Option<Micros> {
        Some(Micros::new(us))
    }

    #[test]
    fn a_wake_comes_at_its_microsecond_and_once() {
        let mut wheel = Wheel::new(2, Micros::ZERO);
        wheel.set(0, at(1_750));
        wheel.set(1, at(1_751));
        assert_eq!(wheel.next(), at(1_750));
        assert_eq!(due(&mut wheel, 1_749), []);
        assert_eq!(due(&mut wheel, 1_750), [0]);
        assert_eq!(wheel.next(), at(1_751));
        assert_eq!(due(&mut wheel, 1_900_000), [1]);
        assert_eq!((wheel.next(), due(&mut wheel, 9_000_000)), (None, vec![]));
    }

    #[test]
    fn a_wake_that_is_moved_or_taken_away_does_not_come() {
        let mut wheel = Wheel::new(2, Micros::ZERO);
        wheel.set(0, at(5_000));
        wheel.set(1, at(5_000));
        wheel.set(0, at(700_000));
        wheel.set(1, None);
        assert_eq!(due(&mut wheel, 699_999), []);
        assert_eq!(due(&mut wheel, 700_000), [0]);
    }

    #[test]
    fn what_lies_turns_ahead_comes_in_its_time_though_it_is_looked_at_before() {
        let mut wheel = Wheel::new(1, Micros::ZERO);
        wheel.set(0, at(60_000_001));
        let (mut now, mut looks) = (0, 0);
        while due(&mut wheel, now) != [0] {
            now = wheel.next().unwrap().get();
            looks += 1;
        }
        assert_eq!(now, 60_000_001);
        assert!(looks < 70, "once a turn, not more: {looks}");
    }

    #[test]
    fn the_past_is_due_at_once() {
        let mut wheel = Wheel::new(1, Micros::new(9_000_000));
        wheel.set(0, at(-5));
        assert!(wheel.next() <= at(9_000_000));
        assert_eq!(due(&mut wheel, 9_000_000), [0]);
    }

    proptest! {
        #[test]
        fn every_wake_is_given_exactly_when_a_list_would_give_it(
            steps in prop::collection::vec((0usize..6, prop::option::of(0i64..3_000_000), 0i64..400_000), 1..80),
        ) {
            let mut wheel = Wheel::new(6, Micros::ZERO);
            let (mut list, mut now): ([Option<i64>; 6], i64) = ([None; 6], 0);
            for (line, ahead, passed) in steps {
                let wake = ahead.map(|ahead| now + ahead - 1_000);
                wheel.set(line, wake.map(Micros::new));
                list[line] = wake;
                let earliest = list.iter().flatten().min();
                prop_assert!(wheel.next().map(Micros::get) <= earliest.copied() || earliest.is_none());
                prop_assert_eq!(wheel.next().is_none(), earliest.is_none());
                now += passed;
                let expected: Vec<usize> = (0..6).filter(|line| list[*line].is_some_and(|wake| wake <= now)).collect();
                expected.iter().for_each(|line| list[*line] = None);
                prop_assert_eq!(due(&mut wheel, now), expected);
            }
        }
    }
}
