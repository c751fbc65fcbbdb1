//! A line in virtual time, for tests: it carries out what the schedule says, and keeps a diary.
#![allow(clippy::unwrap_used)]
use super::schedule::{JobId, Lane, Schedule, Turn};
use crate::units::{Micros, Nanos};

/// One transaction.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Whose turn it was.
    pub turn: Turn,
    /// When it was sent.
    pub sent: Micros,
    /// When it was done.
    pub done: Micros,
}

/// A setpoint that comes at regular times.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Whose.
    pub job: JobId,
    /// The first one.
    pub next: Micros,
    /// Time between two.
    pub interval: Micros,
    /// How long it may take.
    pub allowed: Micros,
}

/// A line, what comes in from outside, and what each transaction takes.
pub struct VirtualLine {
    /// Under test.
    pub schedule: Schedule,
    /// Line time by job.
    pub costs: Vec<(JobId, Micros)>,
    /// One-shot jobs that are asked for regularly.
    pub sources: Vec<Source>,
    /// Everything that was done.
    pub diary: Vec<Entry>,
    now: Micros,
}

impl VirtualLine {
    /// At time zero, with nothing to do.
    pub fn new() -> Self {
        let (costs, sources, diary) = (Vec::new(), Vec::new(), Vec::new());
        Self { schedule: Schedule::new(Micros::ZERO), costs, sources, diary, now: Micros::ZERO }
    }

    /// A periodic read.
    pub fn read(&mut self, period: Micros, allowed: Micros, cost: Micros) -> JobId {
        let job = self.schedule.add_periodic(period, allowed, Nanos::from(cost), self.now).unwrap();
        self.costs.push((job, cost));
        job
    }

    /// A one-shot job that is asked for regularly.
    pub fn source(&mut self, lane: Lane, first: Micros, interval: Micros, allowed: Micros, cost: Micros) -> JobId {
        let job = self.schedule.add_once(lane, Nanos::from(cost)).unwrap();
        self.costs.push((job, cost));
        self.sources.push(Source { job, next: first, interval, allowed });
        job
    }

    /// Carries on until `end`.
    pub fn run(&mut self, end: Micros) {
        while self.now < end {
            self.ask();
            let Some(turn) = self.schedule.next(self.now) else {
                let sources = self.sources.iter().map(|source| source.next);
                let next = sources.chain(self.schedule.wake_time()).min().unwrap_or(end);
                assert!(next > self.now, "it says that something is due and does not do it");
                self.now = next;
                continue;
            };
            let cost = self.costs.iter().find(|(job, _)| *job == turn.job).unwrap().1;
            let sent = self.now;
            self.now += cost;
            self.ask();
            self.schedule.done(turn.job, Nanos::from(cost), self.now);
            self.diary.push(Entry { turn, sent, done: self.now });
        }
    }

    /// What was done of one job.
    pub fn of(&self, job: JobId) -> Vec<Entry> {
        self.diary.iter().copied().filter(|entry| entry.turn.job == job).collect()
    }

    /// The longest time from one answer of a job to the next.
    pub fn age_max(&self, job: JobId) -> Micros {
        let done: Vec<Micros> = self.of(job).iter().map(|entry| entry.done).collect();
        done.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }

    fn ask(&mut self) {
        for source in &mut self.sources {
            while source.next <= self.now {
                self.schedule.ask(source.job, source.next, source.next + source.allowed);
                source.next += source.interval;
            }
        }
    }
}
