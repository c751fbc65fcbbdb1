//! PV and batteries that nobody controls: what is taken from them, what they count at, and that it comes back.

use proptest::prelude::*;

use super::super::*;
use super::rig::*;
use crate::site::{AssetKind, AssetSpec, PhaseMap};

const RATING_CHARGE: i64 = 15_000;
const RATING_DISCHARGE: i64 = 20_000;
const RATING_PV: i64 = 30_000;
const SECOND: AssetIndex = AssetIndex(3 + EVSES);

/// The rig with another battery and another inverter, the same as the first, behind the EVSEs.
fn twins() -> Rig {
    let mut parts = parts();
    for (index, id) in [(BATTERY, "battery2"), (PV, "pv2")] {
        let kind = parts.assets[index.0].kind.clone();
        assert!(!matches!(kind, AssetKind::Evse(_)));
        let twin =
            AssetSpec { id: id.to_owned(), circuit: "site".to_owned(), phases: PhaseMap::three(), kind, modbus: None };
        parts.assets.push(twin);
    }
    let mut rig = Rig::of(parts);
    read_twins(&mut rig, 0, [0, 0], [0, 0]);
    rig.tick(0);
    rig.prove_all();
    rig
}

const SECOND_PV: AssetIndex = AssetIndex(SECOND.0 + 1);

/// Load, PV outputs, battery powers, all measured now.
fn read_twins(rig: &mut Rig, load_w: i64, pvs: [i64; 2], batteries: [i64; 2]) {
    let meter = load_w - pvs[0] - pvs[1] + batteries[0] + batteries[1];
    rig.read(meter, pvs[0], batteries[0], 500);
    rig.put(SECOND, batteries[1], None, Some(500));
    rig.put(SECOND_PV, -pvs[1], None, None);
}

fn control(rig: &mut Rig, asset: AssetIndex, is_controlled: bool) {
    rig.arbiter.put_control(asset, is_controlled, ms(rig.now)).unwrap();
}

fn counted(rig: &Rig, quantity: Quantity) -> (i64, i64) {
    let row = rig.row(quantity, SITE);
    (row.uncontrolled, row.help)
}

#[test]
fn an_uncontrolled_battery_helps_nobody_and_counts_at_what_it_may_charge_on_top_of_what_it_does() {
    let mut rig = Rig::ready(0);
    rig.bound(Quantity::GrossLoad, SITE, 50_000);
    rig.settle(1, 4_000, 0, -6_000, 500);
    assert_eq!(counted(&rig, Quantity::NetImport), (10_000, 15_000));
    assert_eq!(counted(&rig, Quantity::GrossLoad), (0, 0));
    let current = counted(&rig, Quantity::Current).0;
    control(&mut rig, BATTERY, false);
    rig.settle(1, 4_000, 0, -6_000, 500);
    assert_eq!(counted(&rig, Quantity::NetImport), (10_000 + RATING_CHARGE, 0));
    assert_eq!(counted(&rig, Quantity::GrossLoad), (RATING_CHARGE, 0));
    assert_eq!(counted(&rig, Quantity::Current), (current + RATING_CHARGE * 1_000 / 690 + 1, 0));
    rig.settle(1, 13_000, 0, 3_000, 500);
    assert_eq!(counted(&rig, Quantity::NetImport).0, 10_000 + RATING_CHARGE, "its charge is counted once");
}

#[test]
fn its_setpoint_goes_on_being_written_as_nothing_and_control_back_is_help_back() {
    let mut rig = Rig::ready(0);
    rig.want_w(BATTERY, -8_000);
    rig.settle(1, 70_000, 0, 0, 500);
    assert!(rig.power(BATTERY) < -8_000, "what exceeds the bound");
    control(&mut rig, BATTERY, false);
    rig.settle(1, 70_000, 0, 0, 500);
    assert_eq!(rig.power(BATTERY), 0);
    assert_eq!(rig.arbiter.grants()[BATTERY.0].reason, CountedReason::Nameplate);
    rig.want_w(BATTERY, 8_000);
    rig.settle(1, 10_000, 0, 0, 500);
    assert_eq!(rig.power(BATTERY), 0, "charge neither");
    control(&mut rig, BATTERY, true);
    rig.settle(1, 10_000, 0, 0, 500);
    assert_eq!((rig.power(BATTERY), counted(&rig, Quantity::NetImport)), (8_000, (10_000, 15_000)));
    assert_eq!(rig.arbiter.grants()[BATTERY.0].reason, CountedReason::Proved);
}

#[test]
fn grants_that_rest_on_a_battery_are_lowered_in_the_tick_in_which_control_is_lost() {
    let mut rig = Rig::ready(16);
    rig.settle(60, 10_000, 0, 0, 500);
    let before: i64 = rig.amps().iter().sum();
    control(&mut rig, BATTERY, false);
    rig.now += 100;
    rig.read(10_000, 0, 0, 500);
    assert!(rig.tick(0));
    let after: i64 = rig.amps().iter().sum();
    assert!(after < before, "{after} {before}");
    assert_eq!(rig.row(Quantity::NetImport, SITE).shortfall, 0);
    rig.prove_all();
    rig.settle(5, 10_000, 0, 0, 500);
    control(&mut rig, BATTERY, true);
    rig.settle(120, 10_000, 0, 0, 500);
    assert_eq!(rig.amps().iter().sum::<i64>(), before);
}

#[test]
fn on_a_lost_meter_and_below_an_unmetered_circuit_it_counts_at_its_charge_too() {
    let mut rig = Rig::ready(0);
    rig.settle(1, 10_000, 0, 0, 500);
    control(&mut rig, BATTERY, false);
    rig.tick(10_000);
    assert_eq!(counted(&rig, Quantity::NetImport).0, 20_000 + RATING_CHARGE);
    let mut parts = parts();
    parts.assets[BATTERY.0].circuit = "panel".to_owned();
    let mut rig = Rig::of(parts);
    rig.settle(1, 10_000, 0, 0, 500);
    let panel = |rig: &Rig| rig.row(Quantity::Current, PANEL).uncontrolled;
    assert_eq!(panel(&rig), 0);
    control(&mut rig, BATTERY, false);
    rig.settle(1, 10_000, 0, 0, 500);
    assert_eq!(panel(&rig), RATING_CHARGE * 1_000 / 690 + 1);
}

#[test]
fn a_silent_battery_that_nobody_controls_may_turn_from_full_discharge_to_full_charge() {
    let mut rig = Rig::ready(0);
    rig.settle(1, 10_000, 0, 0, 500);
    control(&mut rig, BATTERY, false);
    for _ in 0..25 {
        rig.now += 100;
        rig.put(METER, 10_000, Some(14_492), None);
        rig.put(PV, 0, None, None);
        rig.arbiter.decide(ms(rig.now));
    }
    assert_eq!(counted(&rig, Quantity::NetImport), (10_000 + RATING_DISCHARGE + RATING_CHARGE, 0));
    control(&mut rig, BATTERY, true);
    rig.settle(1, 10_000, 0, 0, 500);
    assert_eq!(counted(&rig, Quantity::NetImport), (10_000, 15_000));
}

#[test]
fn the_sun_leaves_room_for_the_full_discharge_of_an_uncontrolled_battery() {
    let mut rig = Rig::ready(0);
    rig.settle(1, -20_000, 25_000, 0, 900);
    assert_eq!(rig.power(PV), -29_750, "25 kW less 1 % and the load of 5 kW");
    control(&mut rig, BATTERY, false);
    rig.settle(1, -20_000, 25_000, 0, 900);
    assert_eq!(rig.power(PV), -(29_750 - RATING_DISCHARGE));
    rig.settle(1, -15_000, 10_000, -10_000, 900);
    assert_eq!(rig.power(PV), -(29_750 - RATING_DISCHARGE), "what it does already is not counted again");
    rig.bound(Quantity::GrossGeneration, SITE, 24_000);
    rig.settle(1, -5_000, 10_000, 0, 900);
    assert_eq!(rig.power(PV), -(24_000 - RATING_DISCHARGE));
    rig.bound(Quantity::GrossGeneration, SITE, 19_000);
    rig.settle(1, -5_000, 10_000, 0, 900);
    assert_eq!(rig.power(PV), 0);
    assert_eq!(rig.row(Quantity::GrossGeneration, SITE).shortfall, RATING_DISCHARGE - 19_000);
}

#[test]
fn the_sun_leaves_room_for_the_end_of_what_a_silent_battery_takes() {
    let mut rig = Rig::ready(0);
    rig.want_w(BATTERY, 8_000);
    rig.settle(1, -15_000, 28_000, 8_000, 500);
    assert_eq!(rig.power(BATTERY), 8_000);
    for _ in 0..25 {
        rig.now += 100;
        rig.put(METER, -15_000, Some(21_739), None);
        rig.put(PV, -28_000, None, None);
        rig.arbiter.decide(ms(rig.now));
    }
    assert_eq!(rig.power(PV), -(24_750 + 13_000 - 8_000), "the load of 5 kW is all that is sure");
}

#[test]
fn another_battery_makes_way_for_it_on_bounds_of_export_and_generation() {
    let mut rig = twins();
    rig.want_w(SECOND, -20_000);
    let settle = |rig: &mut Rig| {
        rig.now += 100;
        read_twins(rig, 10_000, [0, 0], [0, 0]);
        rig.tick(0);
        rig.power(SECOND)
    };
    // 24.75 kW and the load of 10 kW, less a tenth of two inverters.
    assert_eq!(settle(&mut rig), -20_000);
    control(&mut rig, BATTERY, false);
    assert_eq!(settle(&mut rig), -(24_750 + 10_000 - 6_000 - RATING_DISCHARGE));
    rig.bound(Quantity::GrossGeneration, SITE, 30_000);
    assert_eq!(settle(&mut rig), -(30_000 - 6_000 - RATING_DISCHARGE));
}

#[test]
fn another_battery_carries_what_an_uncontrolled_one_takes() {
    let mut rig = twins();
    rig.now += 100;
    read_twins(&mut rig, 55_000, [0, 0], [10_000, 0]);
    control(&mut rig, BATTERY, false);
    rig.tick(0);
    assert_eq!((rig.power(BATTERY), rig.power(SECOND)), (0, -(65_000 - 59_400)));
}

#[test]
fn help_of_another_battery_that_a_generation_bound_would_not_let_flow_beside_it_is_none() {
    let mut rig = twins();
    rig.bound(Quantity::GrossGeneration, SITE, 30_000);
    control(&mut rig, BATTERY, false);
    rig.now += 100;
    read_twins(&mut rig, 10_000, [0, 0], [0, 0]);
    rig.tick(0);
    assert_eq!(counted(&rig, Quantity::NetImport).1, 30_000 - 6_000 - RATING_DISCHARGE);
}

#[test]
fn other_inverters_leave_room_for_the_rating_of_an_uncontrolled_one_which_is_told_its_fair_cap() {
    let mut rig = twins();
    let settle = |rig: &mut Rig| {
        rig.now += 100;
        read_twins(rig, 15_250, [10_000, 10_000], [0, 0]);
        rig.put(BATTERY, 0, None, Some(900));
        rig.put(SECOND, 0, None, Some(900));
        rig.tick(0);
        (-rig.power(PV), -rig.power(SECOND_PV))
    };
    assert_eq!(settle(&mut rig), (20_000, 20_000));
    control(&mut rig, PV, false);
    assert_eq!(settle(&mut rig), (20_000, 40_000 - RATING_PV));
    rig.bound(Quantity::GrossGeneration, SITE, 32_000);
    assert_eq!(settle(&mut rig), (16_000, 32_000 - RATING_PV));
    control(&mut rig, PV, true);
    assert_eq!(settle(&mut rig), (16_000, 16_000));
}

#[test]
fn an_uncontrolled_inverter_is_worth_what_the_meter_shows_on_load_rows_and_no_more() {
    let mut rig = Rig::ready(0);
    rig.settle(1, 4_000, 6_000, 0, 500);
    let before = counted(&rig, Quantity::NetImport);
    control(&mut rig, PV, false);
    rig.settle(1, 4_000, 6_000, 0, 500);
    assert_eq!(counted(&rig, Quantity::NetImport), before);
    assert_eq!(before.0 - (before.1 - 15_000), 4_000, "the meter");
    assert_eq!(rig.arbiter.grants()[PV.0].reason, CountedReason::Nameplate);
}

#[test]
fn where_the_rating_of_what_nobody_controls_exceeds_an_export_bound_the_decision_says_so() {
    let mut rig = Rig::ready(0);
    rig.bound(Quantity::NetExport, SITE, 10_000);
    rig.settle(1, 5_000, 0, 0, 900);
    assert_eq!(rig.row(Quantity::NetExport, SITE).shortfall, 0);
    control(&mut rig, PV, false);
    rig.settle(1, 5_000, 0, 0, 900);
    assert_eq!(rig.row(Quantity::NetExport, SITE).shortfall, RATING_PV - 5_000 - 10_000);
}

#[test]
fn a_lost_meter_hides_no_shortfall_of_an_export_bound() {
    let mut rig = Rig::ready(0);
    rig.bound(Quantity::NetExport, SITE, 0);
    control(&mut rig, BATTERY, false);
    rig.settle(1, 46_590 - 24_118 - 11_590, 24_118, -11_590, 150);
    // The load falls by twice the step of the inverters in the same moment: the meter looks as if it counted the other way.
    rig.settle(4, 4_721 - 18_243, 18_243, 4_721, 150);
    let row = rig.row(Quantity::NetExport, SITE);
    assert!(row.meter_lost, "{row:?}");
    assert_eq!((rig.power(PV), row.shortfall), (0, RATING_DISCHARGE - LEAST_LOAD));
}

#[test]
fn control_is_of_pv_and_batteries_alone() {
    let mut rig = Rig::new();
    for asset in [METER, evse(0), AssetIndex(99)] {
        assert!(rig.arbiter.put_control(asset, false, ms(0)).is_err());
    }
    assert!(rig.arbiter.is_controlled(BATTERY) && rig.arbiter.is_controlled(PV));
}

/// What one tick of the plant shows, W; battery power positive charges.
#[derive(Clone, Debug)]
struct Moment {
    load: i64,
    sun: i64,
    battery: i64,
    soc: i64,
    is_controlled: bool,
    seconds: i64,
}

fn moments() -> impl Strategy<Value = Vec<Moment>> {
    let flows = (-5_000_i64..70_000, 0_i64..30_000, -RATING_DISCHARGE..RATING_CHARGE, 150_i64..950);
    let one = (flows, any::<bool>(), 1_i64..40).prop_map(|((load, sun, battery, soc), is_controlled, seconds)| {
        Moment { load, sun, battery, soc, is_controlled, seconds }
    });
    proptest::collection::vec(one, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Cars stand still and may start any moment; the building and the sun stay as they are.
    #[test]
    fn whatever_an_uncontrolled_battery_begins_every_bound_holds_or_what_is_controlled_is_at_its_least(
        moments in moments(),
        import in 20_000_i64..90_000,
        export in 0_i64..40_000,
    ) {
        let mut rig = Rig::ready(32);
        let limits = vec![rig.limit(Quantity::NetImport, SITE, import), rig.limit(Quantity::NetExport, SITE, export)];
        rig.put_limits(limits);
        for moment in moments {
            control(&mut rig, BATTERY, moment.is_controlled);
            let meter = moment.load - moment.sun + moment.battery;
            rig.settle(moment.seconds, meter, moment.sun, moment.battery, moment.soc);
            if moment.is_controlled {
                continue;
            }
            prop_assert_eq!(rig.power(BATTERY), 0);
            let row = rig.row(Quantity::NetImport, SITE);
            prop_assert!(row.help <= moment.sun, "{:?}", row);
            let granted: i64 = rig.amps().iter().zip([3, 3, 3, 3, 3, 1]).map(|(amps, conductors)| amps * conductors * 230).sum();
            // Where no meter tells, what the site states of its load counts.
            let load = if row.meter_lost { moment.load.clamp(LEAST_LOAD, MOST_LOAD) } else { moment.load };
            let most = load - moment.sun + RATING_CHARGE + granted;
            prop_assert!(most <= import.min(60_000) || (granted == 0 && row.shortfall > 0), "{} > {}", most, import);
            let row = rig.row(Quantity::NetExport, SITE);
            let out = -rig.power(PV) + RATING_DISCHARGE - load;
            prop_assert!(out <= export.min(25_000) || rig.power(PV) == 0, "{} > {}", out, export);
            prop_assert!(RATING_DISCHARGE - load <= row.bound || row.shortfall > 0, "{:?}", row);
        }
    }

    #[test]
    fn losing_control_raises_nothing_that_others_are_granted(moments in moments(), is_battery in any::<bool>()) {
        let mut rig = Rig::ready(32);
        for moment in &moments {
            let meter = moment.load - moment.sun + moment.battery;
            rig.settle(moment.seconds, meter, moment.sun, moment.battery, moment.soc);
        }
        let mut lost = rig.clone();
        control(&mut lost, if is_battery { BATTERY } else { PV }, false);
        for rig in [&mut rig, &mut lost] {
            rig.tick(100);
        }
        for (kept, lost) in rig.amps().into_iter().zip(lost.amps()) {
            prop_assert!(lost <= kept, "{} > {}", lost, kept);
        }
        let (kept, lost) = if is_battery { (rig.power(PV), lost.power(PV)) } else { (rig.power(BATTERY), lost.power(BATTERY)) };
        prop_assert!(lost.abs() <= kept.abs(), "{} {}", lost, kept);
    }
}
