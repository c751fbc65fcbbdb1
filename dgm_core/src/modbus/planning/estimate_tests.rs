#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::num::NonZeroU32;

use super::super::cost::SerialSpeed;

fn lan() -> LineCost {
    LineCost::tcp(Micros::from_millis(5))
}

fn estimator() -> CostEstimator {
    CostEstimator::new(lan(), LineCost::new(Nanos::ZERO, Nanos::ZERO))
}

fn truth(fixed_us: i64, register_us: i64) -> impl Fn(u16) -> Micros {
    move |registers| Micros::new(fixed_us + register_us * i64::from(registers))
}

/// Within a tenth of the truth at the lengths 10 and 100.
fn is_close(cost: LineCost, truth: impl Fn(u16) -> Micros) -> bool {
    [10u16, 100].iter().all(|registers| off_permille(cost.read(*registers), Nanos::from(truth(*registers))) <= 100)
}

#[test]
fn lengths_that_differ_reveal_both_parts() {
    let mut estimator = estimator();
    let line = truth(11_500, 1_146);
    for round in 0..100u16 {
        let registers = [2, 33, 10, 60][usize::from(round % 4)];
        estimator.observe(registers, line(registers));
    }
    assert!(is_close(estimator.cost(), line), "{:?}", estimator.cost());
    assert_eq!(estimator.cost().gap_max(125), 10);
}

#[test]
fn reads_of_one_length_leave_the_slope_at_its_start_and_find_the_level() {
    let mut estimator = estimator();
    for _ in 0..100 {
        estimator.observe(50, Micros::new(800));
    }
    assert_eq!(estimator.cost().per_register(), lan().per_register());
    assert_eq!(estimator.cost().read(50), Nanos::new(800_000));
}

#[test]
fn a_serial_line_never_looks_faster_than_its_characters() {
    let speed = SerialSpeed { baud: NonZeroU32::new(9_600).unwrap(), bits_per_character: 11 };
    let floor = LineCost::serial(speed, Micros::ZERO);
    let mut estimator = CostEstimator::new(LineCost::serial(speed, Micros::from_millis(20)), floor);
    for registers in (0..200).map(|round| [3, 90][round % 2]) {
        estimator.observe(registers, Micros::new(1));
    }
    assert_eq!(estimator.cost(), floor);
}

#[test]
fn one_stray_answer_hardly_moves_the_cost() {
    let mut estimator = estimator();
    let line = truth(400, 1);
    for registers in (0..100).map(|round| [5, 100][round % 2]) {
        estimator.observe(registers, line(registers));
    }
    let before = estimator.cost();
    assert!(estimator.replan().is_some());
    estimator.observe(5, Micros::from_millis(400));
    assert!(off_permille(estimator.cost().read(50), before.read(50)) < 50);
    assert_eq!(estimator.replan(), None);
}

#[test]
fn a_lasting_change_asks_for_one_new_plan() {
    let mut estimator = estimator();
    let mut plans = Vec::new();
    let mut run = |estimator: &mut CostEstimator, line: &dyn Fn(u16) -> Micros, rounds: usize| {
        for registers in (0..rounds).map(|round| [5, 100][round % 2]) {
            estimator.observe(registers, line(registers));
            plans.extend(estimator.replan());
        }
        std::mem::take(&mut plans).len()
    };
    // The first plan was made with what was assumed, and the line is four times as fast.
    assert_eq!(run(&mut estimator, &truth(1_200, 1), 400), 1);
    assert_eq!(run(&mut estimator, &truth(1_300, 1), 400), 0);
    assert!(run(&mut estimator, &truth(6_000, 1), 600) >= 1);
    assert!(is_close(estimator.cost(), truth(6_000, 1)), "{:?}", estimator.cost());
}

#[test]
fn a_line_that_trembles_around_the_threshold_is_not_planned_anew_all_the_time() {
    let mut estimator = estimator();
    let plans = (0..2_000).filter(|round| {
        let time = if (round / 10) % 2 == 0 { 5_000 } else { 7_000 };
        estimator.observe(20, Micros::new(time));
        estimator.replan().is_some()
    });
    assert!(plans.count() <= 1);
}

proptest! {
    #[test]
    fn whatever_is_observed_no_part_becomes_negative(
        seen in prop::collection::vec((any::<u16>(), any::<i64>()), 0..200),
    ) {
        let mut estimator = estimator();
        for (registers, time) in seen {
            estimator.observe(registers, Micros::new(time));
            prop_assert!(estimator.cost().fixed() >= Nanos::ZERO);
            prop_assert!(estimator.cost().per_register() >= Nanos::ZERO);
            estimator.replan();
        }
    }

    #[test]
    fn a_steady_line_with_noise_is_found_to_a_tenth(
        fixed in 500i64..50_000,
        register in 0i64..2_500,
        noise in prop::collection::vec((1u16..125, -30i64..=30), 400),
    ) {
        let mut estimator = estimator();
        let line = truth(fixed, register);
        for (registers, permille) in noise {
            let exact = line(registers).get();
            estimator.observe(registers, Micros::new(exact + exact * permille / 1000));
        }
        prop_assert!(is_close(estimator.cost(), line), "{:?}", estimator.cost());
    }
}
