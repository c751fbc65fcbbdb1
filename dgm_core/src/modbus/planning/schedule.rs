//! Whose turn it is on a line: the earliest deadline first, writes before reads, and nobody starves.
//!
//! ```text
//! periodic reads ── due at their slot ──┐                  ┌─ Write: setpoints
//! one-shot jobs ─── asked for ──────────┴─> ready, by lane ┼─ Read: periodic reads, read-backs ──> next ──> Turn
//!                                                          └─ Background: searches, probes of holes
//! ```
//!
//! A job is something to ask, not its bytes: what is sent is made when its turn comes, so a setpoint that was replaced
//! while it waited is never sent. A write waits for the rest of the running transaction and for writes of an earlier
//! deadline; only when writes want more than their share do reads go between (`share`). A job has at most one turn due;
//! slots that pass before it are missed, counted, and not made up for. O(log jobs) a decision, without allocation.
use super::cost::Load;
use super::queue::TimeQueue;
use super::share::{Shares, Waiting};
use super::slots::Slots;
use crate::units::{Micros, Nanos, Permille};

/// Most jobs of one line.
pub const JOBS_MAX: usize = 8_192;

/// What a job is to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A setpoint or another write: before everything else.
    Write,
    /// What the controller needs to know: periodic reads, read-backs.
    Read,
    /// What can wait: searching a silent device, learning what it refuses.
    Background,
}

const LANES: [Lane; 3] = [Lane::Write, Lane::Read, Lane::Background];

/// A job of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(usize);

/// A transaction to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub job: JobId,
    /// In which lane.
    pub lane: Lane,
    /// Since when it has been due.
    pub due: Micros,
    /// By when it should be done.
    pub deadline: Micros,
    /// Slots before this one that have passed without a turn.
    pub missed: u64,
}

/// How a line has been used since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// Line time used by writes.
    pub writes: Permille,
    /// Line time used by reads.
    pub reads: Permille,
    /// Line time used by the background.
    pub background: Permille,
    /// What all periodic reads would need at their own period.
    pub wanted: Permille,
    /// By how much reads wanted and writes carried out exceed the line; 0: they fit.
    pub over: Permille,
    /// Slots missed by all jobs.
    pub missed: u64,
    /// Transactions done after their deadline.
    pub late: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A one-shot job that nobody asked for, or a removed one.
    Idle,
    /// Due in the future.
    Waiting,
    /// Due.
    Ready,
    /// Its transaction is under way.
    Running,
    /// Under way, and asked for again.
    Again,
}

#[derive(Clone, Debug)]
struct Job {
    lane: Lane,
    slots: Option<Slots>,
    /// After it is due; periodic jobs.
    allowed: Micros,
    cost: Nanos,
    state: State,
    due: Micros,
    deadline: Micros,
    /// Lanes that waited when its transaction began.
    waiting: Waiting,
    missed: u64,
}

/// All jobs of one line.
#[derive(Debug)]
pub struct Schedule {
    jobs: Vec<Job>,
    free: Vec<usize>,
    timers: TimeQueue,
    ready: [TimeQueue; 3],
    shares: Shares,
    /// Jobs or costs have changed since the shares were bounded.
    is_stale: bool,
    /// The shortest period among what is asked for again and again without being a periodic job.
    shortest: Option<Micros>,
    used: [Nanos; 3],
    missed: u64,
    late: u64,
    since: Micros,
}

impl Schedule {
    /// Without jobs.
    pub fn new(now: Micros) -> Self {
        Self {
            jobs: Vec::new(),
            free: Vec::new(),
            timers: TimeQueue::default(),
            ready: Default::default(),
            shares: Shares::default(),
            is_stale: false,
            shortest: None,
            used: [Nanos::ZERO; 3],
            missed: 0,
            late: 0,
            since: now,
        }
    }

    /// A read that is due at once and then in every slot of its period. `allowed`: how long after it is due it may be
    /// done, at most the period; `cost`: the line time it is expected to take. `None`: the line has `JOBS_MAX` jobs.
    pub fn add_periodic(&mut self, period: Micros, allowed: Micros, cost: Nanos, now: Micros) -> Option<JobId> {
        let id = self.add(Lane::Read, cost)?;
        if let Some(job) = self.jobs.get_mut(id.0) {
            job.slots = Some(Slots::new(period, now));
            job.allowed = allowed.min(period);
        }
        self.arm(id.0, now, now + allowed.min(period));
        Some(id)
    }

    /// A job that runs when it is asked for. `None`: the line has `JOBS_MAX` jobs.
    pub fn add_once(&mut self, lane: Lane, cost: Nanos) -> Option<JobId> {
        self.add(lane, cost)
    }

    /// Forgets a job. The end of a transaction that is under way need not be reported.
    pub fn remove(&mut self, job: JobId) {
        self.unqueue(job.0);
        if let Some(known) = self.jobs.get_mut(job.0) {
            (known.state, known.slots, known.cost) = (State::Idle, None, Nanos::ZERO);
            if !self.free.contains(&job.0) {
                self.free.push(job.0);
            }
        }
        self.is_stale = true;
    }

    /// What a transaction of the job is expected to take from now on.
    pub fn set_cost(&mut self, job: JobId, cost: Nanos) {
        if let Some(known) = self.jobs.get_mut(job.0) {
            known.cost = cost;
        }
        self.is_stale = true;
    }

    /// Jobs that are asked for again and again come so often, the most frequent of them.
    pub fn set_shortest(&mut self, period: Option<Micros>) {
        self.shortest = period;
        self.is_stale = true;
    }

    /// Asks for one turn from `due` on, to be done by `deadline`. If it is asked for already, the earlier of both times
    /// holds: who replaces a setpoint again and again does not wait for ever.
    pub fn ask(&mut self, job: JobId, due: Micros, deadline: Micros) {
        let Some(known) = self.jobs.get_mut(job.0) else { return };
        let (due, deadline) = match known.state {
            State::Idle | State::Running => (due, deadline),
            State::Waiting | State::Ready | State::Again => (due.min(known.due), deadline.min(known.deadline)),
        };
        match known.state {
            State::Running | State::Again => {
                (known.due, known.deadline, known.state) = (due, deadline, State::Again);
            }
            State::Idle | State::Waiting => self.arm(job.0, due, deadline),
            State::Ready => {
                (known.due, known.deadline) = (due, deadline);
                self.make_ready(job.0);
            }
        }
    }

    /// A one-shot job is not wanted any more; what is under way stays so.
    pub fn withdraw(&mut self, job: JobId) {
        self.unqueue(job.0);
        if let Some(known) = self.jobs.get_mut(job.0) {
            known.state = match known.state {
                State::Running | State::Again => State::Running,
                State::Idle | State::Waiting | State::Ready => State::Idle,
            };
        }
    }

    /// The transaction to send now, if one is due. It runs until `done`.
    pub fn next(&mut self, now: Micros) -> Option<Turn> {
        self.release(now);
        self.bound_shares();
        self.shares.pass(now);
        let waiting = self.waiting();
        let lane = self.shares.turn(waiting)?;
        let (_, at) = self.ready.get_mut(index(lane))?.pop()?;
        let job = self.jobs.get_mut(at)?;
        let missed = job.slots.as_mut().map_or(0, |slots| slots.advance(now));
        job.state = State::Running;
        job.waiting = waiting;
        job.missed += missed;
        self.missed += missed;
        Some(Turn { job: JobId(at), lane, due: job.due, deadline: job.deadline, missed })
    }

    /// The turn of a job that is asked for and due, whoever else waits: what takes power away goes first.
    pub fn take(&mut self, job: JobId, now: Micros) -> Option<Turn> {
        self.release(now);
        self.shares.pass(now);
        let waiting = self.waiting();
        let known = self.jobs.get_mut(job.0).filter(|known| known.state == State::Ready)?;
        (known.state, known.waiting) = (State::Running, waiting);
        let turn = Turn { job, lane: known.lane, due: known.due, deadline: known.deadline, missed: 0 };
        self.unqueue(job.0);
        Some(turn)
    }

    /// The transaction of a job has ended, well or not, after `used` of line time.
    pub fn done(&mut self, job: JobId, used: Nanos, now: Micros) {
        let Some(known) = self.jobs.get_mut(job.0) else { return };
        if !matches!(known.state, State::Running | State::Again) {
            return;
        }
        let (lane, waiting, due, deadline) = (known.lane, known.waiting, known.due, known.deadline);
        let again = known.state == State::Again;
        let slot = known.slots.map(|slots| (slots.due(), slots.due() + known.allowed));
        self.late += u64::from(!again && now > deadline);
        known.state = State::Idle;
        self.shares.used(lane, used, waiting);
        if let Some(sum) = self.used.get_mut(index(lane)) {
            *sum += used;
        }
        match (slot, again) {
            (Some((due, deadline)), _) => self.arm(job.0, due, deadline),
            (None, true) => self.arm(job.0, due, deadline),
            (None, false) => {}
        }
    }

    /// When `next` has something: in the past if it has now, `None` if nothing is asked for.
    pub fn wake_time(&self) -> Option<Micros> {
        let ready = self.ready.iter().filter_map(|queue| queue.peek());
        let due = ready.filter_map(|(_, at)| self.jobs.get(at)).map(|job| job.due).min();
        due.into_iter().chain(self.timers.peek().map(|(at, _)| at)).min()
    }

    /// What the line has done since the last report, and what it was asked to do.
    pub fn report(&mut self, now: Micros) -> LoadReport {
        let window = (now - self.since).max(Micros::new(1));
        let [writes, reads, background] = self.used.map(|used| Load::of(used, window));
        let wanted: Load = self.jobs.iter().filter_map(Job::load).sum();
        let over = (wanted + writes).permille().get() - 1000;
        let report = LoadReport {
            writes: writes.permille(),
            reads: reads.permille(),
            background: background.permille(),
            wanted: wanted.permille(),
            over: Permille::new(over.max(0)),
            missed: self.missed,
            late: self.late,
        };
        (self.used, self.missed, self.late, self.since) = ([Nanos::ZERO; 3], 0, 0, now);
        report
    }

    /// Slots that a job has missed since it was added.
    pub fn missed(&self, job: JobId) -> u64 {
        self.jobs.get(job.0).map_or(0, |job| job.missed)
    }

    /// What it could hold without allocating.
    #[cfg(test)]
    fn room(&self) -> [usize; 4] {
        let [write, read, background] = &self.ready;
        [write.room(), read.room(), background.room(), self.timers.room()]
    }

    fn add(&mut self, lane: Lane, cost: Nanos) -> Option<JobId> {
        self.is_stale = true;
        let waiting = Waiting { write: false, read: false, background: false };
        let (allowed, due, deadline) = (Micros::ZERO, Micros::ZERO, Micros::ZERO);
        let job = Job { lane, slots: None, allowed, cost, state: State::Idle, due, deadline, waiting, missed: 0 };
        if let Some(at) = self.free.pop() {
            *self.jobs.get_mut(at)? = job;
            return Some(JobId(at));
        }
        (self.jobs.len() < JOBS_MAX).then_some(())?;
        self.jobs.push(job);
        let jobs = self.jobs.len();
        self.free.reserve(jobs);
        self.timers.reserve(jobs);
        self.ready.iter_mut().for_each(|queue| queue.reserve(jobs));
        Some(JobId(jobs - 1))
    }

    /// One round of all setpoints goes first; but no more than half the shortest period at once, so that what was read
    /// is never older than two periods.
    fn bound_shares(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            let round = self.jobs.iter().filter(|job| job.lane == Lane::Write).map(|job| job.cost).sum::<Nanos>();
            let periods = self.jobs.iter().filter_map(|job| job.slots.map(|slots| slots.period()));
            let shortest = periods.chain(self.shortest).min();
            let half = shortest.map_or(round, |period| Nanos::new(Nanos::from(period).get() / 2));
            self.shares.bound(round.min(half), half);
        }
    }

    fn release(&mut self, now: Micros) {
        while self.timers.peek().is_some_and(|(due, _)| due <= now) {
            let Some((_, at)) = self.timers.pop() else { return };
            self.make_ready(at);
        }
    }

    fn arm(&mut self, at: usize, due: Micros, deadline: Micros) {
        if let Some(job) = self.jobs.get_mut(at) {
            (job.state, job.due, job.deadline) = (State::Waiting, due, deadline);
            self.timers.put(at, due);
        }
    }

    fn make_ready(&mut self, at: usize) {
        let Some(job) = self.jobs.get_mut(at) else { return };
        job.state = State::Ready;
        if let Some(queue) = self.ready.get_mut(index(job.lane)) {
            queue.put(at, job.deadline);
        }
    }

    fn unqueue(&mut self, at: usize) {
        self.timers.remove(at);
        self.ready.iter_mut().for_each(|queue| queue.remove(at));
    }

    fn waiting(&self) -> Waiting {
        let [write, read, background] =
            LANES.map(|lane| self.ready.get(index(lane)).is_some_and(|queue| !queue.is_empty()));
        Waiting { write, read, background }
    }
}

impl Job {
    fn load(&self) -> Option<Load> {
        self.slots.map(|slots| Load::of(self.cost, slots.period()))
    }
}

fn index(lane: Lane) -> usize {
    match lane {
        Lane::Write => 0,
        Lane::Read => 1,
        Lane::Background => 2,
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
