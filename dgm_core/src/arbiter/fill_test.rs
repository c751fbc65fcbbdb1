//! The sharing is checked by its certificate (who could get more only at the cost of someone worse off) and by cases.

use proptest::prelude::*;

use super::*;

fn share(floor: i64, cap: i64, weight: i64, stratum: i64) -> Share {
    Share { floor, cap, weight, stratum }
}

fn values(matrix: &Matrix, budgets: &[i64], shares: &[Share]) -> Vec<i64> {
    fill(matrix, budgets, shares).iter().map(|filled| filled.value).collect()
}

#[test]
fn one_row_is_shared_by_weight_above_the_floor() {
    let matrix = Matrix::new(3, [vec![(0, 1), (1, 1), (2, 1)]].into_iter());
    let shares = [share(6_000, 32_000, 1, 1), share(6_000, 32_000, 2, 1), share(6_000, 7_000, 4, 1)];
    assert_eq!(values(&matrix, &[28_000], &shares), [9_000, 12_000, 7_000]);
}

#[test]
fn a_lower_stratum_is_served_before_a_higher_one_gets_more_than_its_floor() {
    let matrix = Matrix::new(2, [vec![(0, 3), (1, 3)]].into_iter());
    let shares = [share(6_000, 32_000, 1, 2), share(6_000, 32_000, 1, 1)];
    assert_eq!(values(&matrix, &[96_000], &shares), [6_000, 26_000]);
}

#[test]
fn who_is_not_in_the_full_row_gets_what_it_leaves_elsewhere() {
    let rows = [vec![(0, 1), (1, 1), (2, 1)], vec![(0, 1)]];
    let matrix = Matrix::new(3, rows.into_iter());
    let filled = fill(&matrix, &[30_000, 5_000], &[share(0, 32_000, 1, 1); 3]);
    assert_eq!(filled[0], Filled { value: 5_000, row: Some(1) });
    assert_eq!(filled[1], Filled { value: 12_500, row: Some(0) });
    assert_eq!(filled[2], Filled { value: 12_500, row: Some(0) });
}

#[test]
fn a_hundred_fractions_do_not_add_up_to_a_milliamp() {
    let matrix = Matrix::new(101, [(0..101).map(|column| (column, 1)).collect(), vec![(100, 1)]].into_iter());
    let answer = values(&matrix, &[1_000_000, 32_000], &[share(0, 32_000, 1, 1); 101]);
    assert!(answer.iter().all(|value| *value == 9_900), "{answer:?}");
}

/// A random tree: every column hangs in some rows, with coefficients of 1 to 3.
type Entries = Vec<Vec<(usize, i64)>>;

fn problems() -> impl Strategy<Value = (Vec<Share>, Entries, Vec<i64>)> {
    (1_usize..12, 1_usize..6).prop_flat_map(|(columns, rows)| {
        let one = (0_i64..3, 0_i64..32_000, 1_i64..5, 1_i64..3)
            .prop_map(|(floors, more, weight, stratum)| share(floors * 10, floors * 10 + more, weight, stratum));
        let row = proptest::collection::vec(proptest::option::of(1_i64..=3), columns).prop_map(|row| {
            let entries = row.into_iter().enumerate();
            entries.filter_map(|(column, times)| times.map(|times| (column, times))).collect::<Vec<_>>()
        });
        let budgets = proptest::collection::vec(2_000_i64..300_000, rows);
        (proptest::collection::vec(one, columns), proptest::collection::vec(row, rows), budgets)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nobody_can_get_more_but_from_someone_who_has_less((shares, rows, budgets) in problems()) {
        let matrix = Matrix::new(shares.len(), rows.iter().cloned());
        let filled = fill(&matrix, &budgets, &shares);
        let used = |row: usize| rows[row].iter().map(|(column, times)| times * filled[*column].value).sum::<i64>();
        for (row, budget) in budgets.iter().enumerate() {
            prop_assert!(used(row) <= *budget, "row {} holds", row);
        }
        for (column, share) in shares.iter().enumerate() {
            let value = filled[column].value;
            prop_assert!(share.floor <= value && value <= share.cap);
            let Some(row) = filled[column].row else {
                prop_assert_eq!(value, share.cap);
                continue;
            };
            let slack: i64 = rows[row].iter().map(|(_, times)| times).sum();
            prop_assert!(budgets[row] - used(row) <= slack, "the row that stops column {} is full", column);
            for (other, _) in &rows[row] {
                let (mine, theirs) = (share, &shares[*other]);
                let rise = filled[*other].value - theirs.floor;
                let is_no_worse = rise * mine.weight <= (value - mine.floor + 1) * theirs.weight + mine.weight;
                prop_assert!(theirs.stratum < mine.stratum || is_no_worse || rise == 0, "column {} over {}", other, column);
            }
        }
    }
}
