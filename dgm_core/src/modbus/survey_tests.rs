//! Orders against a device, and beside the polls and setpoints of a line.
#![allow(clippy::unwrap_used)]
use super::super::device::{DeviceConfig, Role};
use super::super::devices::Devices;
use super::super::fake_device::FakeDevice;
use super::super::layout::{decode, Value};
use super::super::line::Roster;
use super::super::number::Raw;
use super::super::pdu::Reply;
use super::super::point::wire;
use super::super::session::{Jitter, Session, SessionConfig, Transport};
use super::*;

fn ms(value: i64) -> Micros {
    Micros::from_millis(value)
}

fn order(model: u16) -> SurveyOrder {
    let (timeout, deadline) = (ms(500), ms(10_000));
    SurveyOrder { ticket: 7, unit: 1, model, occurrence: 0, registers_max: READ_MAX, timeout, deadline }
}

/// A PV inverter with a volt-var curve (705) of two sets of three points.
fn inverter() -> FakeDevice {
    let length = 15 + 2 * (9 + 2 * 3);
    let mut device = FakeDevice::new(&[(1, 66), (701, 153), (705, length), (704, 65)]);
    device.set(705, 2, &[1, 1, 2, 3, 2]);
    device.set(705, 16, &[0]);
    device
}

fn end<T>(result: &Result<Reply, Failure>, take: impl FnOnce(&Completion<'_>) -> T) -> T {
    let bytes = match result {
        Ok(Reply::Registers(words)) => wire(words),
        _ => Vec::new(),
    };
    let result = match result {
        Ok(Reply::Registers(_)) => Ok(ReplyView::Registers(RegisterBytes::new(&bytes).unwrap())),
        Ok(_) => Ok(ReplyView::Written),
        Err(failure) => Err(*failure),
    };
    take(&Completion { token: TOKEN, result, sent_at: Micros::ZERO })
}

/// Carries the orders out; the spans that were read.
fn run(surveys: &mut Surveys, device: &mut FakeDevice) -> Vec<Span> {
    let mut spans = Vec::new();
    while let Some(ask) = surveys.next(ms(1)) {
        let Request::Read { span, .. } = ask.request else { panic!("{ask:?}") };
        spans.push(span);
        assert!(end(&device.answer(&ask.request), |completion| surveys.complete(completion, ms(1))));
    }
    spans
}

fn one(order: SurveyOrder, device: &mut FakeDevice) -> Result<Surveyed, SurveyFailure> {
    let mut surveys = Surveys::default();
    surveys.put(order, Vec::new());
    run(&mut surveys, device);
    let (ticket, result) = surveys.done.pop().unwrap();
    assert_eq!((ticket, surveys.done.len()), (7, 0));
    result.map_err(|(why, _)| why)
}

#[test]
fn a_curve_is_read_whole_with_all_its_groups() {
    let found = one(order(705), &mut inverter()).unwrap();
    assert_eq!(found.models.iter().map(|model| model.id).collect::<Vec<_>>(), [1, 701, 705, 704]);
    let model = found.models[2];
    assert_eq!(found.registers.len(), 2 * usize::from(model.length + 2));
    let decoded = decode(&tables::find(705).unwrap(), RegisterBytes::new(&found.registers).unwrap());
    let point = |name: &str| decoded.items.iter().find(|item| item.name == name).unwrap().value.clone();
    assert_eq!(point("NPt"), Some(Value::Number(Raw::Integer(3))));
}

#[test]
fn a_slow_line_reads_it_in_short_pieces_that_end_where_points_end() {
    let mut surveys = Surveys::default();
    surveys.put(SurveyOrder { registers_max: 32, ..order(701) }, Vec::new());
    let spans = run(&mut surveys, &mut inverter());
    assert!(spans.iter().all(|span| span.count <= 32), "{spans:?}");
    let (_, result) = surveys.done.pop().unwrap();
    assert_eq!(result.unwrap().registers.len(), 2 * 155);
}

#[test]
fn the_chain_alone_can_be_asked_for() {
    let found = one(order(0), &mut inverter()).unwrap();
    assert_eq!((found.models.len(), found.registers.len()), (4, 0));
}

#[test]
fn what_is_not_there_is_said_by_its_cause() {
    assert_eq!(one(order(713), &mut inverter()), Err(SurveyFailure::NoModel));
    assert_eq!(one(SurveyOrder { occurrence: 1, ..order(701) }, &mut inverter()), Err(SurveyFailure::NoModel));
    let mut blank = FakeDevice::new(&[]);
    blank.set_at(40_000, &[0, 0]);
    assert_eq!(one(order(701), &mut blank), Err(SurveyFailure::NoMap));
    let mut gone = inverter();
    gone.fail_next = Some(Failure::Disconnected);
    assert_eq!(one(order(701), &mut gone), Err(SurveyFailure::Disconnected));
}

#[test]
fn one_lost_answer_is_borne_and_two_are_silence() {
    let mut device = inverter();
    device.fail_next = Some(Failure::TimedOut);
    assert!(one(order(704), &mut device).is_ok());
    let mut surveys = Surveys::default();
    surveys.put(order(704), Vec::new());
    while let Some(ask) = surveys.next(ms(1)) {
        assert_eq!(ask.token, TOKEN);
        end(&Err(Failure::TimedOut), |completion| surveys.complete(completion, ms(1)));
    }
    assert_eq!(surveys.done, [(7, Err((SurveyFailure::Silent, Surveyed::default())))]);
}

#[test]
fn orders_are_bounded_expire_and_end_with_the_connection() {
    let mut surveys = Surveys::default();
    (0..=ORDERS_MAX).for_each(|_| surveys.put(order(704), Vec::new()));
    assert_eq!(surveys.done, [(7, Err((SurveyFailure::Queue, Surveyed::default())))]);
    assert_eq!(surveys.expiry(), Some(ms(10_000)));
    surveys.expire(ms(9_999));
    assert_eq!(surveys.done.len(), 1);
    surveys.put(order(704), Vec::new());
    surveys.expire(ms(10_000));
    assert_eq!(surveys.done.len(), 2 + ORDERS_MAX);
    assert_eq!((surveys.wake_time(), surveys.expiry()), (None, None));
    surveys.put(order(704), Vec::new());
    surveys.lose();
    assert_eq!(surveys.done.last(), Some(&(7, Err((SurveyFailure::Disconnected, Surveyed::default())))));
}

#[test]
fn an_order_waits_for_the_polls_that_are_due_and_disturbs_none() {
    let config = DeviceConfig {
        unit: 1,
        role: Role::Meter,
        period: ms(100),
        timeout: ms(300),
        write_latency: ms(300),
        table: None,
    };
    let mut devices = Devices::new(&[config], Transport::Tcp { window_max: 1 }, Micros::ZERO);
    let session = Session::new(SessionConfig::default(), Jitter::new(1));
    let mut device = FakeDevice::meter();
    let mut step = |devices: &mut Devices, now: Micros| {
        let ask = devices.next(&session, false, now)?;
        let (token, answer) = (ask.token, device.answer(&ask.request));
        end(&answer, |completion| devices.complete(&Completion { token, sent_at: now, ..*completion }, now));
        Some(token)
    };
    while devices.counters().devices_serving == 0 {
        step(&mut devices, ms(0)).unwrap();
    }
    devices.surveys().put(order(203), Vec::new());
    assert_ne!(step(&mut devices, ms(0)), Some(TOKEN), "the poll that is due");
    let mut tokens = Vec::new();
    for now in 1..99 {
        tokens.extend(step(&mut devices, ms(now)));
    }
    assert!(!tokens.is_empty() && tokens.iter().all(|token| *token == TOKEN));
    assert!(devices.surveys().done[0].1.is_ok());
    assert_ne!(step(&mut devices, ms(100)), Some(TOKEN));
    assert_eq!(devices.counters().polls_missed, 0);
}
