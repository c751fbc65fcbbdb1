//! Phasor rows: exact cases of a delta load behind a delta-wye transformer, then the certificate of the sharing.

use proptest::prelude::*;

use super::super::fill::{fill, fill_phasors, Filled, Share};
use super::*;

const AB: Phasor = Phasor { u: 1, v: 0 };
const BC: Phasor = Phasor { u: -1, v: -1 };
const CA: Phasor = Phasor { u: 0, v: 1 };
/// Secondary A, B, C and primary A, B, C (times four) over classes 0, 1, 2 = AB, BC, CA.
const ROWS: [[(i64, Phasor); 3]; 6] = [
    [(1, AB), (0, BC), (-1, CA)],
    [(-1, AB), (1, BC), (0, CA)],
    [(0, AB), (-1, BC), (1, CA)],
    [(1, AB), (1, BC), (-2, CA)],
    [(-2, AB), (1, BC), (1, CA)],
    [(1, AB), (-2, BC), (1, CA)],
];

fn transformer(classes: &[usize], secondary: i64, primary: i64) -> Vec<PhasorRow> {
    let rows = ROWS.iter().enumerate().map(|(index, row)| {
        let times = |class: &usize| {
            let (times, phasor) = row[*class];
            Phasor { u: times * phasor.u, v: times * phasor.v }
        };
        let all = classes.iter().map(times).enumerate();
        let entries: Vec<_> = all.filter(|(_, phasor)| phasor.u != 0 || phasor.v != 0).collect();
        PhasorRow::new(if index < 3 { secondary } else { primary }, &entries).unwrap()
    });
    rows.collect()
}

fn shared(phasors: &Phasors, shares: &[Share]) -> Vec<Filled> {
    fill_phasors(&Matrix::new(shares.len(), std::iter::empty()), &[], phasors, shares)
}

fn up_to(cap: i64) -> Share {
    Share { floor: 0, cap, weight: 1, stratum: 1 }
}

#[test]
fn a_balanced_delta_draws_the_root_of_three_times_one_branch_from_each_line() {
    let phasors = Phasors::new(3, transformer(&[0, 1, 2], 17_320, 1_000_000));
    let values: Vec<_> = shared(&phasors, &[up_to(32_000); 3]).iter().map(|filled| filled.value).collect();
    assert_eq!(values, [9_999; 3], "17.320 A / sqrt 3 = 9.9997 A");
}

#[test]
fn a_full_row_lets_go_on_rising_who_is_not_in_it() {
    let phasors = Phasors::new(3, transformer(&[0, 1, 2], 20_000, 1_000_000));
    let filled = shared(&phasors, &[up_to(2_000), up_to(32_000), up_to(32_000)]);
    assert_eq!(filled[0], Filled { value: 2_000, row: None });
    // BC and CA share line C: x2 + x2 + x2 = 20 A squared.
    assert_eq!((filled[1].value, filled[2].value), (11_547, 11_547));
    let lone = shared(&phasors, &[up_to(0), up_to(32_000), up_to(5_000)]);
    // b2 + 5 b + 25 = 400
    assert_eq!(lone[1], Filled { value: 17_025, row: Some(2) });
}

#[test]
fn a_row_that_a_lower_draw_would_raise_is_held_at_that_lower_draw() {
    let row = PhasorRow::new(20_000, &[(0, Phasor { u: 1, v: 0 }), (1, Phasor { u: -1, v: 0 })]).unwrap();
    let phasors = Phasors::new(2, vec![row]);
    let filled = shared(&phasors, &[up_to(32_000); 2]);
    assert_eq!(filled[0], Filled { value: 20_000, row: Some(0) }, "the other may draw nothing");
    assert_eq!(filled[1], Filled { value: 20_000, row: Some(0) });
}

#[test]
fn a_row_of_no_coefficient_or_too_many_classes_is_refused() {
    assert!(PhasorRow::new(1, &[(0, Phasor { u: 0, v: 0 })]).is_err());
    let many: Vec<_> = (0..7).map(|column| (column, Phasor { u: 1, v: count(column) })).collect();
    assert!(PhasorRow::new(1, &many[..6]).is_ok());
    assert!(PhasorRow::new(1, &many).is_err());
}

proptest! {
    #[test]
    fn with_equal_angles_a_phasor_row_is_a_linear_row(
        caps in proptest::collection::vec((0_i64..32_000, 0_u32..3, 1_i64..3), 1..8), limit in 0_i64..200_000,
    ) {
        let shares: Vec<_> = caps
            .iter()
            .map(|(cap, weight, stratum)| Share { floor: 0, cap: *cap, weight: 1 << weight, stratum: *stratum })
            .collect();
        let entries: Vec<_> = (0..shares.len()).map(|column| (column, Phasor { u: 1, v: 1 })).collect();
        let phasors = Phasors::new(shares.len(), vec![PhasorRow::new(limit, &entries).unwrap()]);
        let matrix = Matrix::new(shares.len(), [(0..shares.len()).map(|column| (column, 1)).collect()].into_iter());
        for (one, other) in shared(&phasors, &shares).iter().zip(fill(&matrix, &[limit], &shares)) {
            prop_assert!((one.value - other.value).abs() <= 1, "{:?} {:?}", one, other);
        }
    }
}

/// Columns with their classes, the limits of both sides of the transformer, and one linear row over all.
fn sites() -> impl Strategy<Value = (Vec<usize>, Vec<Share>, i64, i64, i64)> {
    let share = (0_i64..3, 0_i64..32_000, 1_i64..5, 1_i64..3).prop_map(|(floor, more, weight, stratum)| {
        let floor = floor * 10;
        Share { floor, cap: floor + more, weight, stratum }
    });
    proptest::collection::vec((0_usize..3, share), 1..10).prop_flat_map(|columns| {
        let (classes, shares): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        (Just(classes), Just(shares), 1_000_i64..80_000, 2_000_i64..200_000, 1_000_i64..200_000)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_draw_breaks_a_row_and_nobody_can_get_more_but_from_someone_who_has_less(
        (classes, shares, secondary, primary, line) in sites(), parts in proptest::collection::vec(0_i64..=100, 10),
    ) {
        let phasors = Phasors::new(shares.len(), transformer(&classes, secondary, primary));
        let matrix = Matrix::new(shares.len(), [(0..shares.len()).map(|column| (column, 1)).collect()].into_iter());
        let filled = fill_phasors(&matrix, &[line], &phasors, &shares);
        let breaks = |values: &dyn Fn(usize) -> i64| over(&classes, secondary, primary, values);
        let is_over = breaks(&|column| filled[column].value * parts[column] / 100);
        prop_assert!(!is_over, "some draw below the grants");
        for vertex in 0..8 {
            let is_over = breaks(&|column| if vertex >> classes[column] & 1 == 1 { filled[column].value } else { 0 });
            prop_assert!(!is_over, "only the classes of {:b} draw", vertex);
        }
        for (column, share) in shares.iter().enumerate() {
            let Filled { value, row } = filled[column];
            prop_assert!(share.floor <= value && value <= share.cap);
            if row.is_none() {
                prop_assert_eq!(value, share.cap);
            }
            // Whoever has more gives what it has more; still this column cannot rise.
            let level = |rise: i64, weight: i64| weight * (value + 1 - share.floor) / share.weight + 1 >= rise;
            let left = |other: usize| {
                let theirs = &shares[other];
                let rise = filled[other].value - theirs.floor;
                let keeps = theirs.stratum < share.stratum
                    || theirs.stratum == share.stratum && level(rise, theirs.weight);
                let most = theirs.floor + theirs.weight * (value + 1 - share.floor) / share.weight + 1;
                let given = if theirs.stratum > share.stratum { theirs.floor } else { most };
                if other == column { value + 2 } else if keeps { filled[other].value + 1 } else { given }
            };
            match row {
                Some(phasor) if phasor > 0 => {
                    let any = (0..8).any(|vertex| {
                        breaks(&|other| if vertex >> classes[other] & 1 == 1 { left(other) } else { 0 })
                    });
                    prop_assert!(any, "row {} that stops column {} is full: {:?}", phasor, column, filled);
                }
                _ => {}
            }
        }
        let again: Vec<_> = shares.iter().zip(&filled).map(|(share, got)| Share { cap: got.value, ..*share }).collect();
        for (one, other) in filled.iter().zip(fill_phasors(&matrix, &[line], &phasors, &again)) {
            prop_assert!((one.value - 1..=one.value).contains(&other.value), "{:?} again {:?}", one, other);
        }
    }
}

/// Whether a line current of the transformer is over its limit at this draw, in whole numbers.
fn over(classes: &[usize], secondary: i64, primary: i64, draw: &dyn Fn(usize) -> i64) -> bool {
    let mut totals = [0_i128; 3];
    classes.iter().enumerate().for_each(|(column, class)| totals[*class] += i128::from(draw(column)));
    ROWS.iter().enumerate().any(|(index, row)| {
        let limit = i128::from(if index < 3 { secondary } else { primary });
        let part = |pick: fn(&Phasor) -> i64| -> i128 {
            row.iter().zip(totals).map(|((times, phasor), total)| i128::from(times * pick(phasor)) * total).sum()
        };
        let (along, across) = (part(|phasor| phasor.u), part(|phasor| phasor.v));
        along * along - along * across + across * across > limit * limit
    })
}
