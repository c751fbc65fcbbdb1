//! Line currents of transformers: the EVSEs of a garage line to line below a delta-wye transformer, and its two sides.
//!
//! ```text
//! site ── panel: delta-wye 4 to 1; evse 0, 1 on L1 L2; 2, 3 on L2 L3; 4, 5 on L3 L1
//! ```

use proptest::prelude::*;

use super::super::*;
use super::rig::*;
use crate::site::{AssetKind, Phase, PhaseMap, SiteParts, Transformer};
use crate::units::Permille;

const PAIRS: [[Phase; 2]; 3] = [[Phase::L1, Phase::L2], [Phase::L2, Phase::L3], [Phase::L3, Phase::L1]];

fn garage(load: i64, supply: i64, is_delta: bool) -> SiteParts {
    let mut parts = parts();
    let some = |limit: i64| (limit > 0).then(|| Milliamps::new(limit));
    let turns = Permille::new(4_000);
    parts.circuits[1].current_limit = None;
    parts.circuits[1].transformer =
        Some(Transformer { is_delta, load_limit: some(load), supply_limit: some(supply), turns });
    parts.circuits[0].current_limit = None;
    let evses = parts.assets.iter_mut().filter(|asset| matches!(asset.kind, AssetKind::Evse(_)));
    for (index, asset) in evses.enumerate() {
        asset.circuit = "panel".to_owned();
        let AssetKind::Evse(evse) = &mut asset.kind else { continue };
        evse.phases = PhaseMap::new(&PAIRS[index / 2], "test").unwrap();
        asset.phases = evse.phases.clone();
    }
    parts
}

fn ready(parts: SiteParts, wants: &[i64]) -> Rig {
    let mut rig = Rig::of(parts);
    rig.read(10_000, 0, 0, 500);
    rig.tick(0);
    rig.prove_all();
    wants.iter().enumerate().for_each(|(index, amps)| rig.want(index, *amps));
    rig.settle(30, 10_000, 0, 0, 500);
    rig
}

/// (A, B) of AB - CA and of AB + BC - 2 CA in floating point, for each of the three lines, at currents of the three pairs.
fn line_currents(pairs: [f64; 3]) -> ([f64; 3], [f64; 3]) {
    let angles = [0.0_f64, -120.0, 120.0].map(f64::to_radians);
    let phasor = |pair: usize| (pairs[pair] * angles[pair].cos(), pairs[pair] * angles[pair].sin());
    let [ab, bc, ca] = [phasor(0), phasor(1), phasor(2)];
    let minus = |one: (f64, f64), other: (f64, f64)| (one.0 - other.0, one.1 - other.1);
    let lines = [minus(ab, ca), minus(bc, ab), minus(ca, bc)];
    let size = |found: (f64, f64)| found.0.hypot(found.1);
    let supply = [minus(lines[0], lines[2]), minus(lines[1], lines[0]), minus(lines[2], lines[1])];
    (lines.map(size), supply.map(size))
}

#[test]
fn equal_cars_on_all_pairs_draw_the_root_of_three_times_one_pair_from_each_line() {
    let rig = ready(garage(70_000, 0, true), &[32; 6]);
    // 2 x 20 A a pair x root 3 = 69.3 A; 21 A would be 72.7.
    assert_eq!(rig.amps(), [20; 6]);
    let row = rig.arbiter.decision().rows.iter().find(|row| row.limit_id.ends_with("LOAD")).unwrap();
    assert_eq!((row.bound, row.evse_counted, row.shortfall), (70_000, 69_283, 0));
    let grant = &rig.arbiter.grants()[evse(0).0];
    assert_eq!(grant.binding_limit.as_deref(), Some("site:panel:TRANSFORMER_LOAD"));
    assert_eq!(rig.arbiter.decision().rows[grant.binding_row.unwrap()].circuit, PANEL);
}

#[test]
fn the_delta_side_binds_by_its_own_current_over_turns() {
    // 3 x 40 A over 4 = 30 A in each line of the delta.
    assert_eq!(ready(garage(0, 30_000, true), &[32; 6]).amps(), [20; 6]);
    assert_eq!(ready(garage(0, 17_330, false), &[32; 6]).amps(), [20; 6], "a wye: root 3 x 40 A over 4");
}

#[test]
fn load_that_nobody_controls_leaves_less_at_whatever_angle_it_is() {
    let mut parts = garage(70_000, 0, true);
    parts.circuits[1].max_uncontrolled = Some(Watts::new(6_900));
    assert_eq!(ready(parts, &[32; 6]).amps(), [18, 17, 17, 17, 17, 17], "10 A less: 60 A hold 35, 34 and 34 A");
}

#[test]
fn a_deaf_car_on_one_pair_takes_its_whole_current_from_the_lines_it_is_on() {
    let mut rig = ready(garage(70_000, 0, true), &[32; 6]);
    rig.outcome(0, OutcomeState::Wiped);
    rig.settle(0, 10_000, 0, 0, 500);
    for _ in 0..100 {
        rig.now += 100;
        rig.read(10_000, 0, 0, 500);
        rig.arbiter.decide(ms(rig.now));
        (1..EVSES).for_each(|index| rig.outcome(index, OutcomeState::Confirmed));
    }
    let counted: Vec<i64> = (0..EVSES).map(|index| rig.arbiter.grants()[evse(index).0].counted.get()).collect();
    assert_eq!(counted[0], 32_000);
    let pairs = [counted[0] + counted[1], counted[2] + counted[3], counted[4] + counted[5]].map(|sum| sum as f64);
    assert!(line_currents(pairs).0.iter().all(|line| *line <= 70_000.0), "{counted:?}");
}

#[test]
fn kinds_that_cannot_be_added_and_things_that_feed_back_are_refused_below_a_transformer() {
    let refused = |change: &dyn Fn(&mut SiteParts)| {
        let mut parts = garage(70_000, 0, true);
        change(&mut parts);
        Site::new(parts).unwrap_err().to_string()
    };
    let mixed = refused(&|parts| {
        let AssetKind::Evse(evse) = &mut parts.assets[3].kind else { panic!("an EVSE") };
        evse.phases = PhaseMap::three();
    });
    assert!(mixed.contains("line to line") && mixed.contains("circuits.panel.transformer"), "{mixed}");
    assert!(refused(&|parts| parts.assets[1].circuit = "panel".to_owned()).contains("no PV"));
    let none = |parts: &mut SiteParts| {
        parts.circuits[1].transformer.as_mut().unwrap().load_limit = None;
    };
    assert!(refused(&none).contains("load_limit_ma"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_cars_draw_below_their_grants_no_line_of_the_transformer_is_over(
        wants in proptest::collection::vec(0_i64..33, EVSES),
        parts in proptest::collection::vec(0_i64..=1_000, EVSES),
        load in 0_i64..120_000,
        supply in 10_000_i64..60_000,
        is_delta in any::<bool>(),
        wiped in proptest::option::of(0..EVSES),
    ) {
        let mut rig = ready(garage(load, supply, is_delta), &wants);
        if let Some(index) = wiped {
            rig.outcome(index, OutcomeState::Wiped);
        }
        for _ in 0..25 {
            rig.now += 100;
            rig.read(10_000, 0, 0, 500);
            rig.arbiter.decide(ms(rig.now));
            (0..EVSES).filter(|index| Some(*index) != wiped).for_each(|index| rig.outcome(index, OutcomeState::Confirmed));
            let is_short = rig.arbiter.decision().rows.iter().any(|row| row.shortfall > 0);
            for worst in [false, true] {
                let drawn = |index: usize| {
                    let part = if worst { 1_000 } else { parts[index] };
                    let share = part as f64 / 1_000.0;
                    rig.arbiter.columns[index].seat.granted as f64 * share
                };
                let pairs = [0, 2, 4].map(|first| drawn(first) + drawn(first + 1));
                let (lines, feeding) = line_currents(pairs);
                let feeding = if is_delta { feeding } else { lines };
                prop_assert!(load == 0 || lines.iter().all(|line| *line <= load as f64 + 1e-6) || is_short, "{:?}", lines);
                prop_assert!(feeding.iter().all(|line| *line <= 4.0 * supply as f64 + 1e-6) || is_short, "{:?}", feeding);
            }
            if is_short {
                prop_assert!(rig.amps().iter().enumerate().all(|(index, amps)| *amps == 0 || Some(index) == wiped));
            }
        }
    }
}
