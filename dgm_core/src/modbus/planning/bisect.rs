//! Finds what in a refused read the device refuses, by halving it, while everything else goes on being read.
//!
//! ```text
//! refused read ─> left half, right half ─┬─ one refused ─> halve that one ... a single part ─> forbidden
//!                                        └─ both answered ─> the gap between them, or the length
//! ```
//!
//! Every probe begins and ends with a part and brings real values: a search loses nothing that can be read. What is
//! found goes to the device's profile; the planner reads around it from then on. A probe that is not answered at all
//! says nothing: it is asked again.
use super::super::pdu::{Exception, Span, Table};
use super::holes::{end, Forbidden, ReadProfile};
use super::reads::PlannedRead;
use crate::units::Micros;

/// Pause between two looks at something that was refused before.
pub const RECHECK_INTERVAL: Micros = Micros::from_millis(600_000);

/// What a refused read means for the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// The profile knows more: plan anew.
    Replan,
    /// Probe until it is done, then plan anew.
    Search(Box<Bisection>),
    /// It says nothing about the registers: a busy device, a gateway, a fault.
    Nothing,
}

/// What the device's exception to a planned read teaches.
pub fn learn(profile: &mut ReadProfile, read: &PlannedRead, exception: Exception) -> Lesson {
    match exception {
        // Exception 3 is about the count; where as many were answered before, some devices mean the address.
        Exception::IllegalValue if profile.refused_length(read.table, read.span.count) => Lesson::Replan,
        Exception::IllegalValue | Exception::IllegalAddress => match Bisection::new(read) {
            Some(search) => Lesson::Search(Box::new(search)),
            None => {
                profile.forbid(read.table, read.span);
                Lesson::Replan
            }
        },
        _ => Lesson::Nothing,
    }
}

/// Positions of the first and the last part.
type Parts = (usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Known to be refused, not split yet.
    Split(Parts),
    /// The left half is asked.
    Left { whole: Parts, middle: usize },
    /// The right half is asked; the left one was answered or not.
    Right { whole: Parts, middle: usize, left: bool },
    /// Both halves were answered: the two parts on both sides of the middle are asked.
    Across { whole: Parts, middle: usize },
}

/// A search within one refused read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bisection {
    table: Table,
    /// By first register.
    parts: Vec<Span>,
    /// The last one is worked on.
    steps: Vec<Step>,
}

impl Bisection {
    /// `None`: the read has a single part, so that is what is refused.
    pub fn new(read: &PlannedRead) -> Option<Self> {
        let last = read.parts.len().checked_sub(1).filter(|last| *last > 0)?;
        let mut search = Self { table: read.table, parts: read.parts.clone(), steps: vec![Step::Split((0, last))] };
        search.split();
        Some(search)
    }

    /// Which table is searched.
    pub fn table(&self) -> Table {
        self.table
    }

    /// What to read next; `None`: everything is found.
    pub fn probe(&self) -> Option<Span> {
        let parts = match self.steps.last()? {
            Step::Split(whole) => *whole,
            Step::Left { whole, middle } => (whole.0, *middle),
            Step::Right { whole, middle, .. } => (middle + 1, whole.1),
            Step::Across { middle, .. } => (*middle, middle + 1),
        };
        self.hull(parts)
    }

    /// The probe was answered.
    pub fn answered(&mut self, profile: &mut ReadProfile) {
        if let Some(probe) = self.probe() {
            profile.answered(self.table, probe);
            self.step(true, profile);
        }
    }

    /// The probe was refused with exception 2 or 3.
    pub fn refused(&mut self, profile: &mut ReadProfile) {
        self.step(false, profile);
    }

    fn step(&mut self, is_answered: bool, profile: &mut ReadProfile) {
        match self.steps.pop() {
            None | Some(Step::Split(_)) => {}
            Some(Step::Left { whole, middle }) => {
                self.steps.push(Step::Right { whole, middle, left: is_answered });
            }
            Some(Step::Right { whole, middle, left }) => self.halved(whole, middle, [left, is_answered], profile),
            Some(Step::Across { whole, .. }) if is_answered => {
                // Each half is answered, and what lies between them too: the whole was too long.
                if let Some(span) = self.hull(whole).filter(|span| !profile.refused_length(self.table, span.count)) {
                    profile.forbid(self.table, span);
                }
            }
            Some(Step::Across { middle, .. }) => self.forbid_across(middle, profile),
        }
        self.settle(profile);
    }

    fn halved(&mut self, whole: Parts, middle: usize, answered: [bool; 2], profile: &mut ReadProfile) {
        let halves = [(whole.0, middle), (middle + 1, whole.1)];
        for (half, _) in halves.iter().zip(answered).filter(|(_, answered)| !answered) {
            self.steps.push(Step::Split(*half));
        }
        if answered == [true, true] {
            if whole.1 - whole.0 > 1 {
                self.steps.push(Step::Across { whole, middle });
            } else {
                self.forbid_across(middle, profile);
            }
        }
    }

    /// Splits what is known to be refused until there is something to ask, or nothing left.
    fn settle(&mut self, profile: &mut ReadProfile) {
        while let Some(Step::Split(parts)) = self.steps.last().copied() {
            if parts.0 < parts.1 {
                self.split();
                return;
            }
            self.steps.pop();
            if let Some(part) = self.hull(parts) {
                profile.forbid(self.table, part);
            }
        }
    }

    fn split(&mut self) {
        if let Some(Step::Split(whole)) = self.steps.pop() {
            self.steps.push(Step::Left { whole, middle: usize::midpoint(whole.0, whole.1) });
        }
    }

    /// Two neighbours are answered alone and refused together: it is the gap between them, where there is one and as
    /// long a read was answered elsewhere; else all that is known is that they do not go together.
    fn forbid_across(&self, middle: usize, profile: &mut ReadProfile) {
        let Some(both) = self.hull((middle, middle + 1)) else { return };
        let gap = self.gap(middle).filter(|_| both.count <= profile.longest_answered());
        profile.forbid(self.table, gap.unwrap_or(both));
    }

    fn gap(&self, middle: usize) -> Option<Span> {
        let (left, right) = (self.hull((0, middle))?, self.parts.get(middle + 1)?);
        let start = u16::try_from(end(left)).ok()?;
        let count = right.start.checked_sub(start).filter(|count| *count > 0)?;
        Some(Span { start, count })
    }

    fn hull(&self, (first, last): Parts) -> Option<Span> {
        let parts = self.parts.get(first..=last)?;
        let start = parts.iter().map(|part| part.start).min()?;
        let last = parts.iter().map(|part| end(*part)).max()?;
        Some(Span { start, count: u16::try_from(last - u32::from(start)).ok()? })
    }
}

/// Looks rarely whether what was refused still is: firmware changes.
#[derive(Clone, Copy, Debug)]
pub struct Recheck {
    due: Micros,
    next: usize,
}

impl Recheck {
    /// The first look is one interval away.
    pub fn new(now: Micros) -> Self {
        Self { due: now + RECHECK_INTERVAL, next: 0 }
    }

    /// When something is to be asked again.
    pub fn due(&self) -> Micros {
        self.due
    }

    /// What to ask again now, if it is time: one span after the other.
    pub fn take(&mut self, profile: &ReadProfile, now: Micros) -> Option<Forbidden> {
        (now >= self.due).then_some(())?;
        self.due = now + RECHECK_INTERVAL;
        let forbidden = profile.forbidden();
        let at = self.next.checked_rem(forbidden.len())?;
        self.next = at + 1;
        forbidden.get(at).copied()
    }
}

#[cfg(test)]
#[path = "bisect_tests.rs"]
mod tests;
