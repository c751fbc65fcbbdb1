//! A device's place in the schedule of its line: what it wants, in which lane, since when and until when.
//!
//! ```text
//! device ── offers ──> Seat ── (due, deadline) by lane ──> schedule          turn of a job ──> class ──> request
//! ```
//!
//! Setpoints keep a pace, reductions do not; whoever does not answer has the background only. `devices` decides nothing
//! of this and carries it out.
use super::channels::Terms;
use super::device::{Device, DeviceConfig};
use super::pdu::{Request, Table};
use super::plan::{Class, Offer};
use super::planning::admission::DeviceQuestion;
use super::planning::demand::ReadDemand;
use super::planning::schedule::{JobId, Lane, Schedule};
use crate::units::{Micros, Nanos};

/// The jobs of one device, one for each lane it may wait in at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jobs {
    pub(super) write: JobId,
    pub(super) control: JobId,
    pub(super) poll: JobId,
    pub(super) background: JobId,
}

/// What a device has asked the schedule for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) write: Option<(Micros, Micros)>,
    pub(super) control: Option<(Micros, Micros)>,
    pub(super) poll: Option<(Micros, Micros)>,
    pub(super) background: Option<(Micros, Micros)>,
}

/// A device and its place in the schedule.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) device: Device,
    pub(super) jobs: Jobs,
    pub(super) asked: Asked,
    /// Since when its setpoint has wanted something of this class.
    pub(super) since: Option<(Class, Micros)>,
    /// When the writes of its last setpoint began to be wanted.
    pub(super) wrote_from: Option<Micros>,
    /// Nothing is asked of it before.
    pub(super) not_before: Micros,
    /// What it asks of the line.
    pub(super) question: Option<DeviceQuestion>,
}

impl Seat {
    pub(super) fn new(config: &DeviceConfig, schedule: &mut Schedule, now: Micros) -> Option<Self> {
        let mut job = |lane| schedule.add_once(lane, Nanos::ZERO);
        let jobs = Jobs {
            write: job(Lane::Write)?,
            control: job(Lane::Read)?,
            poll: job(Lane::Read)?,
            background: job(Lane::Background)?,
        };
        Some(Self {
            device: Device::new(config.clone(), Terms::default(), now),
            jobs,
            asked: Asked::default(),
            since: None,
            wrote_from: None,
            not_before: Micros::new(i64::MIN),
            question: None,
        })
    }

    pub(super) fn has(&self, job: JobId) -> bool {
        let Jobs { write, control, poll, background } = self.jobs;
        [write, control, poll, background].contains(&job)
    }

    /// Its periodic reads as they are planned; before it is found as they would be.
    pub(super) fn reads(&self, terms: Terms) -> Vec<ReadDemand> {
        let period = self.device.config().period;
        let read = |(table, count): (Table, u16)| ReadDemand {
            cost: terms.cost.of_table(table).read(count),
            period,
            allowed: period,
        };
        if self.device.is_serving() {
            return self.device.polled().iter().map(|(table, span)| read((*table, span.count))).collect();
        }
        let planned = self.question.iter().flat_map(|found| found.plan(terms.cost, terms.blocking).reads);
        planned.map(|planned| read((planned.table, planned.span.count))).collect()
    }

    /// The offer of its setpoint with the time since when it stands, and by when it must be done.
    pub(super) fn control(&mut self, write_latency: Micros, now: Micros) -> Option<(Offer, Micros)> {
        let Some(offer) = self.device.control_offer() else {
            self.since = None;
            return None;
        };
        // Setpoints change no more often than the device is read; what takes power away does.
        let pace =
            self.wrote_from.filter(|_| offer.class == Class::Write && self.device.is_at_rest() && !offer.is_urgent);
        let due = pace.map_or(offer.due, |from| offer.due.max(from + self.device.config().period));
        let since = match self.since {
            Some((class, since)) if class == offer.class && due <= now => since,
            _ if due > now => due,
            _ => now,
        };
        self.since = Some((offer.class, since));
        let question = self.question.as_ref();
        let period = self.device.config().period;
        let allowed = match offer.class {
            Class::Write => write_latency,
            Class::Look => question.and_then(|found| found.look.as_ref()).map_or(period, |look| look.allowed),
            Class::Beat => question.and_then(|found| found.beat).map_or(period, |beat| beat.allowed),
            Class::Proof | Class::Poll | Class::Search => period,
        };
        Some((Offer { due: since, ..offer }, since + allowed))
    }

    pub(super) fn refresh(&mut self, schedule: &mut Schedule, control: Option<(Offer, Micros)>) {
        let (poll, poll_deadline) = self.device.poll_offer();
        let later = |due: Micros| due.max(self.not_before);
        let mut asked = Asked::default();
        match control {
            Some((offer, deadline))
                if offer.class == Class::Write && (offer.is_urgent || !self.device.is_failing()) =>
            {
                asked.write = Some((later(offer.due), deadline));
            }
            Some((offer, deadline)) if !self.device.is_failing() => {
                asked.control = Some((later(offer.due), deadline));
            }
            Some((offer, deadline)) => asked.background = Some((later(offer.due), deadline)),
            None => {}
        }
        let poll_at = (later(poll.due), poll_deadline);
        if poll.class == Class::Search || self.device.is_failing() {
            asked.background = Some(asked.background.map_or(poll_at, |other| other.min(poll_at)));
        } else {
            asked.poll = Some(poll_at);
        }
        let Jobs { write, control, poll, background } = self.jobs;
        let changes = [
            (write, self.asked.write, asked.write),
            (control, self.asked.control, asked.control),
            (poll, self.asked.poll, asked.poll),
            (background, self.asked.background, asked.background),
        ];
        for (job, before, wanted) in changes.into_iter().filter(|(_, before, wanted)| before != wanted) {
            if before.is_some() {
                schedule.withdraw(job);
            }
            if let Some((due, deadline)) = wanted {
                schedule.ask(job, due, deadline);
            }
        }
        self.asked = asked;
    }

    /// Since when a reduction has waited, and its job.
    pub(super) fn urgent(&self, now: Micros) -> Option<(Micros, JobId)> {
        let (due, _) = self.asked.write.filter(|(due, _)| *due <= now)?;
        self.device.control_offer().filter(|offer| offer.is_urgent).map(|_| (due, self.jobs.write))
    }

    /// What is done in the turn of a job.
    pub(super) fn class_of(&self, job: JobId, now: Micros) -> Option<Class> {
        let (poll, _) = self.device.poll_offer();
        let control = self.device.control_due(now);
        if job == self.jobs.write || job == self.jobs.control {
            control.map(|offer| offer.class)
        } else if job == self.jobs.poll {
            Some(poll.class)
        } else {
            // Of whoever does not answer, what has been due for longer.
            let first = control.filter(|offer| self.device.is_serving() && (offer.due <= poll.due || poll.due > now));
            Some(first.map_or(poll.class, |offer| offer.class))
        }
    }

    pub(super) fn take(&mut self, class: Class, now: Micros) -> Option<Request> {
        if class == Class::Write && self.device.is_at_rest() {
            self.wrote_from = self.since.map(|(_, since)| since);
        }
        self.device.take(class, now)
    }
}

impl Asked {
    /// Whose turn has come waits no more.
    pub(super) fn without(mut self, jobs: Jobs, job: JobId) -> Self {
        let all = [
            (jobs.write, &mut self.write),
            (jobs.control, &mut self.control),
            (jobs.poll, &mut self.poll),
            (jobs.background, &mut self.background),
        ];
        for (_, asked) in all.into_iter().filter(|(known, _)| *known == job) {
            *asked = None;
        }
        self
    }
}
