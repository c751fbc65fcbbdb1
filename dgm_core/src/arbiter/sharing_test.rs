//! Sharing with minimums and steps: by cases; its optimality is checked by the oracles in tests/core.

use super::*;
use crate::arbiter::matrix::Matrix;
use crate::arbiter::phasor::{Phasor, PhasorRow, Phasors};

fn claim(minimum: i64, step: i64) -> Claim {
    Claim { cap: 32_000, weight: 1, stratum: 1, minimum, step, held: 0 }
}

fn values(tree: Tree<'_>, claims: &[Claim], order: &[usize]) -> Vec<i64> {
    Sharing::default().share(tree, claims, order).iter().map(|filled| filled.value).collect()
}

#[test]
fn who_does_not_get_the_minimum_gets_nothing_and_the_row_that_lacks_it() {
    let matrix = Matrix::new(3, [vec![(0, 1), (1, 1), (2, 1)]].into_iter());
    let tree = Tree { matrix: &matrix, budgets: &[14_500], phasors: &Phasors::default(), taken: &[] };
    let mut sharing = Sharing::default();
    let filled = sharing.share(tree, &[claim(6_000, 1_000); 3], &[2, 0, 1]);
    assert_eq!(filled[1], Filled { value: 0, row: Some(0) });
    assert_eq!((filled[2].value, filled[0].value), (7_000, 7_000));
}

#[test]
fn crumbs_go_first_to_those_who_have_the_step_already_and_at_most_one_to_each() {
    let matrix = Matrix::new(3, [vec![(0, 1), (1, 1), (2, 1)]].into_iter());
    let tree = Tree { matrix: &matrix, budgets: &[26_000], phasors: &Phasors::default(), taken: &[] };
    assert_eq!(values(tree, &[claim(6_000, 1_000); 3], &[0, 1, 2]), [9_000, 9_000, 8_000]);
    let mut claims = [claim(6_000, 1_000); 3];
    claims[2].held = 9_000;
    assert_eq!(values(tree, &claims, &[0, 1, 2]), [9_000, 8_000, 9_000]);
    claims[2].held = 32_000;
    assert_eq!(values(tree, &claims, &[0, 1, 2]), [9_000, 8_000, 9_000]);
}

#[test]
fn a_row_of_angles_admits_steps_and_crumbs_only_as_far_as_any_draw_below_them_fits() {
    let entries = [(0, Phasor { u: 1, v: 0 }), (1, Phasor { u: 0, v: -1 })];
    let phasors = Phasors::new(2, vec![PhasorRow::new(12_500, &entries).unwrap()]);
    let matrix = Matrix::new(2, std::iter::empty());
    let tree = Tree { matrix: &matrix, budgets: &[], phasors: &phasors, taken: &[] };
    // Equal currents 60 degrees apart: 12.5 A / sqrt 3 = 7.2 A each.
    assert_eq!(values(tree, &[claim(6_000, 1_000); 2], &[0, 1]), [7_000, 7_000]);
    assert_eq!(values(tree, &[claim(8_000, 1_000); 2], &[1, 0]), [0, 12_000]);
    let taken = [[3_000, 0, 0, 0, 0, 0]];
    assert_eq!(values(Tree { taken: &taken, ..tree }, &[claim(6_000, 1_000); 2], &[0, 1]), [9_000, 0]);
}

#[test]
fn a_repeated_sharing_gives_the_same_answer() {
    let matrix = Matrix::new(3, [vec![(0, 1), (1, 1), (2, 1)]].into_iter());
    let tree = Tree { matrix: &matrix, budgets: &[26_000], phasors: &Phasors::default(), taken: &[] };
    let mut sharing = Sharing::default();
    let first = sharing.share(tree, &[claim(6_000, 1_000); 3], &[0, 1, 2]).to_vec();
    assert_eq!(sharing.share(tree, &[claim(6_000, 1_000); 3], &[0, 1, 2]), first);
}
