//! Every family of SunSpec command registers against a device: what is written, what is proved, who is obeyed.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::modbus::actuator::Fallback;
use crate::modbus::control::tests::{control, ms, run, watts, AFTER};
use crate::modbus::control::{Control, Outcome};
use crate::modbus::fake_device::FakeDevice;
use crate::modbus::obedience::{DEAD_TIME, PERSISTENCE};
use crate::modbus::standing::Standing;
use crate::units::Watts;

#[test]
fn the_newest_family_is_commanded_and_the_old_one_where_it_is_missing() {
    let both = FakeDevice::new(&[(1, 66), (702, 50), (704, 65), (121, 30), (123, 24)]);
    let first_look = |device: &FakeDevice| actuator(&device.map(), Kind::Cap).unwrap().looks()[0].1.start;
    assert_eq!(first_look(&both), both.address(704) + 14);
    let old = FakeDevice::new(&[(1, 66), (121, 30), (123, 24)]);
    assert_eq!(first_look(&old), old.address(123) + 5);
    assert!(actuator(&FakeDevice::meter().map(), Kind::Cap).is_none());
}

#[test]
fn an_old_inverter_gets_cap_timer_and_enable_in_one_block_and_keeps_the_filler() {
    let mut device = FakeDevice::old();
    let mut control = control(Kind::Cap, &device, 100_000, AFTER);
    control.set(watts(-12_345));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    // 24.69 % of 50 kW, rounded down to tenths; no window, 30 s, a ramp time that is not implemented, enabled.
    assert_eq!(device.writes, [(device.address(123) + 5, vec![246, 0, 30, 0xffff, 1])]);
    assert_eq!(control.standing(), Standing::Proved, "all it can give after its timer is what it is configured to");
}

#[test]
fn an_old_inverter_that_only_lets_go_after_its_timer_does_not_prove_a_lower_revert() {
    let mut device = FakeDevice::old();
    let mut control = control(Kind::Cap, &device, 20_000, AFTER);
    control.set(watts(-12_345));
    assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed]);
    assert_eq!(control.standing(), Standing::Unproved);
}

#[test]
fn an_old_battery_is_held_between_two_rates_that_leave_it_one_power() {
    // % of 20 kW for charging, % of 15 kW for discharging, in tenths.
    for (want, out_rate, in_rate) in [(5_000, -333, 250), (-6_000, 400, -300), (0, 0, 0)] {
        let mut device = FakeDevice::old();
        let mut control = control(Kind::Power, &device, 0, AFTER);
        control.set(watts(want));
        assert_eq!(run(&mut control, &mut device, ms(0)), [Outcome::Confirmed], "{want}");
        let rates =
            device.get(124, 12, 2).iter().map(|word| i16::from_be_bytes(word.to_be_bytes())).collect::<Vec<_>>();
        assert_eq!(rates, [out_rate, in_rate], "{want}");
        assert_eq!(device.get(124, 14, 3), [0, 30, 0xffff], "no window, 30 s");
        assert_eq!(device.get(124, 5, 1), [3], "both rates in force");
        assert_eq!(device.writes.last().unwrap().0, device.address(124) + 5, "put in force last");
        assert_eq!(control.standing(), Standing::Unproved, "what it does after its timer is its own affair");
    }
}

fn with_715() -> FakeDevice {
    let mut device = FakeDevice::new(&[(1, 66), (701, 153), (704, 65), (713, 7), (715, 7)]);
    device.set(704, 55, &[0]);
    device.set(715, 2, &[0, 0, 1, 0, 0, 0, 0]);
    device
}

#[test]
fn the_controllers_heartbeat_counts_up_every_second_while_the_device_is_commanded() {
    let mut device = with_715();
    let mut control = control(Kind::Power, &device, 0, AFTER);
    let beats = |device: &FakeDevice| {
        let at = device.address(715) + 5;
        device.writes.iter().filter(|(start, _)| *start == at).map(|(_, words)| words[1]).collect::<Vec<_>>()
    };
    for now in (0..3_000).step_by(100) {
        run(&mut control, &mut device, ms(now));
    }
    assert_eq!(beats(&device), [0u16; 0], "nobody is commanded");
    control.set(watts(-1_000));
    for now in (3_000..8_000).step_by(100) {
        run(&mut control, &mut device, ms(now));
    }
    assert_eq!(beats(&device), [1, 2, 3, 4, 5]);
    assert_eq!(control.standing(), Standing::Proved);
}

#[test]
fn a_device_in_local_mode_is_lost_within_two_seconds_and_back_when_it_is_remote() {
    let mut device = with_715();
    let mut control = control(Kind::Power, &device, 0, AFTER);
    control.set(watts(-1_000));
    run(&mut control, &mut device, ms(0));
    device.set(715, 2, &[1]);
    (100..=2_100).step_by(100).for_each(|now| drop(run(&mut control, &mut device, ms(now))));
    assert_eq!(control.standing(), Standing::Lost);
    device.set(715, 2, &[0]);
    (2_200..=4_200).step_by(100).for_each(|now| drop(run(&mut control, &mut device, ms(now))));
    assert_eq!(control.standing(), Standing::Proved);
}

#[test]
fn a_device_whose_heart_has_stood_still_for_six_seconds_is_lost() {
    let mut device = with_715();
    let mut control = control(Kind::Power, &device, 0, AFTER);
    control.set(watts(-1_000));
    let mut lost = Vec::new();
    for now in (0..30_000).step_by(500) {
        if !(10_000..20_000).contains(&now) {
            device.set(715, 3, &[0, u16::try_from(now / 1_000).unwrap()]);
        }
        run(&mut control, &mut device, ms(now));
        if control.standing() == Standing::Lost {
            lost.push(now);
        }
    }
    assert_eq!((lost.first(), lost.last()), (Some(&16_000), Some(&19_500)), "{lost:?}");
}

#[test]
fn a_heart_that_never_moved_says_nothing() {
    let mut device = with_715();
    let mut control = control(Kind::Power, &device, 0, AFTER);
    control.set(watts(-1_000));
    (0..30_000).step_by(500).for_each(|now| drop(run(&mut control, &mut device, ms(now))));
    assert_eq!(control.standing(), Standing::Proved);
}

#[test]
fn a_device_that_reads_back_what_was_written_and_does_something_else_is_lost() {
    let mut device = FakeDevice::battery();
    let mut control = control(Kind::Power, &device, 0, AFTER);
    let mut lost_at = None;
    control.set(watts(-50_000));
    for now in (0..20_000).step_by(200) {
        run(&mut control, &mut device, ms(now));
        control.measured(Watts::new(30_000), ms(now));
        if lost_at.is_none() && control.standing() == Standing::Lost {
            lost_at = Some(ms(now));
        }
    }
    assert_eq!(lost_at, Some(DEAD_TIME + PERSISTENCE), "it charges though it should discharge");
}

#[test]
fn a_table_may_say_what_a_device_reverts_to_by_itself() {
    let fallback =
        |output, after| Fallback { output: Watts::new(output), after: ms(after), rating: Watts::new(50_000) };
    let of = |kind, revert| {
        let map = FakeDevice::battery().map();
        let found = Found::new(&map, 704).unwrap();
        let entries = vec![found.output("WSet", Term::Power(Unit::Watts)).unwrap()];
        Actuator::new(parts(&map, kind, entries, Vec::new(), revert)).unwrap()
    };
    let fixed = |output| Revert::Fixed { output: Watts::new(output), after: Some(ms(20_000)) };
    assert!(of(Kind::Power, fixed(0)).proves(&fallback(0, 30_000)));
    assert!(!of(Kind::Power, fixed(0)).proves(&fallback(0, 10_000)), "too late");
    assert!(!of(Kind::Power, fixed(500)).proves(&fallback(0, 30_000)), "to something else");
    assert!(of(Kind::Cap, fixed(500)).proves(&fallback(800, 30_000)), "less output than allowed");
    assert!(!of(Kind::Power, Revert::Never).proves(&fallback(0, 30_000)));
    assert_eq!(of(Kind::Power, fixed(0)).holds_for(&fallback(0, 60_000)), ms(20_000));
    let control = Control::new(of(Kind::Power, Revert::Never), fallback(0, 30_000));
    assert_eq!(control.standing(), Standing::Unproved);
}
