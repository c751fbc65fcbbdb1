//! The setpoint against a device under virtual time.
use proptest::prelude::*;

use super::super::der;
use super::super::fake_device::FakeDevice;
use super::super::pdu::{Exception, RegisterBytes, Reply};
use super::super::point::wire;
use super::*;

pub(in crate::modbus) const AFTER: Micros = Micros::from_millis(30_000);

pub(in crate::modbus) fn ms(value: i64) -> Micros {
    Micros::from_millis(value)
}

const RATING: Watts = Watts::new(100_000);

pub(in crate::modbus) fn control(kind: Kind, device: &FakeDevice, output: i64, after: Micros) -> Control {
    let fallback = Fallback { output: Watts::new(output), after, rating: RATING };
    Control::new(der::actuator(&device.map(), kind).unwrap(), fallback)
}

fn battery() -> (Control, FakeDevice) {
    let device = FakeDevice::battery();
    (control(Kind::Power, &device, 0, AFTER), device)
}

fn pv() -> (Control, FakeDevice) {
    let device = FakeDevice::pv();
    (control(Kind::Cap, &device, 20_000, AFTER), device)
}

/// A setpoint of the first epoch that never ends.
pub(in crate::modbus) fn watts(power: i64) -> Option<Setpoint> {
    Some(Setpoint { power: Watts::new(power), epoch: 1, expires_at: Micros::new(i64::MAX) })
}

fn complete(control: &mut Control, result: &Result<Reply, Failure>, now: Micros) -> Outcome {
    match result {
        Ok(Reply::Registers(words)) => {
            let bytes = wire(words);
            control.complete(&Ok(ReplyView::Registers(RegisterBytes::new(&bytes).unwrap())), now)
        }
        Ok(_) => control.complete(&Ok(ReplyView::Written), now),
        Err(failure) => control.complete(&Err(*failure), now),
    }
}

/// Carries out every transaction wanted at `now`; the outcomes worth telling.
pub(in crate::modbus) fn run(control: &mut Control, device: &mut FakeDevice, now: Micros) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        if control.offer(now).is_none() {
            return outcomes;
        }
        if let Some(request) = control.take(now) {
            let result = device.answer(&request);
            outcomes.push(complete(control, &result, now));
        }
        outcomes.retain(|outcome| *outcome != Outcome::Underway);
    }
    panic!("the control never comes to rest")
}

#[test]
fn nothing_is_written_before_a_setpoint_is_wanted() {
    let (mut control, mut device) = battery();
    assert_eq!(run(&mut control, &mut device, ms(0)), []);
    assert_eq!(device.writes, []);
    assert_eq!(control.due(), None);
}

#[test]
fn a_battery_gets_value_mode_revert_and_timer_and_all_of_it_is_read_back() {
    let (mut control, mut device) = battery();
    control.set(watts(-70_000));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    let address = device.address(704);
    let expected = [(address + 30, vec![1, 0, 30]), (address + 22, vec![1, 1, 1, 4_464, 0, 0])];
    assert_eq!(device.writes, expected, "the timer before the value that starts it; 70000 W out of the battery");
    assert!(control.is_controlled());
}

#[test]
fn charging_is_negative_for_the_device_and_a_scale_factor_rounds_towards_nothing() {
    let (mut control, mut device) = battery();
    device.set(704, 55, &[2]);
    control.set(watts(12_399));
    run(&mut control, &mut device, ms(0));
    assert_eq!(device.get(704, 24, 2), [0xffff, 0xff85], "-123 x 100 W");
}

#[test]
fn a_cap_is_a_share_of_the_devices_own_maximum_in_one_write() {
    let (mut control, mut device) = pv();
    control.set(watts(-12_344));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    assert_eq!(device.writes, [(device.address(704) + 14, vec![1, 2_468, 4_000, 1, 0, 30])]);
}

#[test]
fn a_cap_beyond_the_maximum_is_all_of_it_and_one_below_nothing_is_nothing() {
    for (want, percent) in [(-90_000, 10_000), (0, 0), (5_000, 0)] {
        let (mut control, mut device) = pv();
        control.set(watts(want));
        run(&mut control, &mut device, ms(0));
        assert_eq!(device.get(704, 15, 1), [percent]);
        assert_eq!(device.get(704, 14, 1), [1], "a cap of 100 % stays enabled");
    }
}

#[test]
fn the_newest_value_wins_and_what_was_overtaken_is_never_written() {
    let (mut control, mut device) = battery();
    for power in [1_000, 2_000, 3_000] {
        control.set(watts(-power));
    }
    run(&mut control, &mut device, ms(0));
    assert_eq!(device.writes.len(), 2);
    assert_eq!(device.get(704, 24, 2), [0, 3_000]);
}

#[test]
fn a_new_value_is_written_at_once_and_an_old_one_renewed_after_a_third_of_the_timer() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    control.set(watts(-2_000));
    assert!(control.offer(ms(5)).is_some());
    run(&mut control, &mut device, ms(5));
    assert_eq!(device.writes.len(), 4);
    for now in (100..10_000).step_by(100) {
        assert_eq!(run(&mut control, &mut device, ms(now)), [], "looks are not told");
    }
    assert_eq!(device.writes.len(), 4);
    assert_eq!(run(&mut control, &mut device, ms(10_005)), [Outcome::Confirmed]);
    assert_eq!(device.writes.len(), 6);
}

#[test]
fn the_registers_are_looked_at_every_two_seconds_or_with_every_renewal_of_a_short_timer() {
    for (after, looks) in [(AFTER, 2_000), (ms(3_000), 1_000)] {
        let mut device = FakeDevice::battery();
        let mut control = control(Kind::Power, &device, 0, after);
        control.set(watts(-1_000));
        run(&mut control, &mut device, ms(0));
        assert_eq!(control.due(), Some(ms(looks)));
    }
}

#[test]
fn another_master_is_found_within_two_seconds_and_what_it_wrote_is_written_over() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    device.set(704, 24, &[0, 9_999]);
    assert_eq!(run(&mut control, &mut device, ms(2_000)), [Outcome::Mismatch, Outcome::Confirmed]);
    assert_eq!(control.standing(), Standing::Lost);
    let told: Vec<_> = control.audit().entries().map(|entry| (entry.verdict, entry.times)).collect();
    assert_eq!(told, [(Verdict::Confirmed, 1), (Verdict::Overwritten, 1), (Verdict::Confirmed, 1)]);
    let overwritten = control.audit().entries().nth(1).unwrap();
    assert_eq!(overwritten.written[1].words, [1, 1, 0, 1_000, 0, 0]);
    assert_eq!(overwritten.read_back[1].words, [1, 1, 0, 9_999, 0, 0]);
}

#[test]
fn an_older_epoch_is_refused_and_audited() {
    let (mut control, mut device) = battery();
    let of_epoch = |epoch| Some(Setpoint { epoch, ..watts(-1_000 * epoch).unwrap() });
    assert!(control.set(of_epoch(7)));
    run(&mut control, &mut device, ms(0));
    assert!(!control.set(of_epoch(6)));
    run(&mut control, &mut device, ms(100));
    assert_eq!(device.get(704, 24, 2), [0, 7_000]);
    let told: Vec<_> = control.audit().entries().map(|entry| (entry.epoch, entry.verdict)).collect();
    assert_eq!(told, [(7, Verdict::Confirmed), (6, Verdict::Stale)]);
}

#[test]
fn a_setpoint_that_has_ended_is_neither_written_nor_renewed() {
    let (mut control, mut device) = battery();
    let until = |end| Some(Setpoint { expires_at: ms(end), ..watts(-1_000).unwrap() });
    control.set(until(5_000));
    run(&mut control, &mut device, ms(0));
    assert_eq!(device.writes.len(), 2);
    run(&mut control, &mut device, ms(10_000));
    assert_eq!((device.writes.len(), control.due()), (2, None), "the device falls back by its own timer");
    control.set(until(9_000));
    run(&mut control, &mut device, ms(10_100));
    assert_eq!(device.writes.len(), 2);
}

#[test]
fn who_was_fought_over_counts_as_uncontrolled_until_a_renewals_time_has_passed_undisturbed() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    device.set(704, 24, &[0, 9_999]);
    let mut standings = Vec::new();
    for now in (0..=14_000).step_by(500) {
        run(&mut control, &mut device, ms(now));
        standings.push((now, control.standing()));
    }
    let lost: Vec<i64> =
        standings.iter().filter(|(_, standing)| *standing == Standing::Lost).map(|(now, _)| *now).collect();
    assert_eq!((lost.first(), lost.last()), (Some(&2_000), Some(&11_500)), "{standings:?}");
    assert_eq!(control.standing(), Standing::Proved);
}

#[test]
fn a_revert_that_another_master_switched_off_is_a_mismatch_too() {
    let (mut control, mut device) = pv();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    device.set(704, 17, &[0]);
    assert_eq!(run(&mut control, &mut device, ms(10_000))[0], Outcome::Mismatch);
}

#[test]
fn a_device_that_does_not_keep_what_it_was_told_is_uncontrolled_and_tried_again() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    for _ in 0..3 {
        let request = control.take(ms(0)).unwrap();
        let result = device.answer(&request);
        complete(&mut control, &result, ms(0));
    }
    device.set(704, 24, &[0, 7]);
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Mismatch]);
    assert!(!control.is_controlled());
    assert_eq!(control.due(), Some(RETRY));
    assert_eq!(run(&mut control, &mut device, RETRY), [Outcome::Confirmed]);
    assert!(!control.is_controlled(), "not before a renewal has passed undisturbed");
}

#[test]
fn a_scale_factor_that_changes_under_a_write_makes_it_a_mismatch_and_the_value_is_written_anew() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    device.set(704, 55, &[1]);
    control.set(watts(-2_000));
    assert_eq!(run(&mut control, &mut device, ms(5)), [Outcome::Mismatch]);
    assert_eq!(run(&mut control, &mut device, ms(5) + RETRY), [Outcome::Confirmed]);
    assert_eq!(device.get(704, 24, 2), [0, 200]);
    assert!(control.is_controlled());
}

#[test]
fn a_refusal_is_told_and_tried_again_after_a_pause() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    device.fail_next = Some(Failure::Refused(Exception::IllegalValue));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Refused]);
    assert_eq!(control.standing(), Standing::Lost, "local mode, perhaps");
    assert_eq!(control.offer(RETRY - ms(1)), None);
    assert_eq!(run(&mut control, &mut device, RETRY), [Outcome::Confirmed]);
    assert_eq!(control.standing(), Standing::Proved);
}

#[test]
fn another_master_is_found_though_our_values_change_all_the_time() {
    let (mut control, mut device) = battery();
    let mut found = Vec::new();
    for now in (0..10_000).step_by(100) {
        control.set(watts(-now));
        if now >= 500 {
            device.set(704, 24, &[0, 9_999]);
        }
        let outcomes = run(&mut control, &mut device, ms(now));
        if outcomes.contains(&Outcome::Mismatch) {
            found.push(now);
        }
        assert_eq!(control.standing(), if now < 2_000 { Standing::Proved } else { Standing::Lost });
    }
    assert_eq!(found, [2_000, 4_000, 6_000, 8_000]);
}

#[test]
fn a_lost_answer_leaves_it_unproved_and_not_lost() {
    let (mut control, mut device) = battery();
    assert_eq!(control.standing(), Standing::Unproved);
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    control.set(watts(-2_000));
    device.fail_next = Some(Failure::TimedOut);
    let request = control.take(ms(5)).unwrap();
    let result = device.answer(&request);
    assert_eq!(complete(&mut control, &result, ms(5)), Outcome::Underway);
    assert_eq!(control.standing(), Standing::Unproved);
}

#[test]
fn silence_is_followed_by_a_look_at_what_the_device_holds() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    control.set(watts(-2_000));
    device.fail_next = Some(Failure::TimedOut);
    assert_eq!(run(&mut control, &mut device, ms(5)), [Outcome::Confirmed]);
    assert_eq!(device.get(704, 24, 2), [0, 2_000]);
}

#[test]
fn a_value_its_registers_cannot_hold_is_refused_and_nothing_is_written() {
    let (mut control, mut device) = battery();
    device.set(704, 55, &[0x8000]);
    control.set(watts(-1_000));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Refused]);
    let (mut capped, mut inverter) = pv();
    inverter.set(702, 26, &[0xffff]);
    capped.set(watts(-1_000));
    assert_eq!(run(&mut capped, &mut inverter, ms(0)), [Outcome::Refused]);
    assert_eq!((device.writes.len(), inverter.writes.len()), (0, 0));
}

#[test]
fn without_a_setpoint_the_device_is_left_to_its_revert_timer() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    control.set(None);
    assert_eq!(control.due(), None);
}

#[test]
fn a_device_without_the_models_cannot_be_controlled() {
    let map = FakeDevice::new(&[(1, 66), (701, 153), (704, 53)]).map();
    assert!(der::actuator(&map, Kind::Power).is_none(), "704 too short");
    let map = FakeDevice::battery().map();
    assert!(der::actuator(&map, Kind::Cap).is_none(), "no 702");
}

proptest! {
    #[test]
    fn a_wanted_value_is_always_rewritten_before_half_of_the_revert_timer(
        changes in prop::collection::vec((0i64..60_000, -90_000i64..90_000), 1..20),
        after_s in 3i64..60,
    ) {
        let mut device = FakeDevice::battery();
        let mut control = control(Kind::Power, &device, 0, ms(after_s * 1000));
        let mut changes = changes;
        changes.sort_unstable();
        control.set(watts(0));
        let (mut last_write, mut seen) = (0, 0);
        for now in (0..60_000).step_by(50) {
            for (_, power) in changes.iter().filter(|(at, _)| (now - 50..now).contains(at)) {
                control.set(watts(*power));
            }
            run(&mut control, &mut device, ms(now));
            if device.writes.len() > seen {
                (last_write, seen) = (now, device.writes.len());
            }
            prop_assert!(now - last_write < after_s * 500);
        }
    }

    #[test]
    fn what_is_written_never_asks_for_more_than_was_granted(power in -100_000i64..=100_000, scale in -4i16..=4) {
        let (mut control, mut device) = battery();
        device.set(704, 55, &[u16::from_be_bytes(scale.to_be_bytes())]);
        control.set(watts(power));
        run(&mut control, &mut device, ms(0));
        let words = device.get(704, 24, 2);
        let raw = i32::from_be_bytes([words[0].to_be_bytes(), words[1].to_be_bytes()].concat().try_into().unwrap());
        let meant = f64::from(raw) * 10f64.powi(i32::from(scale));
        let wanted = f64::from(i32::try_from(-power).unwrap());
        prop_assert!(meant.abs() <= wanted.abs() + 1e-6 && meant * wanted >= 0.0);
    }
}

fn verdicts(control: &Control) -> Vec<Verdict> {
    control.audit().entries().map(|entry| entry.verdict).collect()
}

#[test]
fn a_device_that_fell_back_after_its_lease_has_reverted_and_nobody_is_blamed() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    control.set(None);
    device.set(704, 24, &[0, 0]);
    control.set(watts(-1_000));
    assert_eq!(run(&mut control, &mut device, ms(30_000)), [Outcome::Confirmed]);
    assert_eq!(verdicts(&control), [Verdict::Confirmed, Verdict::Reverted, Verdict::Confirmed]);
    assert!(!control.is_disturbed());
    assert!(control.is_controlled());
}

#[test]
fn within_the_lease_the_same_change_is_another_master() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    device.set(704, 24, &[0, 0]);
    run(&mut control, &mut device, ms(9_999));
    assert_eq!(verdicts(&control)[1], Verdict::Overwritten);
    assert!(control.is_disturbed());
}

#[test]
fn what_a_device_lost_while_it_was_away_is_told_when_it_is_found_again() {
    let (mut before, mut device) = battery();
    before.set(watts(-1_000));
    run(&mut before, &mut device, ms(0));
    for (shown, expected) in [(1_000, &[][..]), (0, &[Verdict::Reverted][..])] {
        device.set(704, 24, &[0, shown]);
        let mut found = control(Kind::Power, &device, 0, AFTER);
        found.remember(before.memory(), ms(5_000));
        found.set(watts(-1_000));
        run(&mut found, &mut device, ms(5_000));
        assert_eq!(verdicts(&found)[1..=expected.len()], *expected, "beside what was noted before");
        assert!(found.is_controlled());
    }
}

#[test]
fn a_write_of_which_no_read_back_comes_was_sent_and_is_silent() {
    let (mut control, mut device) = battery();
    control.set(watts(-1_000));
    while device.writes.len() < 2 {
        let request = control.take(ms(0)).unwrap();
        let result = device.answer(&request);
        complete(&mut control, &result, ms(0));
    }
    control.take(ms(0)).unwrap();
    complete(&mut control, &Err(Failure::Disconnected), ms(500));
    let entry = control.audit().entries().last().unwrap();
    assert_eq!((entry.verdict, entry.written.len()), (Verdict::Silent, 2));
    assert_eq!(control.audit().counts().sent, 1);
}

#[test]
fn not_following_and_following_again_are_told_with_what_was_measured() {
    let (mut control, mut device) = pv();
    control.set(watts(-20_000));
    run(&mut control, &mut device, ms(0));
    for second in 1..90 {
        let measured = if second < 20 { -40_000 } else { -20_000 };
        control.measured(Watts::new(measured), ms(1_000 * second));
    }
    let told: Vec<_> = control.audit().entries().filter_map(|entry| Some((entry.verdict, entry.measured?))).collect();
    assert_eq!(told, [(Verdict::Disobeyed, Watts::new(-40_000)), (Verdict::Obeyed, Watts::new(-20_000))]);
}
