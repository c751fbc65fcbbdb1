//! The rules of the safety page as properties: whatever happens in whatever order, they hold after every tick.
//!
//! `Books` is an independent, unbounded account of what may be installed in each EVSE; the Arbiter may count more, never
//! less.

use proptest::prelude::*;

use super::super::*;
use super::rig::*;
use crate::site::PlugState;
use crate::units::CircuitIndex;

#[derive(Clone, Debug)]
enum Event {
    Tick(i64),
    Bound { quantity: usize, circuit: usize, bound: i64, ttl: Option<i64>, failsafe: Option<i64>, ends: bool },
    NoLimits,
    Want { evse: usize, amps: i64 },
    Outcome { evse: usize, state: OutcomeState, back: i64 },
    ProveAll,
    Sample { evse: usize, plug: PlugState, amps: i64, age: i64 },
    Read { meter: i64, pv: i64, battery: i64, soc: i64 },
    MeterFails,
    BatteryWants(i64),
    Link(bool),
    Control { asset: AssetIndex, is_controlled: bool },
}

const QUANTITIES: [Quantity; 7] = [
    Quantity::NetImport,
    Quantity::NetExport,
    Quantity::GrossLoad,
    Quantity::GrossGeneration,
    Quantity::DerOutput,
    Quantity::StorageCharge,
    Quantity::Current,
];

fn bounds() -> impl Strategy<Value = Event> {
    let lease = (proptest::option::of(0_i64..8_000), proptest::option::of(0_i64..90_000), any::<bool>());
    (0..QUANTITIES.len(), 0_usize..2, 0_i64..90_000, lease).prop_map(
        |(quantity, circuit, bound, (ttl, failsafe, ends))| Event::Bound {
            quantity,
            circuit,
            bound,
            ttl,
            failsafe,
            ends,
        },
    )
}

fn outcomes() -> impl Strategy<Value = Event> {
    let state = prop_oneof![
        6 => Just(OutcomeState::Confirmed),
        2 => Just(OutcomeState::Measured),
        1 => Just(OutcomeState::Accepted),
        1 => Just(OutcomeState::Rejected),
        1 => Just(OutcomeState::TimedOut),
        1 => Just(OutcomeState::Wiped),
    ];
    (0..EVSES, state, 0_i64..3).prop_map(|(evse, state, back)| Event::Outcome { evse, state, back })
}

fn samples() -> impl Strategy<Value = Event> {
    let plug = prop_oneof![
        6 => Just(PlugState::Charging),
        1 => Just(PlugState::Available),
        1 => Just(PlugState::Offline),
    ];
    (0..EVSES, plug, 0_i64..34, 0_i64..3_000).prop_map(|(evse, plug, amps, age)| Event::Sample {
        evse,
        plug,
        amps,
        age,
    })
}

fn reads() -> impl Strategy<Value = Event> {
    (-30_000_i64..70_000, 0_i64..30_000, -20_000_i64..15_000, 150_i64..950)
        .prop_map(|(meter, pv, battery, soc)| Event::Read { meter, pv, battery, soc })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = prop_oneof![
        8 => prop_oneof![Just(100_i64), Just(1_000), 1_i64..8_000].prop_map(Event::Tick),
        2 => bounds(),
        1 => Just(Event::NoLimits),
        3 => (0..EVSES, 0_i64..40).prop_map(|(evse, amps)| Event::Want { evse, amps }),
        4 => outcomes(),
        4 => Just(Event::ProveAll),
        3 => samples(),
        6 => reads(),
        1 => Just(Event::MeterFails),
        1 => (-25_000_i64..25_000).prop_map(Event::BatteryWants),
        1 => any::<bool>().prop_map(Event::Link),
        1 => (prop_oneof![Just(PV), Just(BATTERY)], any::<bool>())
            .prop_map(|(asset, is_controlled)| Event::Control { asset, is_controlled }),
    ];
    proptest::collection::vec(one, 1..60)
}

/// What may be installed in one EVSE, remembered without a bound.
#[derive(Clone, Default)]
struct Book {
    proved: Option<i64>,
    proved_sequence: i64,
    sent: Vec<(i64, i64)>,
    measured: i64,
}

impl Book {
    fn least(&self) -> i64 {
        let sent = self.sent.iter().map(|(_, value)| *value).max().unwrap_or(0);
        self.proved.unwrap_or(32_000).max(sent).max(self.measured)
    }

    fn prove(&mut self, sequence: i64, value: i64) {
        if sequence >= self.proved_sequence {
            (self.proved, self.proved_sequence) = (Some(value), sequence);
            self.sent.retain(|(sent, _)| *sent > sequence);
        }
    }
}

/// Limits as they were put, judged by the clock alone.
#[derive(Clone)]
struct Lease {
    limit: ActiveLimit,
    received: i64,
}

impl Lease {
    fn bound(&self, now: i64) -> Option<i64> {
        match self.limit.ttl {
            Some(ttl) if now - self.received >= ttl.get() && self.limit.ends_by_rule => None,
            Some(ttl) if now - self.received >= ttl.get() => Some(self.limit.failsafe.unwrap_or(self.limit.bound)),
            _ => Some(self.limit.bound),
        }
    }
}

#[derive(Clone)]
struct World {
    rig: Rig,
    books: Vec<Book>,
    leases: Vec<Lease>,
    meter_at: i64,
}

impl World {
    fn new() -> Self {
        Self { rig: Rig::new(), books: vec![Book::default(); EVSES], leases: Vec::new(), meter_at: i64::MIN / 2 }
    }

    fn take(&mut self, event: &Event) {
        match event.clone() {
            Event::Tick(passed) => self.tick(passed),
            Event::Bound { quantity, circuit, bound, ttl, failsafe, ends } => {
                let limit = self.rig.limit(QUANTITIES[quantity], CircuitIndex(circuit), bound);
                let (ttl, ends_by_rule) = (ttl.map(ms), ends);
                let id = Arc::from(format!("limit{quantity}{circuit}"));
                self.put(ActiveLimit { id, ttl, failsafe, ends_by_rule, ..limit });
            }
            Event::NoLimits => {
                self.leases.clear();
                self.rig.put_limits(Vec::new());
            }
            Event::Want { evse, amps } => self.rig.want(evse, amps),
            Event::Outcome { evse, state, back } => self.outcome(evse, state, back),
            Event::ProveAll => (0..EVSES).for_each(|evse| self.outcome(evse, OutcomeState::Confirmed, 0)),
            Event::Sample { evse, plug, amps, age } => self.sample(evse, plug, amps, age),
            Event::Read { meter, pv, battery, soc } => {
                self.meter_at = self.rig.now;
                self.rig.now += 1;
                self.rig.read(meter, pv, battery, soc);
            }
            Event::MeterFails => {
                self.rig.arbiter.put_reading(METER, Reading { quality: Quality::Failed, ..Reading::NEVER });
            }
            Event::BatteryWants(watts) => self.rig.want_w(BATTERY, watts),
            Event::Link(up) => self.rig.arbiter.put_link(up, ms(self.rig.now)),
            Event::Control { asset, is_controlled } => {
                self.rig.arbiter.put_control(asset, is_controlled, ms(self.rig.now)).unwrap();
            }
        }
    }

    fn put(&mut self, limit: ActiveLimit) {
        self.leases.retain(|lease| lease.limit.id != limit.id);
        self.leases.push(Lease { limit, received: self.rig.now });
        let restart = |lease: &Lease| {
            let passed = self.rig.now - lease.received;
            ActiveLimit { ttl: lease.limit.ttl.map(|ttl| ms((ttl.get() - passed).max(0))), ..lease.limit.clone() }
        };
        let limits = self.leases.iter().map(restart).collect();
        self.rig.put_limits(limits);
    }

    /// An outcome of the newest setpoint or of one `back` before it, with the value that was sent.
    fn outcome(&mut self, index: usize, state: OutcomeState, back: i64) {
        let book = &mut self.books[index];
        let Some(&(sequence, value)) = book.sent.iter().rev().nth(usize::try_from(back).unwrap()).or(book.sent.last())
        else {
            if state == OutcomeState::Wiped {
                book.proved = None;
                self.rig.outcome(index, state);
            }
            return;
        };
        match state {
            OutcomeState::Confirmed | OutcomeState::Measured => book.prove(sequence, value),
            OutcomeState::Wiped => book.proved = None,
            _ => {}
        }
        let value = Some(Milliamps::new(value));
        let outcome = Outcome { asset: evse(index), sequence, state, value, fallback: None };
        self.rig.arbiter.put_outcomes(&[outcome], ms(self.rig.now)).unwrap();
    }

    fn sample(&mut self, index: usize, plug: PlugState, amps: i64, age: i64) {
        let held = self.rig.arbiter.image().reading(evse(index)).clone();
        self.rig.sample(index, plug, amps, age);
        if held.quality == Quality::Never || held.measured_at <= ms(self.rig.now - age) {
            self.books[index].measured = amps * 1_000;
        }
    }

    fn tick(&mut self, passed: i64) {
        self.rig.tick(passed);
        for (index, book) in self.books.iter_mut().enumerate() {
            let grant = &self.rig.arbiter.grants()[evse(index).0];
            if grant.published {
                book.sent.push((grant.sequence, granted(grant)));
            }
        }
    }

    /// Checks everything that must hold after a tick; `before` are the grants of the tick before.
    fn check(&self, before: &[i64]) -> Result<(), TestCaseError> {
        self.check_grants()?;
        self.check_bounds()?;
        for row in 0..self.rig.arbiter.decision().rows.len() {
            self.check_row(row, before)?;
        }
        self.check_uncontrolled()?;
        self.check_charge()?;
        self.check_lost_meter()
    }

    /// On its step between its minimum and maximum or 0, and counted at no less than may be installed.
    fn check_grants(&self) -> Result<(), TestCaseError> {
        for (index, book) in self.books.iter().enumerate() {
            let grant = &self.rig.arbiter.grants()[evse(index).0];
            let value = granted(grant);
            prop_assert!(value == 0 || ((6_000..=32_000).contains(&value) && value % 1_000 == 0), "{}", value);
            prop_assert!(grant.counted.get() >= book.least(), "{} counts at {:?}", index, grant);
        }
        Ok(())
    }

    /// Every bound is the least of what was put and has not ended; what ended is not in force, what was LOST is.
    fn check_bounds(&self) -> Result<(), TestCaseError> {
        for row in &self.rig.arbiter.decision().rows {
            let spec = &self.rig.arbiter.site().circuit(row.circuit).spec;
            let configured = match row.quantity {
                Quantity::NetImport => spec.import_limit.map(|limit| limit.get()),
                Quantity::NetExport => spec.export_limit.map(|limit| limit.get()),
                Quantity::Current => spec.current_limit.map(|limit| limit.get()),
                Quantity::GrossLoad | Quantity::GrossGeneration | Quantity::DerOutput | Quantity::StorageCharge => None,
            };
            let is_here = |lease: &&Lease| {
                lease.limit.scope == Scope::Circuit(row.circuit) && lease.limit.quantity == row.quantity
            };
            let put = self.leases.iter().filter(is_here).filter_map(|lease| lease.bound(self.rig.now));
            prop_assert_eq!(Some(row.bound), put.chain(configured).min(), "{:?}", row);
        }
        Ok(())
    }

    fn check_row(&self, index: usize, before: &[i64]) -> Result<(), TestCaseError> {
        let arbiter = &self.rig.arbiter;
        let row = &arbiter.decision().rows[index];
        let entries: Vec<_> = arbiter.bounds.matrix.row(index).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let volts = if row.phase.is_some() { 1_000_000 } else { 230_000 };
        let as_row = |sum: i64| (sum * volts + 999_999) / 1_000_000;
        let sum =
            |value: &dyn Fn(usize) -> i64| as_row(entries.iter().map(|(column, times)| times * value(*column)).sum());
        let columns = &arbiter.columns;
        let settled = sum(&|column| {
            let seat = &columns[column].seat;
            let counted =
                columns[column].account.count(&arbiter.layout.columns[column], arbiter.is_link_up, ms(self.rig.now));
            counted.settled(seat.granted)
        });
        let counted = sum(&|column| arbiter.grants()[evse(column).0].counted.get());
        prop_assert_eq!(counted, row.evse_counted);
        let room = row.bound - row.uncontrolled + row.help;
        let is_zero = entries.iter().all(|(column, _)| columns[*column].seat.granted == 0);
        prop_assert!(settled <= room || (is_zero && row.shortfall > 0), "settled {} room {} {:?}", settled, room, row);
        prop_assert!(row.shortfall == 0 || is_zero, "{:?}", row);
        let is_raised = entries.iter().any(|(column, _)| columns[*column].seat.granted > before[*column]);
        prop_assert!(!is_raised || counted <= room, "raised into {} with {} counted: {:?}", room, counted, row);
        Ok(())
    }

    /// A battery that nobody controls gets nothing to do, helps nobody and counts where it is a load.
    fn check_uncontrolled(&self) -> Result<(), TestCaseError> {
        let arbiter = &self.rig.arbiter;
        if arbiter.is_controlled(BATTERY) {
            return Ok(());
        }
        prop_assert_eq!(self.rig.power(BATTERY), 0);
        for row in arbiter.decision().rows.iter().filter(|row| row.circuit == SITE) {
            match row.quantity {
                Quantity::NetImport => prop_assert!(row.help <= 30_000, "the sun alone: {:?}", row),
                Quantity::GrossLoad => prop_assert_eq!(row.uncontrolled, 15_000),
                Quantity::Current
                | Quantity::NetExport
                | Quantity::GrossGeneration
                | Quantity::DerOutput
                | Quantity::StorageCharge => {}
            }
        }
        Ok(())
    }

    /// The battery is never told to charge with more than a bound on charging, and what it may do unasked is said.
    fn check_charge(&self) -> Result<(), TestCaseError> {
        let arbiter = &self.rig.arbiter;
        let rows = arbiter.decision().rows.iter().filter(|row| row.circuit == SITE);
        for row in rows.filter(|row| row.quantity == Quantity::StorageCharge) {
            prop_assert!(self.rig.power(BATTERY) <= row.bound, "{} {:?}", self.rig.power(BATTERY), row);
            let most = if arbiter.is_controlled(BATTERY) { 0 } else { 15_000 };
            prop_assert!(row.shortfall >= most - row.bound, "{:?}", row);
        }
        Ok(())
    }

    fn check_lost_meter(&self) -> Result<(), TestCaseError> {
        let arbiter = &self.rig.arbiter;
        let Some(row) =
            arbiter.decision().rows.iter().find(|row| row.circuit == SITE && row.quantity == Quantity::NetImport)
        else {
            return Ok(());
        };
        prop_assert!(self.rig.now - self.meter_at <= 2_001 || row.meter_lost);
        if row.meter_lost {
            prop_assert_eq!(self.rig.power(BATTERY), 0);
            prop_assert!(row.help == 0 && row.uncontrolled >= 20_000);
        }
        Ok(())
    }

    fn granted(&self) -> Vec<i64> {
        self.rig.arbiter.columns.iter().map(|state| state.seat.granted).collect()
    }

    /// What everything below a circuit is granted and counts at, mA x conductors.
    fn totals(&self, circuit: CircuitIndex) -> (i64, i64) {
        let arbiter = &self.rig.arbiter;
        let columns = arbiter.layout.below[circuit.0].columns.iter();
        columns.fold((0, 0), |(granted, counted), column| {
            let conductors = arbiter.layout.columns[*column].evse.phases.conductors();
            let count = arbiter.grants()[evse(*column).0].counted.get();
            (granted + conductors * arbiter.columns[*column].seat.granted, counted + conductors * count)
        })
    }
}

fn granted(grant: &Grant) -> i64 {
    match grant.value {
        GrantValue::Current(current) => current.get(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_row_holds_or_everything_under_it_is_at_nothing_and_says_so(events in events()) {
        let mut world = World::new();
        for event in &events {
            let before = world.granted();
            world.take(event);
            if matches!(event, Event::Tick(_)) {
                world.check(&before)?;
            }
        }
    }

    #[test]
    fn tightening_a_row_never_raises_what_is_granted_or_counted_under_it(
        events in events(),
        quantity in prop_oneof![Just(Quantity::NetImport), Just(Quantity::Current), Just(Quantity::GrossLoad)],
        circuit in 0_usize..2,
        share in 0_i64..1_000,
        passed in 0_i64..2_000,
    ) {
        let mut world = World::new();
        events.iter().for_each(|event| world.take(event));
        world.tick(100);
        let circuit = CircuitIndex(circuit);
        let rows = &world.rig.arbiter.decision().rows;
        let held = rows.iter().find(|row| row.circuit == circuit && row.quantity == quantity).map_or(90_000, |row| row.bound);
        let (granted, counted) = world.totals(circuit);
        let limit = ActiveLimit { id: Arc::from("tight"), ..world.rig.limit(quantity, circuit, held * share / 1_000) };
        world.put(limit);
        world.tick(passed);
        let (tight_granted, tight_counted) = world.totals(circuit);
        prop_assert!(tight_counted <= counted, "counted {} > {}", tight_counted, counted);
        prop_assert!(tight_granted <= granted, "granted {} > {}", tight_granted, granted);
    }

    #[test]
    fn as_readings_age_nothing_that_is_granted_or_counted_rises(
        events in events(),
        bound in 10_000_i64..90_000,
        meter in -20_000_i64..50_000,
        passed in 1_i64..3_000,
    ) {
        let mut world = World::new();
        events.iter().for_each(|event| world.take(event));
        world.leases.clear();
        let limit = world.rig.limit(Quantity::NetImport, SITE, bound);
        world.put(limit);
        for _ in 0..200 {
            world.rig.now += 1_000;
            world.rig.read(meter, 5_000, -3_000, 600);
            world.tick(0);
            world.take(&Event::ProveAll);
        }
        let mut before = world.totals(SITE);
        for _ in 0..30 {
            world.tick(passed);
            let after = world.totals(SITE);
            prop_assert!(after.0 <= before.0 && after.1 <= before.1, "{:?} after {:?}", after, before);
            before = after;
        }
    }
}
