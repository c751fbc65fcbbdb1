//! A device that is described by a table: which of its points measure what, and how it is commanded.
//!
//! ```text
//! RegisterMap + measurements ──> Sources (what is polled)        + control ──> Actuator (what is written and read back)
//! ```
//!
//! A table that exists is valid for its asset: every point named is there, readable, and together with what it needs in
//! one read. The current transformer's ratio is the asset's own, so every asset has a table of its own.
use super::actuator::{Actuator, Entry, Heartbeat, Kind, Parts, Rating, RequestLimits, Revert, Term, Unit};
use super::channels::{Channel, Metric, Sources, State};
use super::map::RegisterMap;
use super::number::{Gain, GAIN_MAX};
use super::pdu::Table;
use super::point::Slot;
use crate::error::CoreError;
use crate::units::{Micros, Watts};

/// Ratio of a current transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtRatio {
    /// A, above 0.
    pub primary: i64,
    /// A, above 0.
    pub secondary: i64,
}

/// A point with its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// What it measures.
    pub metric: Metric,
    /// Name of the point.
    pub point: String,
    /// The device counts the other way.
    pub is_turned: bool,
    /// Times the ratio of the current transformer.
    pub is_ct_scaled: bool,
}

/// How a device is commanded, by names of points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// The setpoint.
    pub power: String,
    /// In % of the rating, not W.
    pub is_percent: bool,
    /// The device counts output positive.
    pub is_turned: bool,
    /// W that 100 % stands for.
    pub rating: Option<String>,
    /// Written before the setpoint, with their raw values.
    pub before: Vec<(String, i64)>,
    /// Written after it.
    pub after: Vec<(String, i64)>,
    /// It takes commands while all are met.
    pub remote: Vec<(String, Vec<i64>)>,
    /// It gives and takes power while all are met.
    pub running: Vec<(String, Vec<i64>)>,
    /// Sign of life: point, period and what is written.
    pub heartbeat: Option<(String, Micros, super::actuator::Beat)>,
    /// Power after the revert timer.
    pub revert_power: Option<String>,
    /// Revert timer, s.
    pub revert_timer: Option<String>,
    /// Its own output after the timer.
    pub reverts_to: Option<Watts>,
    /// Its own watchdog.
    pub reverts_after: Option<Micros>,
}

/// What a table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableParts {
    /// The registers.
    pub map: RegisterMap,
    /// What they measure.
    pub measured: Vec<Measured>,
    /// How it is commanded; `None`: only read.
    pub commands: Option<Commands>,
}

/// A checked table of one asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTable {
    parts: TableParts,
    sources: Sources,
}

impl DeviceTable {
    /// Checks a table. All that is wrong is told at once, by path (`path` first) and name.
    pub fn new(parts: TableParts, ct: Option<CtRatio>, path: &str) -> Result<Self, Vec<CoreError>> {
        let mut checker = Checker { map: &parts.map, path, problems: Vec::new() };
        let channels = checker.channels(&parts.measured, ct);
        let running = parts.commands.as_ref().map_or_else(Vec::new, |found| checker.states(&found.running, "running"));
        if let Some(commands) = &parts.commands {
            checker.commands(commands);
        }
        let mut problems = checker.problems;
        let sources = Sources::new(channels, running, parts.map.read_max());
        if sources.is_none() && problems.is_empty() {
            let expected = "a POWER, and rows of one metric close enough for one read";
            problems.push(CoreError::site(format!("{path}measurements"), "no such set of points", expected));
        }
        match sources.filter(|_| problems.is_empty()) {
            Some(sources) => {
                let table = Self { parts, sources };
                let is_complete =
                    table.parts.commands.is_none() || table.actuator(Kind::Power, Watts::new(1)).is_some();
                let expected = "holding registers, each with its scale factor in one read";
                let incomplete =
                    || vec![CoreError::site(format!("{path}control"), "points that cannot be read back", expected)];
                is_complete.then_some(table).ok_or_else(incomplete)
            }
            None => Err(problems),
        }
    }

    /// What is polled.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The registers.
    pub fn map(&self) -> &RegisterMap {
        &self.parts.map
    }

    /// What is written and read back; `None` where it is only read.
    pub fn actuator(&self, kind: Kind, rating: Watts) -> Option<Actuator> {
        let commands = self.parts.commands.as_ref()?;
        let slot = |name: &String| self.parts.map.find(name)?.slot().cloned();
        let constant = |(name, raw): &(String, i64)| Some(Entry { slot: slot(name)?, term: Term::Constant(*raw) });
        let power = |name: &String, term: Term| {
            let mut slot = slot(name)?;
            slot.gain = turned(slot.gain, commands.is_turned);
            Some(Entry { slot, term })
        };
        let unit = if commands.is_percent { Unit::Percent(0) } else { Unit::Watts };
        let mut entries = commands.before.iter().map(constant).collect::<Option<Vec<_>>>()?;
        if let Some(timer) = &commands.revert_timer {
            entries.push(Entry { slot: slot(timer)?, term: Term::Timer });
        }
        if let Some(revert) = &commands.revert_power {
            entries.push(power(revert, Term::Revert(unit))?);
        }
        entries.push(power(&commands.power, Term::Power(unit))?);
        entries.extend(commands.after.iter().map(constant).collect::<Option<Vec<_>>>()?);
        let state = |(name, values): &(String, Vec<i64>)| Some(State { slot: slot(name)?, values: values.clone() });
        let slots = commands.rating.iter().filter_map(slot).collect();
        let heartbeat = match &commands.heartbeat {
            Some((name, period, beat)) => Some(Heartbeat { slot: slot(name)?, period: *period, beat: *beat }),
            None => None,
        };
        Actuator::new(Parts {
            kind,
            entries,
            ratings: vec![Rating { slots, known: Some(rating) }],
            modes: commands.remote.iter().map(state).collect::<Option<_>>()?,
            life: None,
            heartbeat,
            revert: commands.revert(),
            limits: RequestLimits { read: self.parts.map.read_max(), write: self.parts.map.write_max() },
        })
    }
}

impl Commands {
    fn revert(&self) -> Revert {
        let is_timed = self.revert_timer.is_some();
        match (&self.revert_power, self.reverts_to, self.reverts_after) {
            (Some(_), _, _) if is_timed => Revert::Written,
            (None, Some(output), after) if is_timed || after.is_some() => Revert::Fixed { output, after },
            (Some(_), _, Some(after)) => Revert::WrittenWithin { after },
            (None, None, _) if is_timed => Revert::Released,
            _ => Revert::Never,
        }
    }
}

fn turned(gain: Gain, is_turned: bool) -> Gain {
    Gain { multiplier: if is_turned { -gain.multiplier } else { gain.multiplier }, ..gain }
}

/// Collects what is wrong.
struct Checker<'a> {
    map: &'a RegisterMap,
    path: &'a str,
    problems: Vec<CoreError>,
}

impl Checker<'_> {
    fn problem(&mut self, place: &str, found: impl std::fmt::Display, expected: impl Into<String>) {
        self.problems.push(CoreError::site(format!("{}{place}", self.path), found, expected));
    }

    fn number(&mut self, name: &str, place: &str) -> Option<Slot> {
        let slot = self.map.find(name).and_then(|point| point.slot().cloned());
        if slot.is_none() {
            self.problem(place, format!("{name:?}"), "the name of a point of the map that is a number");
        }
        slot
    }

    fn holding(&mut self, name: &str, place: &str) -> Option<Slot> {
        let slot = self.number(name, place)?;
        if slot.table == Table::Holding {
            return Some(slot);
        }
        self.problem(place, format!("{name}, not a holding register"), "a HOLDING point: it is written and read back");
        None
    }

    fn channels(&mut self, measured: &[Measured], ct: Option<CtRatio>) -> Vec<Channel> {
        let mut channels = Vec::new();
        for (index, Measured { metric, point, is_turned, is_ct_scaled }) in measured.iter().enumerate() {
            let place = format!("measurements[{index}].point");
            let Some(mut slot) = self.number(point, &place) else { continue };
            slot.gain = turned(slot.gain, *is_turned);
            if let Some(ratio) = ct.filter(|_| *is_ct_scaled) {
                match scaled(slot.gain, ratio) {
                    Some(gain) => slot.gain = gain,
                    None => self.problem(&place, format!("{point} x {ratio:?}"), format!("factors up to {GAIN_MAX}")),
                }
            }
            channels.push(Channel { metric: *metric, slot });
        }
        if !measured.iter().any(|found| found.metric == Metric::Power) {
            self.problem("measurements", "no POWER", "at least one row with the metric POWER");
        }
        channels
    }

    fn states(&mut self, states: &[(String, Vec<i64>)], field: &str) -> Vec<State> {
        let mut found = Vec::new();
        for (index, (name, values)) in states.iter().enumerate() {
            let place = format!("control.{field}[{index}]");
            if values.is_empty() {
                self.problem(&format!("{place}.values"), "nothing", "at least one raw value");
            }
            if let Some(slot) = self.number(name, &format!("{place}.point")) {
                found.push(State { slot, values: values.clone() });
            }
        }
        found
    }

    fn commands(&mut self, commands: &Commands) {
        self.holding(&commands.power, "control.power");
        for (name, field) in [(&commands.revert_power, "revert_power"), (&commands.revert_timer, "revert_timer")] {
            if let Some(name) = name {
                self.holding(name, &format!("control.{field}"));
            }
        }
        if let Some(name) = &commands.rating {
            self.number(name, "control.rating_point");
        }
        for (field, values) in [("before", &commands.before), ("after", &commands.after)] {
            for (index, (name, raw)) in values.iter().enumerate() {
                let place = format!("control.{field}[{index}]");
                let Some(slot) = self.holding(name, &format!("{place}.point")) else { continue };
                if slot.raw_words(*raw).is_none() {
                    self.problem(&format!("{place}.value"), raw, format!("a raw value that {name} can hold"));
                }
            }
        }
        if let Some((name, _, _)) = &commands.heartbeat {
            self.holding(name, "control.heartbeat.point");
        }
        self.states(&commands.remote, "remote");
    }
}

fn scaled(gain: Gain, ratio: CtRatio) -> Option<Gain> {
    let product = |one: i64, other: i64| one.checked_mul(other).filter(|factor| factor.abs() <= GAIN_MAX);
    Some(Gain {
        multiplier: product(gain.multiplier, ratio.primary)?,
        divisor: product(gain.divisor, ratio.secondary)?,
    })
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
