//! What the field loop shows to other threads, and what they hand in.
//!
//! ```text
//! field thread ── image, counters (seqlocks), grants and decision (one pointer) ──> any thread
//! any thread ──── Inbox: newest limits, targets and link; batches of samples and outcomes ──> field thread
//! ```
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::audit_board::AuditBoard;
use super::line_troubles::LineTroubles;
use super::lock;
use super::notify::Notifier;
use super::seqlock::Seqlock;
use super::survey_board::SurveyBoard;
use crate::arbiter::Decision;
use crate::field::{Field, Input};
use crate::modbus::learnt::Learnt;
use crate::modbus::occupancy::LineLoad;
use crate::site::{AssetKind, Image, Quality, Reading, Site};
use crate::units::{AssetIndex, Millis};

/// Words of one image row, in the order of the Python columns.
pub const IMAGE_WIDTH: usize = 14;
/// "Not known" in an image row.
pub const ABSENT: i64 = i64::MIN;
/// Batches of samples or outcomes kept for a field loop that does not come to take them.
pub const BATCHES_MAX: usize = 256;

/// Names of the counters, in the order of their words.
pub const COUNTERS: [&str; 24] = [
    "ticks_total",
    "tick_overruns_total",
    "inputs_refused_total",
    "modbus_requests_total",
    "modbus_timeouts_total",
    "modbus_bad_frames_total",
    "modbus_foreign_replies_total",
    "modbus_exceptions_total",
    "modbus_connects_total",
    "modbus_disconnects_total",
    "readings_total",
    "polls_missed_total",
    "writes_total",
    "readbacks_total",
    "readback_mismatch_total",
    "control_refused_total",
    "devices_serving",
    "devices_unusable",
    "devices_controlled",
    "devices_uncontrolled",
    "control_lost_total",
    "lines",
    "tick_duration_us",
    "tick_duration_us_max",
];

/// How long ticks took, us.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickTimes {
    /// The newest.
    pub last_us: i64,
    /// The longest since start.
    pub max_us: i64,
}

/// Shared between the field thread and everybody else.
pub struct Published {
    image: Seqlock,
    counters: Seqlock,
    decision: Mutex<Arc<Decision>>,
    lines: Mutex<Vec<(String, LineLoad)>>,
    max_ages: Vec<Millis>,
    /// Set with every tick.
    pub notifier: Notifier,
    /// What devices did with their setpoints, until somebody takes it.
    pub audit: AuditBoard,
    /// Why lines are not connected.
    pub troubles: LineTroubles,
    /// What was found out of devices, the newest of each asset, until somebody takes it.
    pub learnt: Mutex<BTreeMap<AssetIndex, Option<Learnt>>>,
    /// Models that somebody asks for.
    pub surveys: SurveyBoard,
    /// What is handed in.
    pub inbox: Inbox,
    /// Whether the thread is running.
    pub running: AtomicBool,
}

impl Published {
    /// Nothing seen, nothing decided.
    pub fn new(site: &Site, decision: Decision, notifier: Notifier) -> Self {
        let image = Seqlock::new(site.assets().len() * IMAGE_WIDTH);
        image.write(words(&Image::new(site.assets().len())));
        Self {
            image,
            counters: Seqlock::new(COUNTERS.len()),
            decision: Mutex::new(Arc::new(decision)),
            lines: Mutex::default(),
            max_ages: max_ages(site),
            notifier,
            audit: AuditBoard::default(),
            troubles: LineTroubles::default(),
            learnt: Mutex::default(),
            surveys: SurveyBoard::default(),
            inbox: Inbox::default(),
            running: AtomicBool::new(false),
        }
    }

    /// Shows a tick. Only the field thread calls this.
    pub fn publish(&self, field: &Field, times: TickTimes) {
        self.image.write(words(field.arbiter().image()));
        self.counters.write(counters(field, times));
        let decision = Arc::new(field.arbiter().decision().clone());
        *lock(&self.decision) = decision;
        self.publish_lines(field);
        self.notifier.set();
    }

    fn publish_lines(&self, field: &Field) {
        let mut lines = lock(&self.lines);
        if lines.len() != field.line_loads().len() {
            *lines = field.lines().iter().map(|(endpoint, _)| (endpoint.to_string(), LineLoad::default())).collect();
        }
        for ((_, shown), load) in lines.iter_mut().zip(field.line_loads()) {
            *shown = *load;
        }
    }

    /// Each line with how it stands; nothing before the first tick.
    pub fn lines(&self) -> Vec<(String, LineLoad)> {
        lock(&self.lines).clone()
    }

    /// The newest decision.
    pub fn decision(&self) -> Arc<Decision> {
        Arc::clone(&lock(&self.decision))
    }

    /// What was found out of devices since the last call; `None`: another one than before.
    pub fn take_learnt(&self) -> BTreeMap<AssetIndex, Option<Learnt>> {
        std::mem::take(&mut *lock(&self.learnt))
    }

    /// Copies the newest image, ages and qualities as of now, whoever still writes it; its sequence.
    pub fn read_image(&self, now: Millis, copy: &mut Vec<i64>) -> u64 {
        let sequence = self.image.read(copy);
        for (row, max_age) in copy.chunks_exact_mut(IMAGE_WIDTH).zip(&self.max_ages) {
            if let [quality, age, ..] = row {
                age_row(quality, age, now, *max_age);
            }
        }
        sequence
    }

    /// Counters and gauges by name.
    pub fn read_counters(&self) -> Vec<(&'static str, i64)> {
        let mut copy = Vec::new();
        self.counters.read(&mut copy);
        let own = [
            ("running", i64::from(self.running.load(Ordering::Acquire))),
            ("inputs_dropped_total", lock(&self.inbox.queues).dropped),
        ];
        COUNTERS.into_iter().zip(copy).chain(own).collect()
    }
}

/// The age column holds the time of measurement until it is read; a good value that is too old is stale.
fn age_row(quality: &mut i64, age: &mut i64, now: Millis, max_age: Millis) {
    if *age == ABSENT {
        return;
    }
    let passed = (now - Millis::new(*age)).max(Millis::ZERO);
    *age = passed.get();
    if *quality == Quality::Good.number() && passed > max_age {
        *quality = Quality::Stale.number();
    }
}

fn max_ages(site: &Site) -> Vec<Millis> {
    let timing = site.timing();
    let of_asset = |kind: &AssetKind| match kind {
        AssetKind::Evse(_) => timing.sample_max_age,
        AssetKind::Meter | AssetKind::Load | AssetKind::Pv(_) | AssetKind::Battery(_) => timing.meter_max_age,
    };
    site.assets().iter().map(|asset| of_asset(&asset.spec.kind)).collect()
}

fn words(image: &Image) -> impl Iterator<Item = i64> + '_ {
    image.readings().iter().flat_map(row)
}

fn row(reading: &Reading) -> [i64; IMAGE_WIDTH] {
    let absent = |value: Option<i64>| value.unwrap_or(ABSENT);
    let [i1, i2, i3] = reading.current.map(|value| absent(value.map(|value| value.get())));
    let [v1, v2, v3] = reading.voltage.map(|value| absent(value.map(|value| value.get())));
    let is_seen = reading.quality != Quality::Never;
    [
        reading.quality.number(),
        absent(is_seen.then(|| reading.measured_at.get())),
        absent(reading.power.map(|value| value.get())),
        absent(reading.reactive.map(|value| value.get())),
        i1,
        i2,
        i3,
        v1,
        v2,
        v3,
        absent(reading.frequency_mhz),
        absent(reading.energy.map(|value| value.get())),
        absent(reading.soc.map(|value| value.get())),
        reading.plug.number(),
    ]
}

fn counters(field: &Field, times: TickTimes) -> impl Iterator<Item = i64> {
    let lines = field.line_counters();
    let session = lines.session;
    let counted = [
        field.counters.ticks,
        field.counters.tick_overruns,
        field.counters.inputs_refused,
        session.requests,
        session.timeouts,
        session.bad_frames,
        session.foreign_replies,
        session.exceptions,
        session.connects,
        session.disconnects,
        lines.readings,
        lines.polls_missed,
        lines.writes,
        lines.readbacks,
        lines.readback_mismatch,
        lines.control_refused,
        lines.devices_serving,
        lines.devices_unusable,
        lines.devices_controlled,
        field.counters.devices_uncontrolled,
        field.counters.control_lost,
        u64::try_from(field.lines().len()).unwrap_or(u64::MAX),
    ];
    let counted = counted.into_iter().map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    counted.chain([times.last_us, times.max_us])
}

/// Inputs on their way to the field thread. State (limits, targets, link) is replaced by its newest; batches queue up,
/// and the oldest samples are dropped first.
#[derive(Default)]
pub struct Inbox {
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    limits: Option<(Input, Millis)>,
    targets: Option<(Input, Millis)>,
    link: Option<(Input, Millis)>,
    outcomes: VecDeque<(Input, Millis)>,
    samples: VecDeque<(Input, Millis)>,
    dropped: i64,
}

/// The field thread does not take what is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxFull;

impl Inbox {
    /// Hands an input in, received now. Outcomes are never dropped: a full queue refuses them.
    pub fn put(&self, input: Input, now: Millis) -> Result<(), InboxFull> {
        let mut queues = lock(&self.queues);
        match &input {
            Input::Limits(_) => queues.limits = Some((input, now)),
            Input::Targets(..) => queues.targets = Some((input, now)),
            Input::Link(_) => queues.link = Some((input, now)),
            Input::Outcomes(_) if queues.outcomes.len() >= BATCHES_MAX => return Err(InboxFull),
            Input::Outcomes(_) => queues.outcomes.push_back((input, now)),
            Input::Samples(_) => {
                if queues.samples.len() >= BATCHES_MAX {
                    queues.samples.pop_front();
                    queues.dropped += 1;
                }
                queues.samples.push_back((input, now));
            }
        }
        Ok(())
    }

    /// Everything handed in since the last call: limits first, targets last.
    pub fn take(&self) -> Vec<(Input, Millis)> {
        let mut queues = lock(&self.queues);
        let mut inputs: Vec<_> = queues.limits.take().into_iter().chain(queues.link.take()).collect();
        inputs.extend(queues.outcomes.drain(..));
        inputs.extend(queues.samples.drain(..));
        inputs.extend(queues.targets.take());
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(value: i64) -> Millis {
        Millis::new(value)
    }

    fn limits(sequence: i64) -> Input {
        Input::Limits(crate::arbiter::LimitSet { epoch: 1, sequence, limits: Vec::new() })
    }

    #[test]
    fn the_newest_limits_win_and_come_before_everything_else() {
        let inbox = Inbox::default();
        inbox.put(Input::Targets(Vec::new(), ms(9)), ms(1)).unwrap();
        inbox.put(Input::Samples(Vec::new()), ms(2)).unwrap();
        inbox.put(limits(1), ms(3)).unwrap();
        inbox.put(limits(2), ms(4)).unwrap();
        let taken = inbox.take();
        assert!(matches!(&taken[0], (Input::Limits(set), at) if set.sequence == 2 && *at == ms(4)));
        assert!(matches!(taken[1..], [(Input::Samples(_), _), (Input::Targets(..), _)]));
        assert!(inbox.take().is_empty());
    }

    #[test]
    fn a_field_that_takes_nothing_loses_the_oldest_samples_and_refuses_outcomes() {
        let inbox = Inbox::default();
        for _ in 0..BATCHES_MAX {
            inbox.put(Input::Samples(Vec::new()), ms(0)).unwrap();
            inbox.put(Input::Outcomes(Vec::new()), ms(0)).unwrap();
        }
        inbox.put(Input::Samples(Vec::new()), ms(7)).unwrap();
        assert_eq!(inbox.put(Input::Outcomes(Vec::new()), ms(7)), Err(InboxFull));
        inbox.put(limits(1), ms(7)).unwrap();
        assert_eq!(lock(&inbox.queues).dropped, 1);
        let taken = inbox.take();
        assert_eq!(taken.len(), 2 * BATCHES_MAX + 1);
        assert!(matches!(taken.last(), Some((Input::Samples(_), at)) if *at == ms(7)));
    }

    #[test]
    fn a_good_value_grows_old_whoever_writes_the_image() {
        let good = Quality::Good.number();
        let aged = |quality: i64, age: i64, now: i64| {
            let (mut quality, mut age) = (quality, age);
            age_row(&mut quality, &mut age, ms(now), ms(2_000));
            (quality, age)
        };
        assert_eq!(aged(good, 1_000, 3_000), (good, 2_000));
        assert_eq!(aged(good, 1_000, 3_001), (Quality::Stale.number(), 2_001));
        assert_eq!(aged(Quality::Failed.number(), 1_000, 9_000), (Quality::Failed.number(), 8_000));
        assert_eq!(aged(Quality::Never.number(), ABSENT, 9_000), (Quality::Never.number(), ABSENT));
        assert_eq!(aged(good, 1_000, 900), (good, 0), "never a negative age");
    }
}
