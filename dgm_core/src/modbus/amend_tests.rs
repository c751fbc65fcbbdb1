//! Settings changed on a device that takes its time, refuses, or shows something else.
#![allow(clippy::unwrap_used)]
use super::super::fake_device::FakeDevice;
use super::super::pdu::{Exception, Reply, ReplyView, Request, READ_MAX};
use super::super::point::wire;
use super::super::session::{Completion, Failure};
use super::super::survey::{SurveyFailure, SurveyOrder, Surveyed, Surveys, TOKEN};
use super::*;

const DEADLINE: Micros = Micros::from_millis(5_000);

fn point(path: &str, raw: i64) -> PointValue {
    PointValue { path: path.to_owned(), raw }
}

fn step(writes: &[(&str, i64)], expected: &[(&str, i64)]) -> AmendStep {
    let values = |pairs: &[(&str, i64)]| pairs.iter().map(|(path, raw)| point(path, *raw)).collect();
    AmendStep { writes: values(writes), expected: values(expected) }
}

/// A volt-var model of two curves of three points; the first cannot be written.
fn inverter() -> FakeDevice {
    let mut device = FakeDevice::new(&[(1, 66), (705, 15 + 2 * (9 + 2 * 3)), (704, 65)]);
    device.set(705, 2, &[1, 0, 1, 3, 2]);
    device
}

/// Carries an order out; `meddle` sees every request before it is answered.
fn amend(
    device: &mut FakeDevice,
    model: u16,
    steps: Vec<AmendStep>,
    mut meddle: impl FnMut(&mut FakeDevice, &Request),
) -> Result<Surveyed, (SurveyFailure, Surveyed)> {
    let timeout = Micros::from_millis(500);
    let order =
        SurveyOrder { ticket: 1, unit: 1, model, occurrence: 0, registers_max: READ_MAX, timeout, deadline: DEADLINE };
    let mut surveys = Surveys::default();
    surveys.put(order, steps);
    let mut now = Micros::ZERO;
    while let Some(at) = surveys.wake_time() {
        now = now.max(at);
        let ask = surveys.next(now).unwrap();
        meddle(device, &ask.request);
        let answer = device.answer(&ask.request);
        let bytes = if let Ok(Reply::Registers(words)) = &answer { wire(words) } else { Vec::new() };
        let result = match answer {
            Ok(Reply::Registers(_)) => Ok(ReplyView::Registers(RegisterBytes::new(&bytes).unwrap())),
            Ok(_) => Ok(ReplyView::Written),
            Err(failure) => Err(failure),
        };
        assert!(surveys.complete(&Completion { token: TOKEN, result, sent_at: now }, now));
    }
    surveys.done.pop().unwrap().1
}

#[test]
fn points_are_written_by_path_as_blocks_and_read_back() {
    let mut device = inverter();
    let writes = [("Crv[1].ActPt", 2), ("Crv[1].DeptRef", 1), ("Crv[1].Pt[1].V", 1080), ("Crv[1].Pt[1].Var", -4400)];
    let found = amend(&mut device, 705, vec![step(&writes, &[])], |_, _| {}).unwrap();
    let at = device.address(705) + 15 + 16;
    assert_eq!(found.written[0], Write { start: at, words: vec![2, 1] });
    assert_eq!(found.written[1], Write { start: at + 12, words: vec![1080, 0xeed0] });
    assert_ne!(found.before, found.registers);
    assert_eq!(found.before.len(), 2 * (2 + 45));
}

#[test]
fn a_curve_that_is_adopted_at_leisure_is_waited_for_before_the_next_step() {
    let mut device = inverter();
    let steps = vec![step(&[("AdptCrvReq", 2)], &[("AdptCrvRslt", 1)]), step(&[("Ena", 1)], &[])];
    let mut reads = 0;
    let mut adopt = |device: &mut FakeDevice, request: &Request| match request {
        // The device forgets the request at once and tells the result at the third look.
        Request::Read { .. } if device.get(705, 3, 1) == [2] => device.set(705, 3, &[0, 0]),
        Request::Read { .. } if !device.writes.is_empty() => {
            reads += 1;
            if reads == 3 {
                device.set(705, 4, &[1]);
            }
        }
        _ => {}
    };
    amend(&mut device, 705, steps, &mut adopt).unwrap();
    assert_eq!(device.writes.iter().map(|(_, words)| words[0]).collect::<Vec<_>>(), [2, 1]);
    assert!(reads >= 3);
}

#[test]
fn what_does_not_come_about_in_time_ends_the_order_before_the_next_step() {
    let mut device = inverter();
    let steps = vec![step(&[("AdptCrvReq", 2)], &[("AdptCrvRslt", 2)]), step(&[("Ena", 1)], &[])];
    let (why, found) = amend(&mut device, 705, steps, |_, _| {}).unwrap_err();
    assert_eq!((why, found.written.len(), device.writes.len()), (SurveyFailure::Mismatch, 1, 1));
}

#[test]
fn a_value_that_the_registers_cannot_say_is_not_written_and_a_refusal_ends_the_order() {
    let mut device = inverter();
    let why = |result: Result<Surveyed, (SurveyFailure, Surveyed)>| result.unwrap_err().0;
    for (path, raw) in [("Crv[1].Pt[0].V", 70_000), ("Crv[2].ActPt", 1), ("Crv[1].Pt[3].V", 1), ("Nothing", 1)] {
        let steps = vec![step(&[(path, raw)], &[])];
        assert_eq!(why(amend(&mut device, 705, steps, |_, _| {})), SurveyFailure::NoPoint, "{path}");
    }
    let refuse = |device: &mut FakeDevice, request: &Request| {
        if request.is_write() {
            device.fail_next = Some(Failure::Refused(Exception::IllegalValue));
        }
    };
    let refused = why(amend(&mut device, 705, vec![step(&[("Ena", 1)], &[])], refuse));
    assert_eq!(refused, SurveyFailure::Refused(Exception::IllegalValue));
    assert!(device.writes.is_empty());
}

#[test]
fn a_write_that_nobody_answers_ends_the_order_at_once() {
    let mut device = inverter();
    let mute = |device: &mut FakeDevice, request: &Request| {
        if request.is_write() {
            device.fail_next = Some(Failure::TimedOut);
        }
    };
    let steps = vec![step(&[("PFWInj.PF", 950), ("PFWInj.Ext", 1)], &[])];
    assert_eq!(amend(&mut device, 704, steps, mute).unwrap_err().0, SurveyFailure::Silent);
}

#[test]
fn only_what_a_utility_control_may_reach_is_permitted() {
    let permitted =
        [(704, "PFWInj.PF"), (704, "VarSetEna"), (705, "Crv[1].Pt[0].V"), (711, "Ctl[1].DbOf"), (712, "Ena")];
    let refused = [(704, "WMaxLimPct"), (704, "AntiIslEna"), (704, "VarRmp"), (704, "VarSet_SF"), (705, "V_SF")];
    let unknown = [(703, "ES"), (715, "AlarmReset"), (705, "Nothing"), (64_001, "A")];
    assert!(permitted.iter().all(|(model, path)| is_permitted(*model, path)));
    assert!(refused.iter().chain(&unknown).all(|(model, path)| !is_permitted(*model, path)));
}
