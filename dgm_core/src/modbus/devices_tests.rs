//! The schedule of site devices against what `dgm check` says of the same bus.
use proptest::prelude::*;

use super::super::bus_world::{ms, Plan, World, BATTERY, METER, PV};
use super::super::device::Role;
use crate::units::Micros;

fn plan(baud: u32, write_latency: i64, devices: &[(Role, i64)]) -> Plan {
    Plan { baud, write_latency: ms(write_latency), timeout: ms(500), devices: devices.to_vec() }
}

/// A battery, an inverter and meters on 9,600 baud.
fn slow_bus(period: i64, more: &[Role]) -> Plan {
    let devices = [BATTERY, METER, METER, PV];
    let devices: Vec<(Role, i64)> = devices.iter().chain(more).map(|role| (*role, period)).collect();
    plan(9_600, 1_500, &devices)
}

/// Setpoints of all commanded devices that change as often as the device is read.
fn command_all(world: &mut World, plan: &Plan, phases: &[i64]) {
    for ((device, (role, period)), phase) in plan.devices.iter().enumerate().zip(phases.iter().cycle()) {
        if role.command().is_some() {
            world.command(device, ms(*phase), ms(*period));
        }
    }
}

fn missed(world: &World) -> u64 {
    world.line.counters().polls_missed
}

/// The shortest period, to a tenth of a second, for which `check` finds that everything fits.
fn just_fits() -> i64 {
    (5..100).map(|tenths| tenths * 100).find(|period| slow_bus(*period, &[]).holds()).unwrap()
}

#[test]
fn a_bus_that_just_fits_keeps_every_deadline_for_an_hour_and_its_setpoints_wait_no_longer_than_told() {
    let plan = slow_bus(just_fits(), &[]);
    let answer = plan.check();
    let mut world = World::new(&plan);
    command_all(&mut world, &plan, &[130, 0, 0, 970]);
    world.settle();
    let (before, missed_before) = (world.load(), missed(&world));
    world.run(ms(3_600_000));
    let after = world.load();
    assert_eq!((after.late - before.late, missed(&world) - missed_before), (0, 0), "{after:?}");
    assert_eq!((after.over.get(), after.over_time, after.is_unproved), (0, Micros::ZERO, false));
    assert!(after.used.get() > 700, "it is a full line: {after:?}");
    let bound = answer.write_wait.unwrap();
    assert!(after.write_wait_max <= bound, "{:?} > {bound:?}", after.write_wait_max);
    assert!(world.written.len() > 1_000);
    let most = bound + answer.look_first.unwrap();
    for written in &world.written {
        assert!(written.sent - written.wanted <= most, "{written:?} after more than {most:?}");
    }
}

#[test]
fn one_fast_meter_more_is_refused_before_start_told_while_it_runs_and_really_misses() {
    let mut plan = slow_bus(just_fits(), &[]);
    plan.devices.push((METER, 300));
    assert!(plan.check().overrun.is_some());
    let mut world = World::new(&plan);
    command_all(&mut world, &plan, &[130, 0, 0, 970]);
    world.settle();
    let (before, missed_before) = (world.load(), missed(&world));
    assert!(before.over.get() > 0 || before.over_time > Micros::ZERO, "{before:?}");
    world.run(ms(600_000));
    let after = world.load();
    assert!(after.late > before.late && missed(&world) > missed_before, "{after:?}");
}

#[test]
fn a_silent_device_makes_the_others_late_by_no_more_than_told() {
    let plan = slow_bus(just_fits() * 3 / 2, &[METER]);
    assert!(plan.holds());
    let silence = plan.check().silence.unwrap();
    let mut world = World::new(&plan);
    world.silent.insert(5);
    command_all(&mut world, &plan, &[130, 0, 0, 970]);
    world.settle();
    world.run(ms(600_000));
    assert!(world.load().late_max <= silence.late.unwrap(), "{:?}, {silence:?}", world.load());
    assert_eq!(world.load().silent, 1);
    // One more falls silent while it is read.
    world.silent.remove(&5);
    world.settle();
    world.silent.insert(2);
    world.run(ms(600_000));
    assert!(world.load().late_max <= silence.late.unwrap(), "{:?}, {silence:?}", world.load());
}

#[test]
fn a_bus_that_is_asked_far_too_much_starves_nobody() {
    let plan = slow_bus(500, &[]);
    let mut world = World::new(&plan);
    command_all(&mut world, &plan, &[130, 0, 0, 970]);
    world.settle();
    world.read_at.iter_mut().for_each(Vec::clear);
    world.run(ms(300_000));
    for (device, times) in world.read_at.iter().enumerate() {
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(gap <= ms(10_000), "device {device}: {gap:?} without a reading");
    }
    for unit in [1, 4] {
        let times: Vec<Micros> =
            world.written.iter().filter(|written| written.unit == unit).map(|written| written.sent).collect();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(gap <= ms(10_000), "unit {unit}: {gap:?} without a setpoint");
    }
}

#[test]
fn a_reduction_waits_for_the_transaction_under_way_and_not_for_the_setpoints_that_were_there_before() {
    let plan = plan(9_600, 5_000, &[(METER, 5_000), (PV, 5_000), (BATTERY, 5_000)]);
    for (battery, first) in [(-5_000, 3), (-30_000, 2)] {
        let mut world = World::new(&plan);
        world.set(1, -20_000);
        world.set(2, -20_000);
        world.settle();
        // Into the readings of a slot, so that both must wait.
        let slot = 5_000_000;
        world.run(Micros::new(slot - world.now.get() % slot + 50_000));
        world.set(1, -30_000);
        world.run(ms(1));
        world.set(2, battery);
        world.run(ms(3_000));
        let units: Vec<u8> = world.written.iter().map(|written| written.unit).collect();
        assert_eq!((units.len(), units.first()), (2, Some(&first)), "{:?}", world.written);
        if first == 3 {
            let longest = plan.check().reads.iter().map(|(_, _, cost)| cost.to_micros()).max().unwrap();
            let most = longest + plan.check().look_first.unwrap();
            assert!(world.written[0].sent - world.written[0].wanted <= most, "{:?}", world.written[0]);
        }
    }
}

fn any_bus() -> impl Strategy<Value = (Plan, Vec<i64>)> {
    let period = prop::sample::select(vec![500i64, 1_000, 2_000, 3_000, 5_000]);
    let role = prop::sample::select(vec![METER, METER, METER, PV, BATTERY]);
    let devices = prop::collection::vec((role, period), 1..6);
    let baud = prop::sample::select(vec![9_600u32, 19_200, 57_600, 115_200]);
    (devices, baud, prop::collection::vec(0i64..5_000, 6))
        .prop_map(|(devices, baud, phases)| (plan(baud, 3_000, &devices), phases))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_check_admits_runs_without_a_miss((plan, phases) in any_bus()) {
        prop_assume!(plan.holds());
        let answer = plan.check();
        let mut world = World::new(&plan);
        command_all(&mut world, &plan, &phases);
        world.settle();
        let (before, missed_before) = (world.load(), missed(&world));
        world.run(ms(60_000));
        let after = world.load();
        prop_assert_eq!((after.late - before.late, missed(&world) - missed_before), (0, 0), "{:?}", after);
        prop_assert!(after.write_wait_max <= answer.write_wait.unwrap_or_default(), "{:?}", after);
    }
}
