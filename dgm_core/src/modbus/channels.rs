//! What a device is read by: numbers with a meaning, the reads that bring them, and the reading they become.
//!
//! ```text
//! Channel { metric, slot } ... ── Sources ──> reads of one poll, in order ── registers ──> Reading in our units and signs
//! ```
//!
//! The same for SunSpec models and device tables: both only say where which metric stands. A value and its scale factor
//! come from one read, and so do the parts of a sum (a device that tells its power by phase only). How long a read may
//! be, the line says (`Terms`). Rounding: loads and currents up, what a battery holds or may do down.
use super::number::{Raw, Rounding};
use super::pdu::{Span, Table};
use super::planning::admission::plan_reads;
use super::planning::cost::{LineCost, ROUND_TRIP_ASSUMED};
use super::planning::holes::{end, ReadProfile};
use super::planning::reads::{Need, ReadBounds, Shortcoming};
use super::point::{Block, Slot};
use crate::site::image::{Quality, Reading};
use crate::units::{Micros, Milliamps, Millis, Millivolts, Nanos, Permille, Vars, WattHours, Watts};

/// What a number of a device means; the slot's gain turns it into this unit and our sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// W, positive into the asset.
    Power,
    /// var, positive absorbed.
    Reactive,
    /// A of a conductor, 0..=2 in the device's order; its sign is left out.
    Current(usize),
    /// V from a conductor to neutral.
    Voltage(usize),
    /// Hz.
    Frequency,
    /// Wh into the asset.
    Energy,
    /// % of usable energy.
    Soc,
    /// W, most that the battery takes now.
    ChargeMax,
    /// W, most that the battery gives now.
    DischargeMax,
}

/// Whether registers that nobody asked for are read where that saves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// They are.
    Read,
    /// The device has refused such a read.
    Left,
}

/// What a line asks of the reads of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it costs.
    pub cost: LineCost,
    /// How long a read may keep a setpoint waiting.
    pub blocking: Micros,
}

impl Default for Terms {
    /// A line that nobody knows yet.
    fn default() -> Self {
        Self { cost: LineCost::tcp(ROUND_TRIP_ASSUMED), blocking: Micros::new(i64::MAX) }
    }
}

/// All numbers of a device have one rhythm: that of its polls, which the line knows and the plan need not.
const PERIOD: Micros = Micros::from_millis(10_000);

/// One number that is read in every poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What it means.
    pub metric: Metric,
    /// Where it stands.
    pub slot: Slot,
}

/// A value that tells a condition: met while it shows one of `values`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub slot: Slot,
    /// Raw values.
    pub values: Vec<i64>,
}

impl State {
    /// Whether the condition is met; `None` where the value is absent or not in the block.
    pub fn is_met(&self, block: &Block<'_>) -> Option<bool> {
        match self.slot.raw(block)? {
            Raw::Integer(raw) => Some(self.values.iter().any(|value| i128::from(*value) == raw)),
            Raw::Float(_) => None,
        }
    }
}

/// The numbers of a device and the reads of one poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// By metric; several of one metric are a sum.
    channels: Box<[Channel]>,
    /// The device gives and takes nothing unless all are met.
    running: Box<[State]>,
    reads: Box<[(Table, Span)]>,
    read_max: u16,
    gaps: Gaps,
    terms: Terms,
}

impl Sources {
    /// Numbers with reads of at most `read_max` registers; `None` without a power, or where a value and its scale factor
    /// or the parts of a sum do not fit into one read.
    pub fn new(mut channels: Vec<Channel>, running: Vec<State>, read_max: u16) -> Option<Self> {
        channels.sort_by_key(|channel| channel.metric);
        let (channels, running) = (channels.into(), running.into());
        let (reads, terms) = (Box::default(), Terms::default());
        let mut sources = Self { channels, running, reads, read_max, gaps: Gaps::Read, terms };
        sources.plan().map(|()| sources)
    }

    /// Plans the reads for a line; positions of before mean nothing any more.
    pub fn replan(&mut self, terms: Terms) {
        let before = std::mem::replace(&mut self.terms, terms);
        // What could be read before can be read.
        if before != terms && self.plan().is_none() {
            self.terms = before;
        }
    }

    /// What must come whole, each in one read.
    pub fn runs(&self) -> Vec<(Table, Span)> {
        let sums = self.channels.chunk_by(|one, next| one.metric == next.metric).filter_map(whole);
        sums.chain(self.running.iter().map(|state| (state.slot.table, state.slot.span()))).collect()
    }

    /// Most registers of one read.
    pub fn read_max(&self) -> u16 {
        self.read_max
    }

    /// The read by which the device is found: its power, and nothing else.
    pub fn probe(&self) -> Option<(Table, Span)> {
        let mut sums = self.channels.chunk_by(|one, next| one.metric == next.metric);
        sums.find(|sum| sum.iter().any(|channel| channel.metric == Metric::Power)).and_then(whole)
    }

    fn plan(&mut self) -> Option<()> {
        self.channels.iter().find(|channel| channel.metric == Metric::Power)?;
        let sums = self.channels.chunk_by(|one, next| one.metric == next.metric);
        let sums = sums.map(whole).collect::<Option<Vec<_>>>()?;
        let states = self.running.iter().map(|state| (state.slot.table, state.slot.span()));
        self.reads = reads_within(sums.into_iter().chain(states), self.read_max, self.gaps, self.terms)?.into();
        Some(())
    }

    /// The device has refused the read at this position, for a register that it does not have. It is asked without gaps
    /// from there on; what it refuses alone is absent. `None`: without that there is no power, so it is asked again.
    pub fn refused(&mut self, at: usize) -> Option<()> {
        if self.gaps == Gaps::Read {
            self.gaps = Gaps::Left;
            return self.plan();
        }
        let (table, span) = self.reads.get(at).copied()?;
        let inside =
            |slot: &Slot| slot.table == table && span.start <= slot.address && u32::from(slot.address) < end(span);
        let mut rest = self.clone();
        rest.channels = self.channels.iter().filter(|channel| !inside(&channel.slot)).cloned().collect();
        rest.plan()?;
        *self = rest;
        Some(())
    }

    /// The reads of a poll, in order.
    pub fn reads(&self) -> &[(Table, Span)] {
        &self.reads
    }

    /// Takes the registers of a read into a reading that began with `start`.
    pub fn fill(&self, block: &Block<'_>, reading: &mut Reading) {
        for sum in self.channels.chunk_by(|one, next| one.metric == next.metric) {
            if sum.iter().all(|channel| block.holds(channel.slot.table, channel.slot.span())) {
                put(sum, block, reading);
            }
        }
        let holds = |state: &&State| block.holds(state.slot.table, state.slot.span());
        if self.running.iter().filter(holds).any(|state| state.is_met(block) != Some(true)) {
            (reading.charge_max, reading.discharge_max) = (Some(Watts::ZERO), Some(Watts::ZERO));
        }
        reading.quality = if reading.power.is_some() { Quality::Good } else { Quality::Failed };
    }
}

/// The registers of all parts of a sum; `None` where they are not of one table.
fn whole(sum: &[Channel]) -> Option<(Table, Span)> {
    let table = sum.first()?.slot.table;
    let spans = || sum.iter().map(|channel| channel.slot.span());
    let start = spans().map(|span| span.start).min()?;
    let end = spans().map(end).max()?;
    let count = u16::try_from(end - u32::from(start)).ok()?;
    sum.iter().all(|channel| channel.slot.table == table).then_some((table, Span { start, count }))
}

/// A reading of which nothing is known yet.
pub fn start(measured_at: Millis) -> Reading {
    Reading { quality: Quality::Failed, measured_at, ..Reading::NEVER }
}

fn put(sum: &[Channel], block: &Block<'_>, reading: &mut Reading) {
    let Some(metric) = sum.first().map(|channel| channel.metric) else { return };
    // A sum of which a part is absent is absent.
    let value = |digits, rounding| {
        sum.iter().try_fold(0i64, |sum, channel| sum.checked_add(channel.slot.value(block, digits, rounding)?))
    };
    match metric {
        Metric::Power => reading.power = value(0, Rounding::Up).map(Watts::new),
        Metric::Reactive => reading.reactive = value(0, Rounding::Up).map(Vars::new),
        // Both signs round away from nothing.
        Metric::Current(phase) => {
            let magnitude = value(3, Rounding::Up).zip(value(3, Rounding::Down)).map(|(up, down)| up.max(-down));
            set(&mut reading.current, phase, magnitude.map(Milliamps::new));
        }
        Metric::Voltage(phase) => set(&mut reading.voltage, phase, value(3, Rounding::Up).map(Millivolts::new)),
        Metric::Frequency => reading.frequency_mhz = value(3, Rounding::Nearest),
        // A counter below 0 is one that was never started, or says "not known" in its own way.
        Metric::Energy => {
            reading.energy = value(0, Rounding::Down).filter(|energy| *energy >= 0).map(WattHours::new);
        }
        Metric::Soc => {
            let permille = value(1, Rounding::Down).filter(|permille| (0..=1000).contains(permille));
            reading.soc = permille.map(Permille::new);
        }
        // Of several limits the lowest holds; one that is not running has made it 0 already.
        Metric::ChargeMax => reading.charge_max = lower(reading.charge_max, value(0, Rounding::Down)),
        Metric::DischargeMax => reading.discharge_max = lower(reading.discharge_max, value(0, Rounding::Down)),
    }
}

/// A limit below 0 permits nothing.
fn lower(held: Option<Watts>, said: Option<i64>) -> Option<Watts> {
    let said = said.map(|watts| Watts::new(watts.max(0)));
    [held, said].into_iter().flatten().min()
}

fn set<T>(values: &mut [Option<T>; 3], phase: usize, value: Option<T>) {
    if let Some(place) = values.get_mut(phase) {
        *place = value;
    }
}

/// The reads that bring every one of the runs whole, in order of table and address: the cheapest of a line that has not
/// been measured, without a register that nobody asked for where the device refuses gaps. `None`: a run is longer than a
/// read may be.
pub fn reads(runs: impl Iterator<Item = (Table, Span)>, read_max: u16, gaps: Gaps) -> Option<Vec<(Table, Span)>> {
    reads_within(runs, read_max, gaps, Terms::default())
}

/// The same on a line of these terms.
fn reads_within(
    runs: impl Iterator<Item = (Table, Span)>,
    read_max: u16,
    gaps: Gaps,
    terms: Terms,
) -> Option<Vec<(Table, Span)>> {
    let need = |(table, span)| Need { table, span, group: None, period: PERIOD, deadline: PERIOD };
    let needs: Vec<Need> = runs.map(need).collect();
    let bounds = match gaps {
        Gaps::Read => ReadBounds { cost: terms.cost, registers_max: read_max, blocking: terms.blocking },
        // A request is free and a register is not, so none is read for nothing; as many as the line allows.
        Gaps::Left => ReadBounds {
            cost: LineCost::new(Nanos::ZERO, Nanos::new(1_000)),
            registers_max: read_max,
            blocking: Micros::new(i64::from(terms.cost.registers_within(terms.blocking, read_max))),
        },
    };
    let plan = plan_reads(&needs, bounds, &ReadProfile::default());
    let is_whole = plan.shortcomings.iter().all(|(_, why)| matches!(why, Shortcoming::Blocks { .. }));
    is_whole.then(|| plan.reads.into_iter().map(|read| (read.table, read.span)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::number::{Gain, Scale};
    use super::super::pdu::RegisterBytes;
    use super::super::point::{wire, Absent, Kind, ScaleAt};
    use super::*;
    use proptest::prelude::*;

    fn slot(address: u16, kind: Kind) -> Slot {
        let scale = ScaleAt::Fixed(Scale::ONE);
        let (absent, gain) = (Absent::Nothing, Gain::ONE);
        Slot { table: Table::Holding, address, kind, low_first: false, absent, scale, gain }
    }

    fn fill(sources: &Sources, first: u16, words: &[u16], reading: &mut Reading) {
        let bytes = wire(words);
        sources.fill(&Block::new(Table::Holding, first, RegisterBytes::new(&bytes).unwrap()), reading);
    }

    fn channel(metric: Metric, address: u16) -> Channel {
        Channel { metric, slot: slot(address, Kind::I16) }
    }

    #[test]
    fn a_device_without_a_power_is_no_source() {
        assert_eq!(Sources::new(vec![channel(Metric::Soc, 1)], vec![], 125), None);
    }

    #[test]
    fn values_far_apart_come_in_two_reads_and_make_one_reading() {
        let sources = Sources::new(vec![channel(Metric::Soc, 500), channel(Metric::Power, 10)], vec![], 125).unwrap();
        assert_eq!(sources.reads().iter().map(|(_, span)| span.start).collect::<Vec<_>>(), [10, 500]);
        let mut reading = start(Millis::new(5));
        fill(&sources, 10, &[1_234], &mut reading);
        fill(&sources, 500, &[50], &mut reading);
        assert_eq!((reading.power, reading.soc), (Some(Watts::new(1_234)), Some(Permille::new(500))));
        assert_eq!((reading.quality, reading.measured_at), (Quality::Good, Millis::new(5)));
    }

    #[test]
    fn a_current_is_a_magnitude_that_rounds_away_from_nothing() {
        let tenth = Slot { gain: Gain { multiplier: 1, divisor: 30_000 }, ..slot(1, Kind::I16) };
        let sources = |slot| {
            Sources::new(vec![channel(Metric::Power, 2), Channel { metric: Metric::Current(1), slot }], vec![], 9)
        };
        for raw in [100u16, 65_436] {
            let mut reading = start(Millis::ZERO);
            fill(&sources(tenth.clone()).unwrap(), 1, &[raw, 0], &mut reading);
            assert_eq!(reading.current, [None, Some(Milliamps::new(4)), None]);
        }
    }

    #[test]
    fn a_state_of_charge_must_make_sense_and_a_limit_is_never_negative() {
        let sources = vec![channel(Metric::Power, 1), channel(Metric::Soc, 2), channel(Metric::ChargeMax, 3)];
        let mut reading = start(Millis::ZERO);
        let sources = Sources::new(sources, vec![], 125).unwrap();
        fill(&sources, 1, &[0, 101, 0xffff], &mut reading);
        assert_eq!((reading.soc, reading.charge_max), (None, Some(Watts::ZERO)));
    }

    #[test]
    fn a_power_told_by_phase_is_a_sum_and_absent_as_soon_as_a_part_is() {
        let part = |address| {
            let absent = Absent::One(-32_768);
            Channel { metric: Metric::Power, slot: Slot { absent, ..slot(address, Kind::I16) } }
        };
        let sources = Sources::new(vec![part(1), part(2), part(3)], vec![], 125).unwrap();
        let power = |words: &[u16]| {
            let mut reading = start(Millis::ZERO);
            fill(&sources, 1, words, &mut reading);
            reading.power
        };
        assert_eq!(power(&[100, 200, 0xffff]), Some(Watts::new(299)));
        assert_eq!(power(&[100, 0x8000, 3]), None);
        assert_eq!(Sources::new(vec![part(1), part(200)], vec![], 125), None, "not in one read");
    }

    #[test]
    fn a_device_that_refuses_a_gap_is_read_without_gaps_and_what_it_refuses_alone_is_absent() {
        let channels = vec![channel(Metric::Power, 10), channel(Metric::Soc, 14), channel(Metric::Frequency, 30)];
        let mut sources = Sources::new(channels, vec![], 125).unwrap();
        assert_eq!(sources.reads(), [(Table::Holding, Span { start: 10, count: 21 })]);
        sources.refused(0).unwrap();
        let starts: Vec<u16> = sources.reads().iter().map(|(_, span)| span.start).collect();
        assert_eq!(starts, [10, 14, 30]);
        sources.refused(1).unwrap();
        assert_eq!(sources.reads().len(), 2);
        assert_eq!(sources.refused(0), None, "no power");
    }

    #[test]
    fn a_battery_that_does_not_run_gives_and_takes_nothing() {
        let running = vec![State { slot: slot(2, Kind::U16), values: vec![3, 4] }];
        let channels = vec![channel(Metric::Power, 1), channel(Metric::DischargeMax, 3)];
        let sources = Sources::new(channels, running, 125).unwrap();
        let limits = |state| {
            let mut reading = start(Millis::ZERO);
            fill(&sources, 1, &[0, state, 500], &mut reading);
            (reading.charge_max, reading.discharge_max)
        };
        assert_eq!(limits(3), (None, Some(Watts::new(500))));
        assert_eq!(limits(0), (Some(Watts::ZERO), Some(Watts::ZERO)));
    }

    proptest! {
        #[test]
        fn every_run_lies_whole_in_one_read(
            runs in prop::collection::vec((0u16..900, 1u16..9, any::<bool>()), 1..30), read_max in 9u16..=125,
            gaps in prop::sample::select(vec![Gaps::Read, Gaps::Left]),
        ) {
            let runs: Vec<(Table, Span)> = runs.iter().map(|(start, count, input)| {
                (if *input { Table::Input } else { Table::Holding }, Span { start: *start, count: *count })
            }).collect();
            let reads = reads(runs.iter().copied(), read_max, gaps).unwrap();
            for (table, run) in runs {
                let holds = |(of, read): &(Table, Span)| {
                    *of == table && read.start <= run.start && run.start + run.count <= read.start + read.count
                };
                prop_assert!(reads.iter().any(holds));
            }
            prop_assert!(reads.iter().all(|(_, read)| read.count <= read_max));
        }
    }
}
