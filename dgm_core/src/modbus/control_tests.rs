//! The setpoint against a device under virtual time.
use proptest::prelude::*;

use super::super::fake_device::FakeDevice;
use super::super::pdu::Exception;
use super::*;

const AFTER: Micros = Micros::from_millis(30_000);

fn ms(value: i64) -> Micros {
    Micros::from_millis(value)
}

fn battery() -> (Control, FakeDevice) {
    let mut device = FakeDevice::battery();
    let fallback = Fallback { output: Watts::ZERO, after: AFTER };
    (Control::new(Kind::Power, fallback, &device.map()).unwrap(), device)
}

fn pv() -> (Control, FakeDevice) {
    let mut device = FakeDevice::pv();
    let fallback = Fallback { output: Watts::new(20_000), after: AFTER };
    (Control::new(Kind::Cap, fallback, &device.map()).unwrap(), device)
}

/// Carries out every transaction wanted at `now`; the outcomes worth telling.
fn run(control: &mut Control, device: &mut FakeDevice, now: Micros) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        if control.offer(now).is_none() {
            return outcomes;
        }
        if let Some(request) = control.take(now) {
            let result = device.answer(&request);
            outcomes.push(control.complete(&result, now));
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
    control.set(Some(Watts::new(-70_000)));
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
    control.set(Some(Watts::new(12_399)));
    run(&mut control, &mut device, ms(0));
    assert_eq!(device.get(704, 24, 2), [0xffff, 0xff85], "-123 x 100 W");
}

#[test]
fn a_cap_is_a_share_of_the_devices_own_maximum_in_one_write() {
    let (mut control, mut device) = pv();
    control.set(Some(Watts::new(-12_344)));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    assert_eq!(device.writes, [(device.address(704) + 14, vec![1, 2_468, 4_000, 1, 0, 30])]);
}

#[test]
fn a_cap_beyond_the_maximum_is_all_of_it_and_one_below_nothing_is_nothing() {
    for (want, percent) in [(-90_000, 10_000), (0, 0), (5_000, 0)] {
        let (mut control, mut device) = pv();
        control.set(Some(Watts::new(want)));
        run(&mut control, &mut device, ms(0));
        assert_eq!(device.get(704, 15, 1), [percent]);
        assert_eq!(device.get(704, 14, 1), [1], "a cap of 100 % stays enabled");
    }
}

#[test]
fn the_newest_value_wins_and_what_was_overtaken_is_never_written() {
    let (mut control, mut device) = battery();
    for watts in [1_000, 2_000, 3_000] {
        control.set(Some(Watts::new(-watts)));
    }
    run(&mut control, &mut device, ms(0));
    assert_eq!(device.writes.len(), 2);
    assert_eq!(device.get(704, 24, 2), [0, 3_000]);
}

#[test]
fn a_new_value_is_written_at_once_and_an_old_one_renewed_after_a_third_of_the_timer() {
    let (mut control, mut device) = battery();
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    assert_eq!(control.due(), Some(ms(10_000)));
    control.set(Some(Watts::new(-2_000)));
    assert!(control.offer(ms(5)).is_some());
    run(&mut control, &mut device, ms(5));
    assert_eq!(device.writes.len(), 4);
    assert_eq!(control.due(), Some(ms(10_005)));
    assert_eq!(run(&mut control, &mut device, ms(10_005)), [Outcome::Confirmed]);
    assert_eq!(device.writes.len(), 6);
}

#[test]
fn another_master_is_found_at_the_renewal_and_the_device_counts_as_uncontrolled_until_one_passes_undisturbed() {
    let (mut control, mut device) = battery();
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    device.set(704, 24, &[0, 9_999]);
    assert_eq!(run(&mut control, &mut device, ms(10_000)), [Outcome::Mismatch, Outcome::Confirmed]);
    assert_eq!(device.get(704, 24, 2), [0, 1_000], "our value is written again");
    assert!(!control.is_controlled());
    assert_eq!(run(&mut control, &mut device, ms(20_000)), [Outcome::Confirmed]);
    assert!(control.is_controlled());
}

#[test]
fn a_revert_that_another_master_switched_off_is_a_mismatch_too() {
    let (mut control, mut device) = pv();
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    device.set(704, 17, &[0]);
    assert_eq!(run(&mut control, &mut device, ms(10_000))[0], Outcome::Mismatch);
}

#[test]
fn a_device_that_does_not_keep_what_it_was_told_is_uncontrolled_and_tried_again() {
    let (mut control, mut device) = battery();
    control.set(Some(Watts::new(-1_000)));
    for _ in 0..3 {
        let request = control.take(ms(0)).unwrap();
        let result = device.answer(&request);
        control.complete(&result, ms(0));
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
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    device.set(704, 55, &[1]);
    control.set(Some(Watts::new(-2_000)));
    assert_eq!(run(&mut control, &mut device, ms(5)), [Outcome::Mismatch]);
    assert_eq!(run(&mut control, &mut device, ms(5) + RETRY), [Outcome::Confirmed]);
    assert_eq!(device.get(704, 24, 2), [0, 200]);
    assert!(control.is_controlled());
}

#[test]
fn a_refusal_is_told_and_tried_again_after_a_pause() {
    let (mut control, mut device) = battery();
    control.set(Some(Watts::new(-1_000)));
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
    for now in (0..30_000).step_by(100) {
        control.set(Some(Watts::new(-now)));
        if now >= 500 {
            device.set(704, 24, &[0, 9_999]);
        }
        let outcomes = run(&mut control, &mut device, ms(now));
        if outcomes.contains(&Outcome::Mismatch) {
            found.push(now);
        }
        assert_eq!(control.standing(), if now < 10_000 { Standing::Proved } else { Standing::Lost });
    }
    assert_eq!(found, [10_000, 20_000]);
}

#[test]
fn a_lost_answer_leaves_it_unproved_and_not_lost() {
    let (mut control, mut device) = battery();
    assert_eq!(control.standing(), Standing::Unproved);
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    control.set(Some(Watts::new(-2_000)));
    device.fail_next = Some(Failure::TimedOut);
    let request = control.take(ms(5)).unwrap();
    let result = device.answer(&request);
    assert_eq!(control.complete(&result, ms(5)), Outcome::Underway);
    assert_eq!(control.standing(), Standing::Unproved);
}

#[test]
fn silence_is_followed_by_a_look_at_what_the_device_holds() {
    let (mut control, mut device) = battery();
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    control.set(Some(Watts::new(-2_000)));
    device.fail_next = Some(Failure::TimedOut);
    assert_eq!(run(&mut control, &mut device, ms(5)), [Outcome::Confirmed]);
    assert_eq!(device.get(704, 24, 2), [0, 2_000]);
}

#[test]
fn a_value_its_registers_cannot_hold_is_refused_and_nothing_is_written() {
    let (mut control, mut device) = battery();
    device.set(704, 55, &[0x8000]);
    control.set(Some(Watts::new(-1_000)));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Refused]);
    let (mut capped, mut inverter) = pv();
    inverter.set(702, 26, &[0xffff]);
    capped.set(Some(Watts::new(-1_000)));
    assert_eq!(run(&mut capped, &mut inverter, ms(0)), [Outcome::Refused]);
    assert_eq!((device.writes.len(), inverter.writes.len()), (0, 0));
}

#[test]
fn without_a_setpoint_the_device_is_left_to_its_revert_timer() {
    let (mut control, mut device) = battery();
    control.set(Some(Watts::new(-1_000)));
    run(&mut control, &mut device, ms(0));
    control.set(None);
    assert_eq!(control.due(), None);
}

#[test]
fn a_device_without_the_models_cannot_be_controlled() {
    let fallback = Fallback { output: Watts::ZERO, after: AFTER };
    let map = FakeDevice::new(&[(1, 66), (701, 153), (704, 53)]).map();
    assert!(Control::new(Kind::Power, fallback, &map).is_none(), "704 too short");
    let map = FakeDevice::battery().map();
    assert!(Control::new(Kind::Cap, fallback, &map).is_none(), "no 702");
}

proptest! {
    #[test]
    fn a_wanted_value_is_always_rewritten_before_half_of_the_revert_timer(
        changes in prop::collection::vec((0i64..60_000, -90_000i64..90_000), 1..20),
        after_s in 3i64..60,
    ) {
        let mut device = FakeDevice::battery();
        let fallback = Fallback { output: Watts::ZERO, after: ms(after_s * 1000) };
        let mut control = Control::new(Kind::Power, fallback, &device.map()).unwrap();
        let mut changes = changes;
        changes.sort_unstable();
        control.set(Some(Watts::ZERO));
        let (mut last_write, mut seen) = (0, 0);
        for now in (0..60_000).step_by(50) {
            for (_, watts) in changes.iter().filter(|(at, _)| (now - 50..now).contains(at)) {
                control.set(Some(Watts::new(*watts)));
            }
            run(&mut control, &mut device, ms(now));
            if device.writes.len() > seen {
                (last_write, seen) = (now, device.writes.len());
            }
            prop_assert!(now - last_write < after_s * 500);
        }
    }

    #[test]
    fn what_is_written_never_asks_for_more_than_was_granted(watts in -100_000i64..=100_000, scale in -4i16..=4) {
        let (mut control, mut device) = battery();
        device.set(704, 55, &[u16::from_be_bytes(scale.to_be_bytes())]);
        control.set(Some(Watts::new(watts)));
        run(&mut control, &mut device, ms(0));
        let words = device.get(704, 24, 2);
        let raw = i32::from_be_bytes([words[0].to_be_bytes(), words[1].to_be_bytes()].concat().try_into().unwrap());
        let meant = f64::from(raw) * 10f64.powi(i32::from(scale));
        let wanted = f64::from(i32::try_from(-watts).unwrap());
        prop_assert!(meant.abs() <= wanted.abs() + 1e-6 && meant * wanted >= 0.0);
    }
}
