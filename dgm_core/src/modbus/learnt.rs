//! What was found out about a SunSpec device, and how it is known again: the walk through its models is not repeated.
//!
//! ```text
//! Scan ──> Learnt { base, identity, chain } ── kept ──> Recall: reads identity, last header, end ──> the same, or not
//! ```
//!
//! A device is the same one if everything that its common model says of it (maker, type, options, version, serial number)
//! is as it was, and the last model and the end of the chain stand where they stood: a model more or less moves them.
//! Whatever differs is forgotten and the device is walked through like a new one.
use super::pdu::{RegisterBytes, Span, READ_MAX};
use super::session::Failure;
use super::sunspec::{Model, ModelMap, BASES, END, MARKER, MODELS_MAX};
use super::tables::HEADER;
use crate::error::CoreError;

/// Registers of the common model that say which device it is: maker to serial number.
pub const IDENTITY: u16 = 64;
/// Longest read of a device that refuses long ones, or of a line that has no time for them: a part of the identity.
pub const SHORT: u16 = 8;

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// Where the map begins.
    pub base: u16,
    /// Registers of the common model from its maker on.
    pub identity: Vec<u16>,
    /// The chain; the common model first.
    pub models: Vec<Model>,
    /// Where the end marker stands; `None`: the chain ends otherwise.
    pub end: Option<u16>,
    /// Long reads are answered.
    pub is_long: bool,
}

impl Learnt {
    /// Refuses what no walk could have found.
    pub fn check(&self) -> Result<(), CoreError> {
        let wrong = |field: &str, found: String, expected: &str| {
            Err(CoreError::site(format!("learnt.{field}"), found, expected))
        };
        if !BASES.contains(&self.base) {
            return wrong("base", self.base.to_string(), "0, 40000 or 50000");
        }
        if self.identity.len() != usize::from(IDENTITY) {
            return wrong("identity", format!("{} registers", self.identity.len()), "64");
        }
        let mut address = self.base.checked_add(2);
        for model in &self.models {
            if Some(model.address) != address || model.length == 0 {
                return wrong("models", format!("model {} at {}", model.id, model.address), "a chain without gaps");
            }
            address = model.address.checked_add(HEADER).and_then(|start| start.checked_add(model.length));
        }
        if self.models.first().is_none_or(|model| model.id != 1 || model.length < IDENTITY) {
            return wrong("models", format!("{} models", self.models.len()), "the common model first");
        }
        if self.models.len() > MODELS_MAX || (self.end.is_some() && self.end != address) {
            return wrong("end", format!("{:?}", self.end), "the end of the chain");
        }
        Ok(())
    }

    /// What must be read again, and what it must show; by short reads where long ones are not answered or not wanted.
    fn checks(&self, is_long: bool) -> Vec<(u16, Vec<u16>)> {
        let mut head = MARKER.to_vec();
        head.extend(self.models.first().into_iter().flat_map(|common| [common.id, common.length]));
        head.extend(&self.identity);
        let last = self.models.last().map(|last| (last.address, vec![last.id, last.length]));
        let tail = last.into_iter().chain(self.end.map(|end| (end, vec![END])));
        let run = if self.is_long && is_long { READ_MAX } else { SHORT };
        let starts = (self.base..).step_by(usize::from(run));
        starts.zip(head.chunks(usize::from(run)).map(<[u16]>::to_vec)).chain(tail).collect()
    }
}

/// Where a recall stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// Ask again with `next_span`.
    More,
    /// It is the device that was known, with this chain.
    Same(ModelMap),
    /// It is another one, or has changed: it must be walked through.
    Other,
    /// It did not answer.
    Lost,
}

/// Holding a device against what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    models: Vec<Model>,
    /// What is still to be read, the next one last.
    checks: Vec<(u16, Vec<u16>)>,
}

impl Recall {
    /// Nothing read yet; `is_long`: the line has time for long reads.
    pub fn new(learnt: &Learnt, is_long: bool) -> Self {
        let mut checks = learnt.checks(is_long);
        checks.reverse();
        Self { models: learnt.models.clone(), checks }
    }

    /// What to read next.
    pub fn next_span(&self) -> Span {
        let next = self.checks.last().map(|(start, words)| (*start, u16::try_from(words.len()).unwrap_or(READ_MAX)));
        let (start, count) = next.unwrap_or((0, 1));
        Span { start, count }
    }

    /// Takes what the device answered to `next_span`.
    pub fn advance(&mut self, answer: Result<RegisterBytes<'_>, Failure>) -> Recalled {
        let words = match answer {
            Ok(words) => words,
            Err(Failure::Disconnected | Failure::TimedOut) => return Recalled::Lost,
            Err(Failure::Refused(_) | Failure::Malformed) => return Recalled::Other,
        };
        match self.checks.pop() {
            Some((_, expected)) if !words.iter().eq(expected.iter().copied()) => Recalled::Other,
            Some(_) if !self.checks.is_empty() => Recalled::More,
            _ => Recalled::Same(ModelMap::of(std::mem::take(&mut self.models))),
        }
    }
}

#[cfg(test)]
#[path = "learnt_tests.rs"]
mod tests;
