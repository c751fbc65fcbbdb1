//! Laws of the pure sharing and of single decisions, as properties: what `rules` does not see because it looks at whole
//! sites. Which rule of the safety page is proved where stands in tests/core/ARBITER.md.

use proptest::prelude::*;

use super::super::fill::{fill, Filled, Share};
use super::super::left::Tree;
use super::super::matrix::Matrix;
use super::super::phasor::Phasors;
use super::super::sharing::{Claim, Sharing};
use super::super::*;
use super::rig::*;
use crate::site::PlugState;

/// Rows of columns with coefficients, their budgets, claims, and who is admitted first.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Vec<(usize, i64)>>,
    budgets: Vec<i64>,
    claims: Vec<Claim>,
    order: Vec<usize>,
}

impl Case {
    fn share(&self) -> Vec<Filled> {
        let matrix = Matrix::new(self.claims.len(), self.rows.iter().cloned());
        let tree = Tree { matrix: &matrix, budgets: &self.budgets, phasors: &Phasors::default(), taken: &[] };
        Sharing::default().share(tree, &self.claims, &self.order).to_vec()
    }

    fn levels(&self) -> Vec<Filled> {
        let matrix = Matrix::new(self.claims.len(), self.rows.iter().cloned());
        let share = |claim: &Claim| Share { floor: 0, cap: claim.cap, weight: claim.weight, stratum: claim.stratum };
        fill(&matrix, &self.budgets, &self.claims.iter().map(share).collect::<Vec<_>>())
    }

    fn used(&self, row: usize, filled: &[Filled]) -> i64 {
        self.rows[row].iter().map(|(column, times)| times * filled[*column].value).sum()
    }
}

fn claims() -> impl Strategy<Value = Claim> {
    (0_i64..33, 1_i64..5, 1_i64..4, 1_i64..3, 0_i64..33).prop_map(|(cap, weight, stratum, minimums, held)| Claim {
        cap: cap * 1_000,
        weight,
        stratum,
        minimum: minimums * 4_000,
        step: 1_000,
        held: held * 1_000,
    })
}

fn cases() -> impl Strategy<Value = Case> {
    (1_usize..12, 1_usize..6).prop_flat_map(|(columns, rows)| {
        let row = proptest::collection::vec(proptest::option::of(1_i64..=3), columns).prop_map(|row| {
            let entries = row.into_iter().enumerate();
            entries.filter_map(|(column, times)| times.map(|times| (column, times))).collect::<Vec<_>>()
        });
        let all = proptest::collection::vec(claims(), columns);
        let order = Just((0..columns).collect::<Vec<_>>()).prop_shuffle();
        (proptest::collection::vec(row, rows), proptest::collection::vec(-5_000_i64..200_000, rows), all, order)
            .prop_map(|(rows, budgets, claims, mut order)| {
                order.retain(|column| claims[*column].cap >= claims[*column].minimum);
                order.sort_by_key(|column| claims[*column].stratum);
                Case { rows, budgets, claims, order }
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_row_is_over_its_budget_and_grants_are_nothing_or_from_the_minimum_to_the_cap_on_the_step(case in cases()) {
        let filled = case.share();
        for row in 0..case.rows.len() {
            prop_assert!(case.used(row, &filled) <= case.budgets[row].max(0), "row {}", row);
        }
        for (claim, filled) in case.claims.iter().zip(&filled) {
            let is_permitted = (claim.minimum..=claim.cap).contains(&filled.value) && filled.value % claim.step == 0;
            prop_assert!(filled.value == 0 || is_permitted, "{:?} {:?}", filled, claim);
        }
    }

    #[test]
    fn who_has_less_than_it_asks_for_is_told_a_row_that_is_full_but_for_steps(case in cases()) {
        let filled = case.share();
        for column in &case.order {
            let (claim, got) = (&case.claims[*column], filled[*column]);
            let missing = if got.value == 0 { claim.minimum } else { claim.step };
            if got.value + missing > claim.cap {
                continue;
            }
            let Some(row) = got.row else {
                return Err(TestCaseError::fail(format!("column {column} has {got:?} of {claim:?} and no reason")));
            };
            prop_assert!(case.rows[row].iter().any(|(other, _)| other == column), "row {} is not above it", row);
            let steps: i64 = case.rows[row].iter().map(|(other, times)| times * case.claims[*other].step).sum();
            let is_full = case.used(row, &filled) + steps > case.budgets[row];
            prop_assert!(got.value == 0 || is_full, "row {} is full but for steps: {:?}", row, filled);
            let times = case.rows[row].iter().find(|(other, _)| other == column).map_or(1, |entry| entry.1);
            let lacks = case.used(row, &filled) + times * missing > case.budgets[row];
            prop_assert!(got.value > 0 || lacks || is_full, "row {} has the minimum: {:?}", row, filled);
        }
    }

    #[test]
    fn sharing_again_what_was_shared_changes_nothing(case in cases()) {
        let filled = case.share();
        let mut again = case.clone();
        again.claims.iter_mut().zip(&filled).for_each(|(claim, filled)| claim.held = filled.value);
        let settled = again.share();
        again.claims.iter_mut().zip(&settled).for_each(|(claim, filled)| claim.held = filled.value);
        prop_assert_eq!(again.share(), settled);
    }

    #[test]
    fn a_tighter_row_never_has_more_under_it(case in cases(), row in 0_usize..6, share in 0_i64..1_000) {
        let row = row % case.rows.len();
        let mut tight = case.clone();
        tight.budgets[row] = case.budgets[row].max(0) * share / 1_000;
        let slack: i64 = case.rows[row].iter().map(|(_, times)| times).sum();
        let (before, after) = (case.levels(), tight.levels());
        prop_assert!(tight.used(row, &after) <= case.used(row, &before) + slack, "less than 1 mA of rounding each");
    }

    #[test]
    fn more_room_never_makes_the_least_of_the_first_stratum_less(case in cases(), row in 0_usize..6, more in 0_i64..50_000) {
        let row = row % case.rows.len();
        let mut wide = case.clone();
        wide.budgets[row] += more;
        let first = case.claims.iter().filter(|claim| claim.cap > 0).map(|claim| claim.stratum).min();
        let least = |filled: &[Filled]| {
            let levels = case.claims.iter().zip(filled).filter(|(claim, _)| Some(claim.stratum) == first && claim.cap > 0);
            levels.map(|(claim, filled)| if filled.value >= claim.cap { i64::MAX } else { (filled.value + 1) / claim.weight }).min()
        };
        prop_assert!(least(&wide.levels()) >= least(&case.levels()));
    }
}

/// Wants, draws and what is measured: a site in any middle of its day.
fn days() -> impl Strategy<Value = (Vec<(i64, i64)>, i64, i64, i64)> {
    let cars = proptest::collection::vec((0_i64..33, 0_i64..20), EVSES);
    (cars, 15_000_i64..90_000, -20_000_i64..40_000, 0_i64..4)
}

fn rested((cars, bound, meter, panel): &(Vec<(i64, i64)>, i64, i64, i64)) -> Rig {
    let mut rig = Rig::ready(0);
    let site = ActiveLimit { id: Arc::from("site"), ..rig.limit(Quantity::NetImport, SITE, *bound) };
    let row = ActiveLimit { id: Arc::from("panel"), ..rig.limit(Quantity::Current, PANEL, panel * 20_000) };
    rig.put_limits(vec![site, row]);
    for (index, (amps, drawn)) in cars.iter().enumerate() {
        rig.want(index, *amps);
        rig.sample(index, PlugState::Charging, *drawn, 0);
    }
    rig.settle(40, *meter, 5_000, -3_000, 600);
    rig
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn deciding_again_without_news_publishes_nothing(day in days()) {
        let mut rig = rested(&day);
        let before = (rig.arbiter.decision().sequence, rig.amps());
        rig.tick(0);
        rig.tick(0);
        prop_assert_eq!((rig.arbiter.decision().sequence, rig.amps()), before);
    }

    #[test]
    fn at_rest_every_grant_below_its_want_names_a_row_or_a_limit(day in days()) {
        let rig = rested(&day);
        for (index, (amps, _)) in day.0.iter().enumerate() {
            let grant = &rig.arbiter.grants()[evse(index).0];
            let wanted = if *amps < 6 { 0 } else { (*amps).min(32) * 1_000 };
            let GrantValue::Current(value) = grant.value else { panic!("{grant:?}") };
            let is_named = grant.binding_row.is_some() || grant.binding_limit.is_some();
            let is_stuck = grant.reason == CountedReason::Measured;
            prop_assert!(value.get() >= wanted || is_named || is_stuck, "{:?} of {}", grant, wanted);
        }
    }

    #[test]
    fn raises_of_one_cycle_take_at_most_half_of_what_a_metered_row_leaves(day in days(), more in 1_000_i64..40_000) {
        let mut rig = rested(&day);
        rig.want_all(32);
        let wider = ActiveLimit { id: Arc::from("site"), ..rig.limit(Quantity::NetImport, SITE, day.1 + more) };
        rig.put_limits(vec![wider]);
        rig.settle(20, day.2, 5_000, -3_000, 600);
        let before = rig.arbiter.columns.iter().map(|state| state.seat.granted).collect::<Vec<_>>();
        let counted = rig.row(Quantity::NetImport, SITE).evse_counted;
        rig.now += 1_000;
        rig.read(day.2, 5_000, -3_000, 600);
        rig.tick(0);
        let row = rig.row(Quantity::NetImport, SITE);
        let room = row.bound - row.uncontrolled + row.help - counted;
        let raised: i64 = rig.arbiter.columns.iter().zip(&before).enumerate().map(|(index, (state, before))| {
            let conductors = if index == 5 { 1 } else { 3 };
            (state.seat.granted - before).max(0) * conductors * 230 / 1_000
        }).sum();
        prop_assert!(raised == 0 || 2 * raised <= room + 2_000, "{} of {}", raised, room);
    }

    #[test]
    fn with_everything_lost_at_once_nothing_rises_under_any_row(day in days(), passed in 100_i64..3_000) {
        let mut rig = rested(&day);
        let totals = |rig: &Rig| rig.arbiter.decision().rows.iter().map(|row| row.evse_counted).collect::<Vec<_>>();
        let (mut before, rows) = (totals(&rig), rig.arbiter.decision().rows.len());
        for _ in 0..30 {
            rig.tick(passed);
            prop_assert_eq!(rig.arbiter.decision().rows.len(), rows);
            let after = totals(&rig);
            prop_assert!(after.iter().zip(&before).all(|(after, before)| after <= before), "{:?} {:?}", after, before);
            before = after;
        }
    }
}
