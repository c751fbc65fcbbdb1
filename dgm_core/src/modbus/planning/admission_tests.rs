use super::super::cost::SerialSpeed;
use super::super::schedule::{JobId, Lane};
use super::super::virtual_line::VirtualLine;
use super::*;
use crate::modbus::pdu::{Span, Table};
use proptest::prelude::*;
use std::num::NonZeroU32;

const fn ms(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

fn serial(baud: u32) -> LineCost {
    let baud = NonZeroU32::new(baud).unwrap_or(NonZeroU32::MIN);
    LineCost::serial(SerialSpeed { baud, bits_per_character: 11 }, Micros::ZERO)
}

fn need(start: u16, count: u16, period: Micros) -> Need {
    Need { table: Table::Holding, span: Span { start, count }, group: None, period, deadline: period }
}

/// A meter with thirty points of two registers.
fn meter(period: Micros) -> DeviceQuestion {
    let needs = (0..30).map(|at| need(at * 2, 2, period)).collect();
    DeviceQuestion { needs, registers_max: 125, setpoints: Vec::new(), ..DeviceQuestion::default() }
}

fn battery(period: Micros) -> DeviceQuestion {
    let setpoint = SetpointCycle { writes: vec![6], proofs: vec![6], interval: period };
    DeviceQuestion { setpoints: vec![setpoint], ..meter(period) }
}

fn line(cost: LineCost, devices: Vec<DeviceQuestion>) -> LineQuestion {
    LineQuestion { cost, write_latency: ms(50), devices }
}

#[test]
fn a_line_with_room_is_proved() {
    let answer = examine(&line(LineCost::tcp(ms(5)), vec![meter(ms(100)), battery(ms(200))]));
    assert_eq!((answer.overrun, answer.stretch), (None, None));
    assert!(answer.holds(ms(50)), "{answer:?}");
    assert_eq!(answer.reads.len(), 2);
    // 5 ms of every 100; 15 ms of every 200; and the registers.
    assert_eq!(answer.load.permille(), Permille::new(126));
}

#[test]
fn too_many_meters_on_a_serial_line_are_told_with_the_rate_that_works() {
    // One read of 60 registers takes 160 ms.
    let meters = |period| vec![meter(period); 10];
    let answer = examine(&line(serial(9_600), meters(ms(1_000))));
    assert!(matches!(answer.overrun, Some(Overrun::Overloaded { over }) if over.get() > 600), "{answer:?}");
    let stretch = answer.stretch.map(Permille::get).unwrap_or_default();
    let period = ms(1_000 * stretch / 1000 + 1);
    assert!(examine(&line(serial(9_600), meters(period))).holds(ms(50)), "{stretch}");
    assert!(!examine(&line(serial(9_600), meters(ms(1_000 * (stretch - 5) / 1000)))).holds(ms(50)));
    assert_eq!(answer.write_wait, None);
}

#[test]
fn reads_are_cut_so_that_a_setpoint_waits_no_longer_than_declared() {
    let answer = examine(&line(serial(19_200), vec![battery(ms(2_000)), meter(ms(2_000))]));
    assert!(answer.holds(ms(50)), "{answer:?}");
    assert!(answer.reads.iter().all(|(_, read, _)| read.span.count <= 33));
    assert!(answer.write_wait.is_some_and(|wait| wait <= ms(50)));
}

#[test]
fn a_setpoint_that_waits_for_the_setpoints_of_others_is_told() {
    // A write of six registers takes 20 ms at 19,200 baud.
    let answer = examine(&line(serial(19_200), vec![battery(ms(5_000)); 4]));
    assert_eq!(answer.overrun, None);
    assert!(answer.write_wait.is_some_and(|wait| wait > ms(60)));
    assert!(!answer.holds(ms(50)) && answer.holds(ms(150)), "{:?}", answer.write_wait);
}

#[test]
fn a_point_that_blocks_the_line_by_itself_shows_in_the_wait() {
    let long = DeviceQuestion { needs: vec![need(100, 60, ms(2_000))], ..battery(ms(2_000)) };
    let answer = examine(&line(serial(19_200), vec![long]));
    assert!(matches!(answer.shortcomings.as_slice(), [(0, 0, Shortcoming::Blocks { .. })]));
    assert!(!answer.holds(ms(50)) && answer.holds(ms(90)), "{:?}", answer.write_wait);
}

#[test]
fn a_need_that_no_read_can_bring_fails_the_line() {
    let long = DeviceQuestion {
        needs: vec![need(0, 60, ms(1_000))],
        registers_max: 40,
        setpoints: Vec::new(),
        ..DeviceQuestion::default()
    };
    assert!(!examine(&line(LineCost::tcp(ms(5)), vec![long])).holds(ms(50)));
}

#[test]
fn an_empty_line_holds() {
    let answer = examine(&line(serial(9_600), vec![]));
    assert!(answer.holds(ms(0)) && answer.load == Load::ZERO);
}

/// What is asked of one device: points of two registers, their period and the interval of its setpoints.
fn any_device() -> impl Strategy<Value = DeviceQuestion> {
    let period = prop::sample::select(vec![200i64, 500, 1_000, 2_000]);
    let setpoint = prop::option::of((1u16..10, 1u16..10));
    (1u16..50, 2u16..8, period, setpoint).prop_map(|(points, apart, period, setpoint)| DeviceQuestion {
        needs: (0..points).map(|at| need(at * apart, 2, ms(period))).collect(),
        registers_max: 125,
        setpoints: Vec::from_iter(setpoint.map(|(write, proof)| SetpointCycle {
            writes: vec![write],
            proofs: vec![proof],
            interval: ms(period),
        })),
        ..DeviceQuestion::default()
    })
}

/// The line as it would run: every read at its period, every setpoint and its proof at its interval.
fn run(question: &LineQuestion, answer: &LineAnswer, phases: &[i64]) -> (VirtualLine, Vec<JobId>) {
    let mut line = VirtualLine::new();
    for (_, read, cost) in &answer.reads {
        line.read(read.period, read.deadline, cost.to_micros());
    }
    let cycles = question.devices.iter().flat_map(|device| &device.setpoints);
    let mut writes = Vec::new();
    for (cycle, phase) in cycles.zip(phases.iter().cycle()) {
        let first = ms(*phase);
        let cost = question.cost.write(cycle.writes[0]).to_micros();
        writes.push(line.source(Lane::Write, first, cycle.interval, question.write_latency, cost));
        let proof = question.cost.read(cycle.proofs[0]).to_micros();
        line.source(Lane::Read, first + cost, cycle.interval, cycle.interval, proof);
    }
    line.run(ms(10_000));
    (line, writes)
}

proptest! {
    #[test]
    fn what_is_admitted_runs_without_a_miss_and_no_setpoint_waits_longer_than_proved(
        devices in prop::collection::vec(any_device(), 1..6),
        baud in prop::sample::select(vec![9_600u32, 19_200, 57_600, 115_200]),
        phases in prop::collection::vec(0i64..700, 6),
    ) {
        let question = LineQuestion { cost: serial(baud), write_latency: ms(250), devices };
        let answer = examine(&question);
        prop_assume!(answer.overrun.is_none());
        let (line, writes) = run(&question, &answer, &phases);
        for entry in line.diary.iter().filter(|entry| entry.turn.lane == Lane::Read) {
            // Costs are rounded up to whole microseconds: a transaction may be that much late.
            prop_assert!(entry.done <= entry.turn.deadline + ms(1), "{:?}", entry);
            prop_assert_eq!(entry.turn.missed, 0);
        }
        for write in writes {
            let waits = line.of(write).iter().map(|entry| entry.sent - entry.turn.due).max();
            prop_assert!(waits.unwrap_or_default() <= answer.write_wait.unwrap_or_default() + ms(1));
        }
    }
}
