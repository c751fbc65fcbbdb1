//! The registers that command a device, as data: what is written for a setpoint, in which order, and what is looked at.
//!
//! ```text
//! look ── scale factors, local mode ──┐
//! rating ── what 100 % stands for ────┴─ encode(power, revert, timer) ──> writes, in order ──> read back, word by word
//! ```
//!
//! One form for SunSpec 704, the old 123 and 124, and device tables. When to look and to write is `control`'s part.
use super::channels::{reads, Gaps, State};
use super::number::{Raw, Rounding, Scale};
use super::pdu::{Request, Span, Table};
use super::point::{Block, Slot};
use crate::units::{Micros, Watts};

/// What is commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A cap on generation.
    Cap,
    /// An active power in both directions.
    Power,
}

/// What the device shall do when it is not written any more, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Output, positive out of the device.
    pub output: Watts,
    /// Length of its revert timer, at least a second.
    pub after: Micros,
    /// Rated power: what an unknown revert may give, and by how much a measurement may be off.
    pub rating: Watts,
}

/// In what a power stands in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// W.
    Watts,
    /// % of the rating at this position.
    Percent(usize),
}

/// What an entry is written with. Powers are positive into the device; the slot's gain turns them where it counts otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// This raw value.
    Constant(i64),
    /// This raw value where the device implements the point, else what it shows.
    ConstantIfThere(i64),
    /// The setpoint.
    Power(Unit),
    /// The power after the revert timer.
    Revert(Unit),
    /// The revert timer, s.
    Timer,
}

/// One value of every write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub slot: Slot,
    /// What is written.
    pub term: Term,
}

/// A power that percentages are of: the first of the slots that says one above 0, else what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// In the order of preference.
    pub slots: Vec<Slot>,
    /// From the configuration.
    pub known: Option<Watts>,
}

/// How a sign of life changes from write to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Up by one, over to 0.
    Increment,
    /// 1 and 0 by turns.
    Toggle,
    /// The same value.
    Constant(i64),
}

/// A register that the device wants to see written again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Where it stands.
    pub slot: Slot,
    /// Time between two writes.
    pub period: Micros,
    /// What is written.
    pub beat: Beat,
}

/// What the device falls back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revert {
    /// To what was written and read back.
    Written,
    /// To what was written and read back, by its own watchdog.
    WrittenWithin {
        /// Since the last write.
        after: Micros,
    },
    /// To this output by its own design.
    Fixed {
        /// Positive out of the device.
        output: Watts,
        /// Its own watchdog; `None`: after the timer that is written.
        after: Option<Micros>,
    },
    /// The command ends after the written timer: whatever the device likes, up to its rating.
    Released,
    /// Never: the last command stands for ever.
    Never,
}

/// Words for consecutive registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// First register.
    pub start: u16,
    /// Values.
    pub words: Vec<u16>,
}

/// Most registers of one request of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Of a read.
    pub read: u16,
    /// Of a write; with 1 a register is written by function 6, else by function 16.
    pub write: u16,
}

/// The command registers of one device with what was last read of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actuator {
    kind: Kind,
    entries: Vec<Entry>,
    ratings: Vec<Rating>,
    modes: Vec<State>,
    life: Option<(Slot, Option<i128>)>,
    heartbeat: Option<Heartbeat>,
    revert: Revert,
    limits: RequestLimits,
    looks: Vec<(Table, Span)>,
    rating_reads: Vec<(Table, Span)>,
    /// Scale factor and raw presence of each entry, by the newest look.
    seen: Vec<Seen>,
    /// The best slot of each rating that said something, and what.
    rated: Vec<Option<(usize, Watts)>>,
    /// Which of the modes told of somebody on the spot.
    local: Vec<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    scale: Option<Scale>,
    is_there: bool,
}

/// What an actuator is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What is commanded.
    pub kind: Kind,
    /// In the order of writing; neighbours that touch go in one write.
    pub entries: Vec<Entry>,
    /// By position: see `Unit::Percent`.
    pub ratings: Vec<Rating>,
    /// The device takes commands while all are met or absent.
    pub modes: Vec<State>,
    /// The device's own sign of life: a number that it counts up.
    pub life: Option<Slot>,
    /// Ours.
    pub heartbeat: Option<Heartbeat>,
    /// What the device falls back to.
    pub revert: Revert,
    /// Of one request.
    pub limits: RequestLimits,
}

impl Actuator {
    /// `None` where an entry cannot be read back, or a value and its scale factor do not fit into one read.
    pub fn new(parts: Parts) -> Option<Self> {
        let holding = |slot: &Slot| slot.table == Table::Holding;
        parts.entries.iter().all(|entry| holding(&entry.slot)).then_some(())?;
        let entries = parts.entries.iter().map(|entry| &entry.slot);
        let shown = entries.chain(parts.modes.iter().map(|mode| &mode.slot)).chain(&parts.life);
        let rated = parts.ratings.iter().flat_map(|rating| &rating.slots);
        Some(Self {
            looks: reads(shown.map(|slot| (slot.table, slot.span())), parts.limits.read, Gaps::Left)?,
            rating_reads: reads(rated.map(|slot| (slot.table, slot.span())), parts.limits.read, Gaps::Left)?,
            seen: vec![Seen::default(); parts.entries.len()],
            rated: vec![None; parts.ratings.len()],
            local: vec![false; parts.modes.len()],
            kind: parts.kind,
            entries: parts.entries,
            ratings: parts.ratings,
            modes: parts.modes,
            life: parts.life.map(|slot| (slot, None)),
            heartbeat: parts.heartbeat,
            revert: parts.revert,
            limits: parts.limits,
        })
    }

    /// What is commanded.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The reads that show every entry, its scale factor and the modes, and nothing else.
    pub fn looks(&self) -> &[(Table, Span)] {
        &self.looks
    }

    /// The reads that show the ratings.
    pub fn rating_reads(&self) -> &[(Table, Span)] {
        &self.rating_reads
    }

    /// Sign of life that the device wants.
    pub fn heartbeat(&self) -> Option<&Heartbeat> {
        self.heartbeat.as_ref()
    }

    /// Whether the newest look showed a device that somebody on the spot has taken over.
    pub fn is_local(&self) -> bool {
        self.local.contains(&true)
    }

    /// What the device's own sign of life has last counted; `None` where it has none.
    pub fn life(&self) -> Option<i128> {
        self.life.as_ref().and_then(|(_, beat)| *beat)
    }

    /// Whether the device is known to fall back as configured.
    pub fn proves(&self, fallback: &Fallback) -> bool {
        match self.revert {
            Revert::Written => true,
            Revert::WrittenWithin { after } => after <= fallback.after,
            Revert::Fixed { output, after } => {
                let gives = match self.kind {
                    Kind::Cap => output <= fallback.output,
                    Kind::Power => output == fallback.output,
                };
                gives && after.is_none_or(|after| after <= fallback.after)
            }
            Revert::Released => self.kind == Kind::Cap && fallback.output >= fallback.rating,
            Revert::Never => false,
        }
    }

    /// How long the last write holds.
    pub fn holds_for(&self, fallback: &Fallback) -> Micros {
        match self.revert {
            Revert::Fixed { after: Some(after), .. } | Revert::WrittenWithin { after } => after.min(fallback.after),
            Revert::Fixed { after: None, .. } | Revert::Written | Revert::Released | Revert::Never => fallback.after,
        }
    }

    /// Takes a look; whether a scale factor has changed since the look before.
    pub fn take_look(&mut self, block: &Block<'_>) -> bool {
        let mut changed = false;
        for (entry, seen) in self.entries.iter().zip(&mut self.seen) {
            if block.holds(entry.slot.table, entry.slot.span()) {
                let scale = entry.slot.scale(block);
                changed |= scale != seen.scale;
                *seen = Seen { scale, is_there: entry.slot.raw(block).is_some() };
            }
        }
        if let Some((slot, beat)) = self.life.as_mut().filter(|(slot, _)| block.holds(slot.table, slot.span())) {
            *beat = match slot.raw(block) {
                Some(Raw::Integer(raw)) => Some(raw),
                _ => None,
            };
        }
        for (mode, is_local) in self.modes.iter().zip(&mut self.local) {
            if block.holds(mode.slot.table, mode.slot.span()) {
                *is_local = mode.is_met(block) == Some(false);
            }
        }
        changed
    }

    /// The ratings are about to be read anew.
    pub fn forget_ratings(&mut self) {
        self.rated.fill(None);
    }

    /// Takes what the ratings say, rounded up: a percentage of it then never allows more.
    pub fn take_ratings(&mut self, block: &Block<'_>) {
        for (rating, best) in self.ratings.iter().zip(&mut self.rated) {
            for (position, slot) in rating.slots.iter().enumerate() {
                let said = slot.value(block, 0, Rounding::Up).filter(|watts| *watts > 0);
                if let Some(watts) = said.filter(|_| best.is_none_or(|(held, _)| position < held)) {
                    *best = Some((position, Watts::new(watts)));
                }
            }
        }
    }

    /// What 100 % of a rating stands for.
    fn whole(&self, rating: usize) -> Option<Watts> {
        let said = self.rated.get(rating).copied().flatten().map(|(_, watts)| watts);
        said.or(self.ratings.get(rating)?.known).filter(|watts| *watts > Watts::ZERO)
    }

    /// The writes for a power, positive into the device, in order; `None` where the registers cannot say it.
    pub fn encode(&self, power: Watts, fallback: &Fallback) -> Option<Vec<Write>> {
        let mut writes: Vec<Write> = Vec::new();
        for (entry, seen) in self.entries.iter().zip(&self.seen) {
            let Some(words) = self.words(entry, seen, power, fallback)? else { continue };
            let touches = |write: &&mut Write| {
                usize::from(write.start) + write.words.len() == usize::from(entry.slot.address)
                    && write.words.len() + words.len() <= usize::from(self.limits.write)
            };
            match writes.last_mut().filter(touches) {
                Some(write) => write.words.extend(words),
                None => writes.push(Write { start: entry.slot.address, words }),
            }
        }
        Some(writes)
    }

    /// Registers of each write of a setpoint, in order, where the device has every point.
    pub fn write_registers(&self) -> Vec<u16> {
        let mut writes: Vec<(u32, u16)> = Vec::new();
        for Entry { slot, .. } in &self.entries {
            let (start, count) = (u32::from(slot.address), slot.kind.registers());
            match writes.last_mut() {
                Some((end, held)) if *end == start && *held + count <= self.limits.write => {
                    (*end, *held) = (start + u32::from(count), *held + count);
                }
                _ => writes.push((start + u32::from(count), count)),
            }
        }
        writes.into_iter().map(|(_, count)| count).collect()
    }

    /// The registers of an entry; `Some(None)`: it is left as it is.
    fn words(&self, entry: &Entry, seen: &Seen, power: Watts, fallback: &Fallback) -> Option<Option<Vec<u16>>> {
        let Entry { slot, term } = entry;
        let words = match term {
            Term::Constant(raw) => slot.raw_words(*raw),
            Term::ConstantIfThere(raw) if seen.is_there => slot.raw_words(*raw),
            // A filler: the point exists and says "not implemented"; writing that keeps the block in one piece.
            Term::ConstantIfThere(_) => Some(slot.absent_words()?),
            Term::Power(unit) => self.power_words(slot, seen.scale?, *unit, power),
            Term::Revert(unit) => self.power_words(slot, seen.scale?, *unit, -fallback.output),
            Term::Timer => slot.words(fallback.after.get() / 1_000_000, seen.scale?, 0),
        };
        words.map(Some)
    }

    fn power_words(&self, slot: &Slot, scale: Scale, unit: Unit, power: Watts) -> Option<Vec<u16>> {
        let power = match self.kind {
            Kind::Cap => power.min(Watts::ZERO),
            Kind::Power => power,
        };
        match unit {
            Unit::Watts => slot.words(power.get(), scale, 0),
            Unit::Percent(rating) => {
                let whole = self.whole(rating)?.get();
                // Millionths of the whole, so that no scale factor loses what it could show.
                let millionths = i128::from(power.get().clamp(-whole, whole)) * 1_000_000 / i128::from(whole);
                slot.words(i64::try_from(millionths).ok()?, scale, 4)
            }
        }
    }

    /// The request that carries a write out.
    pub fn request(&self, write: &Write) -> Request {
        match write.words.as_slice() {
            [value] if self.limits.write == 1 => Request::WriteOne { address: write.start, value: *value },
            _ => Request::WriteMany { start: write.start, values: write.words.clone() },
        }
    }
}

impl Write {
    /// The word for an address, where it is one of these.
    pub fn word(&self, address: u16) -> Option<u16> {
        self.words.get(usize::from(address.checked_sub(self.start)?)).copied()
    }
}

impl Heartbeat {
    /// The write of the beat that is counted `number`.
    pub fn write(&self, number: u32) -> Option<Write> {
        let raw = match self.beat {
            Beat::Increment => {
                let (_, high) = self.slot.kind.range()?;
                // The highest value may mean "not implemented".
                i64::try_from(i128::from(number).checked_rem(high)?).ok()?
            }
            Beat::Toggle => i64::from(number % 2),
            Beat::Constant(raw) => raw,
        };
        Some(Write { start: self.slot.address, words: self.slot.raw_words(raw)? })
    }
}
