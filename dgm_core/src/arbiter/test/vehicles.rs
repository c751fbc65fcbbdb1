//! EVSEs that may give back (V2X): counted as generation, and as load that the meter does not show.

use super::super::*;
use super::rig::*;
use crate::site::{AssetKind, PlugState};

/// The site with 16 A x 3 of V2X at EVSE 4: 11,040 W.
fn v2x() -> Rig {
    let mut parts = parts();
    if let AssetKind::Evse(evse) = &mut parts.assets[evse(4).0].kind {
        evse.discharge_max = ma(16);
    }
    Rig::of(parts)
}

fn settled(mut rig: Rig, quantity: Option<(Quantity, i64)>, meter_w: i64, pv_w: i64) -> Rig {
    if let Some((quantity, bound)) = quantity {
        rig.bound(quantity, SITE, bound);
    }
    rig.settle(60, meter_w, pv_w, 0, 900);
    rig
}

#[test]
fn an_export_limit_leaves_room_for_what_a_car_may_give_back() {
    let limit = Some((Quantity::NetExport, 15_000));
    let (plain, v2x) = (settled(Rig::new(), limit, 0, 5_000), settled(v2x(), limit, 0, 5_000));
    assert_eq!(plain.power(PV) - v2x.power(PV), -11_040, "{} {}", plain.power(PV), v2x.power(PV));
}

#[test]
fn a_generation_limit_counts_it_whole_and_says_when_it_alone_is_too_much() {
    let limit = Some((Quantity::GrossGeneration, 18_000));
    let rig = settled(v2x(), limit, 10_000, 5_000);
    assert_eq!(rig.power(PV), -(18_000 - 11_040));
    let rig = settled(self::v2x(), Some((Quantity::GrossGeneration, 10_000)), 10_000, 0);
    assert_eq!(rig.row(Quantity::GrossGeneration, SITE).shortfall, 1_040);
}

#[test]
fn the_meter_may_hide_as_much_load_whatever_the_car_was_last_seen_drawing() {
    for draw in [None, Some(10), Some(-16)] {
        let (mut plain, mut rig) = (Rig::new(), v2x());
        if let Some(amps) = draw {
            rig.sample(4, PlugState::Charging, amps, 0);
        }
        plain.read(20_000, 0, 0, 500);
        rig.read(20_000, 0, 0, 500);
        plain.tick(0);
        rig.tick(0);
        for quantity in [Quantity::NetImport, Quantity::Current] {
            let hidden = rig.row(quantity, SITE).uncontrolled - plain.row(quantity, SITE).uncontrolled;
            assert_eq!(hidden, if quantity == Quantity::Current { 16_000 } else { 11_040 }, "{draw:?}");
        }
    }
}

#[test]
fn more_than_it_can_draw_it_cannot_give_back() {
    let mut parts = parts();
    if let AssetKind::Evse(evse) = &mut parts.assets[evse(4).0].kind {
        evse.discharge_max = ma(33);
    }
    assert!(Site::new(parts).is_err_and(|error| error.to_string().contains("discharge_max_ma")));
}
