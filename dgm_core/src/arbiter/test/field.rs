//! Battery and PV setpoints, one sentence per test. `Plant` closes the loop: what is set is what is measured next.

use super::super::*;
use super::rig::*;

/// A site whose battery and PV follow their setpoints within one tick.
struct Plant {
    rig: Rig,
    load_w: i64,
    sun_w: i64,
    soc: i64,
}

impl Plant {
    fn new(load_w: i64, sun_w: i64, soc: i64) -> Self {
        Self { rig: Rig::new(), load_w, sun_w, soc }
    }

    fn run(&mut self, ticks: usize) -> &mut Self {
        for _ in 0..ticks {
            self.rig.tick(100);
            let (battery, pv) = self.flows();
            self.rig.read(self.load_w + battery - pv, pv, battery, self.soc);
            self.rig.prove_all();
        }
        self
    }

    fn flows(&self) -> (i64, i64) {
        (self.rig.power(BATTERY), self.sun_w.min(-self.rig.power(PV)))
    }

    fn import(&self) -> i64 {
        let (battery, pv) = self.flows();
        self.load_w + battery - pv
    }
}

#[test]
fn the_battery_carries_what_exceeds_the_import_bound_less_margin_and_stays_there() {
    let mut plant = Plant::new(65_000, 0, 500);
    plant.run(5);
    for _ in 0..20 {
        plant.run(1);
        assert!((59_399..=59_400).contains(&plant.import()), "{}", plant.import());
    }
    assert_eq!(plant.rig.arbiter.grants()[BATTERY.0].binding_limit.as_deref(), Some("site:site:NET_IMPORT"));
    plant.load_w = 30_000;
    assert_eq!(plant.run(2).flows().0, 0, "nothing to unwind");
}

#[test]
fn the_battery_carries_no_more_than_it_can_and_nothing_below_its_reserve() {
    assert_eq!(Plant::new(100_000, 0, 500).run(5).flows().0, -20_000);
    assert_eq!(Plant::new(100_000, 0, 200).run(5).flows().0, 0);
}

#[test]
fn a_single_overloaded_phase_is_relieved() {
    let mut rig = Rig::ready(0);
    rig.now += 100;
    let mut reading = rig.arbiter.image().reading(METER).clone();
    reading.power = Some(Watts::new(30_000));
    reading.current = [135_000, 0, 0].map(|current| Some(Milliamps::new(current)));
    reading.measured_at = ms(rig.now);
    rig.arbiter.put_reading(METER, reading);
    rig.put(PV, 0, None, None);
    rig.put(BATTERY, 0, None, Some(500));
    rig.tick(0);
    // 135 A less (125 A less 1 %), on three conductors at 230 V.
    assert_eq!(rig.power(BATTERY), -(11_250 * 3 * 230 / 1_000));
}

#[test]
fn it_charges_as_the_target_wants_and_the_rows_leave() {
    let mut plant = Plant::new(10_000, 0, 500);
    plant.rig.want_w(BATTERY, 8_000);
    assert_eq!(plant.run(3).flows().0, 8_000);
    plant.rig.want_w(BATTERY, 99_000);
    assert_eq!(plant.run(3).flows().0, 15_000, "its rating");
    plant.load_w = 50_000;
    assert_eq!(plant.run(3).flows().0, 9_400, "what 60 kW less 1 % leaves");
    plant.soc = 900;
    assert_eq!(plant.run(3).flows().0, 0);
}

#[test]
fn gross_load_bounds_cars_and_charging_together() {
    let mut plant = Plant::new(10_000, 0, 500);
    plant.rig.bound(Quantity::GrossLoad, SITE, 12_000);
    plant.rig.want_w(BATTERY, 15_000);
    plant.run(3);
    assert_eq!(plant.flows().0, 12_000);
    plant.rig.want(4, 16);
    plant.run(30);
    assert_eq!(plant.rig.amps()[4], 16);
    assert_eq!(plant.flows().0, 12_000 - 11_040);
}

#[test]
fn a_bound_on_charging_binds_the_battery_and_neither_cars_nor_its_help() {
    let mut plant = Plant::new(10_000, 0, 500);
    plant.rig.bound(Quantity::StorageCharge, SITE, 5_000);
    plant.rig.want_w(BATTERY, 15_000);
    plant.rig.want(4, 16);
    plant.run(30);
    assert_eq!((plant.flows().0, plant.rig.amps()[4]), (5_000, 16));
    plant.rig.bound(Quantity::StorageCharge, SITE, 0);
    assert_eq!(plant.run(1).flows().0, 0);
    plant.load_w = 65_000;
    assert_eq!(plant.run(3).flows().0, -5_600, "it discharges all the same");
}

#[test]
fn a_bound_on_charging_that_a_silent_battery_may_break_says_by_how_much() {
    let mut plant = Plant::new(10_000, 0, 500);
    plant.rig.want_w(BATTERY, 8_000);
    plant.run(10);
    plant.rig.bound(Quantity::StorageCharge, SITE, 5_000);
    for _ in 0..30 {
        plant.rig.tick(100);
        plant.rig.put(METER, 18_000, None, None);
    }
    assert_eq!(plant.rig.row(Quantity::StorageCharge, SITE).shortfall, 3_000, "it may still be charging with 8 kW");
}

#[test]
fn the_battery_takes_an_export_excess_before_the_sun_is_cut() {
    let mut plant = Plant::new(5_000, 30_000, 500);
    plant.rig.bound(Quantity::NetExport, SITE, 15_000);
    plant.run(5);
    let (battery, pv) = plant.flows();
    assert_eq!(pv, 30_000);
    assert!((-14_850..=-14_849).contains(&plant.import()), "{battery}");
    plant.soc = 900;
    plant.run(5);
    assert_eq!(plant.flows(), (0, 19_850));
    assert_eq!(plant.rig.arbiter.grants()[PV.0].binding_limit.as_deref(), Some("test"));
    plant.soc = 500;
    assert_eq!(plant.run(5).flows().1, 30_000, "the cap is given back");
}

#[test]
fn a_generation_bound_leaves_nothing_for_the_battery_and_caps_the_sun() {
    let mut plant = Plant::new(80_000, 30_000, 500);
    plant.rig.bound(Quantity::GrossGeneration, SITE, 18_000);
    for _ in 0..20 {
        plant.run(1);
        let (battery, pv) = plant.flows();
        assert!(pv - battery <= 18_000, "{pv} {battery}");
    }
    assert_eq!(plant.flows(), (0, 18_000), "the sun goes before the battery");
    plant.sun_w = 5_000;
    assert_eq!(plant.run(3).flows(), (-10_000, 5_000), "less what the sun may reach at once");
}

#[test]
fn a_bound_on_net_output_of_pv_and_battery_lets_the_sun_charge_the_battery_beyond_it() {
    let mut plant = Plant::new(80_000, 30_000, 500);
    plant.rig.bound(Quantity::DerOutput, SITE, 18_000);
    for _ in 0..20 {
        plant.run(1);
        let (battery, pv) = plant.flows();
        assert!(pv - battery <= 18_000, "{pv} {battery}");
    }
    assert_eq!(plant.flows(), (0, 18_000), "the sun goes before the battery");
    assert_eq!(plant.rig.row(Quantity::DerOutput, SITE).shortfall, 0);
    plant.load_w = 5_000;
    plant.rig.want_w(BATTERY, 10_000);
    for _ in 0..20 {
        plant.run(1);
        let (battery, pv) = plant.flows();
        assert!(pv - battery <= 18_000, "{pv} {battery}");
    }
    assert_eq!(plant.flows(), (10_000, 28_000), "what the battery is seen to take is no output");
}

#[test]
fn without_its_meter_the_sun_is_cut_to_what_the_least_load_can_take() {
    let mut plant = Plant::new(5_000, 30_000, 500);
    plant.run(5);
    for _ in 0..30 {
        plant.rig.tick(100);
        plant.rig.put(PV, -30_000, None, None);
        plant.rig.put(BATTERY, 0, None, Some(500));
    }
    assert_eq!(plant.rig.power(PV), -(24_750 + 1_000));
    assert_eq!(plant.rig.power(BATTERY), 0);
}

#[test]
fn a_battery_read_later_than_the_meter_does_not_make_the_loop_hunt() {
    let mut rig = Rig::new();
    let (mut battery, mut seen) = (0, Vec::new());
    for step in 0..60 {
        rig.now += 100;
        rig.put(METER, 70_000 + battery, Some(100_000), None);
        if step % 2 == 0 {
            rig.put(BATTERY, battery, None, Some(500));
        }
        rig.arbiter.decide(ms(rig.now));
        battery = rig.power(BATTERY);
        seen.push(battery);
    }
    assert!(seen[10..].iter().all(|setpoint| (-10_601..=-10_600).contains(setpoint)), "{seen:?}");
}

#[test]
fn a_discharge_target_stops_at_the_export_bound() {
    let mut plant = Plant::new(0, 20_000, 500);
    plant.rig.want_w(BATTERY, -20_000);
    assert_eq!(plant.run(20).flows(), (-1_750, 20_000), "less what the sun may reach at once");
}
