//! What an EVSE counts at, in the order in which things happen to it.

use super::*;
use crate::site::{Evse, PhaseMap};
use crate::units::AssetIndex;

const AMP: i64 = 1_000;
const VOLTAGE: Millivolts = Millivolts::new(230_000);

fn column() -> Column {
    let evse = Evse {
        phases: PhaseMap::three(),
        current_max: Milliamps::new(32 * AMP),
        current_min: Milliamps::new(6 * AMP),
        current_step: Milliamps::new(AMP),
        fallback: Milliamps::new(8 * AMP),
        discharge_max: Milliamps::ZERO,
        weight: 1,
        stratum: 1,
        station: "s".to_owned(),
    };
    Column { asset: AssetIndex(0), evse }
}

fn outcome(sequence: i64, state: OutcomeState, amps: i64) -> Outcome {
    let value = Some(Milliamps::new(amps * AMP));
    Outcome { asset: AssetIndex(0), sequence, state, value, fallback: None }
}

fn sample(plug: PlugState, amps: Option<i64>) -> EvseSample {
    let current = [amps.map(|amps| Milliamps::new(amps * AMP)), None, None];
    EvseSample { asset: AssetIndex(0), age: Millis::ZERO, plug, power: None, current, soc: None, energy: None }
}

fn at(ms: i64) -> Millis {
    Millis::new(ms)
}

fn counted(account: &Account) -> (i64, &'static str) {
    let (current, reason) = account.counted(&column(), true);
    (current.get() / AMP, reason.name())
}

/// Proved at 16 A as sequence 1.
fn proved() -> Account {
    let mut account = Account::default();
    account.publish(1, Milliamps::new(16 * AMP), at(0));
    account.settle(&outcome(1, OutcomeState::Confirmed, 16), 1, at(500));
    account
}

#[test]
fn an_evse_of_which_nothing_is_proved_counts_at_nameplate_whatever_it_was_sent() {
    let mut account = Account::default();
    assert_eq!(counted(&account), (32, "nameplate"));
    account.publish(1, Milliamps::ZERO, at(0));
    for state in [OutcomeState::Sent, OutcomeState::Accepted, OutcomeState::Rejected, OutcomeState::TimedOut] {
        account.settle(&outcome(1, state, 0), 1, at(100));
        assert_eq!(counted(&account), (32, "nameplate"));
    }
    account.settle(&outcome(1, OutcomeState::Measured, 0), 1, at(200));
    assert_eq!(counted(&account), (0, "proved"));
}

#[test]
fn a_decrease_frees_nothing_until_it_is_proved_and_an_increase_counts_at_once() {
    let mut account = proved();
    account.publish(2, Milliamps::new(6 * AMP), at(1_000));
    assert_eq!(counted(&account), (16, "proved"));
    account.publish(3, Milliamps::new(20 * AMP), at(2_000));
    assert_eq!(counted(&account), (20, "pending"));
    account.settle(&outcome(2, OutcomeState::Confirmed, 6), 3, at(2_100));
    assert_eq!(counted(&account), (20, "pending"));
    account.settle(&outcome(3, OutcomeState::Confirmed, 20), 3, at(2_200));
    assert_eq!(counted(&account), (20, "proved"));
}

#[test]
fn a_proof_of_something_older_or_never_published_says_nothing() {
    let mut account = proved();
    account.publish(5, Milliamps::new(6 * AMP), at(1_000));
    account.settle(&outcome(5, OutcomeState::Confirmed, 6), 5, at(1_100));
    account.settle(&outcome(1, OutcomeState::Confirmed, 0), 5, at(1_200));
    account.settle(&outcome(9, OutcomeState::Confirmed, 0), 5, at(1_200));
    assert_eq!(counted(&account), (6, "proved"));
}

#[test]
fn what_was_wiped_counts_at_nameplate_until_it_is_proved_again() {
    let mut account = proved();
    account.settle(&outcome(1, OutcomeState::Wiped, 0), 1, at(1_000));
    assert_eq!(counted(&account), (32, "nameplate"));
    assert_eq!(account.standing(true, at(1_000)), Standing::Stuck);
    account.settle(&outcome(1, OutcomeState::Confirmed, 16), 1, at(1_500));
    assert_eq!(counted(&account), (16, "proved"));
}

#[test]
fn an_unreachable_evse_counts_at_its_fallback_if_that_is_more() {
    let mut account = Account::default();
    account.publish(1, Milliamps::new(6 * AMP), at(0));
    account.settle(&outcome(1, OutcomeState::Confirmed, 6), 1, at(100));
    assert_eq!(account.counted(&column(), false).0, Milliamps::new(8 * AMP));
    account.measure(&sample(PlugState::Offline, None), &column(), VOLTAGE, at(200));
    assert_eq!(counted(&account), (8, "fallback"));
    assert_eq!(account.standing(true, at(200)), Standing::Stuck);
}

#[test]
fn a_proved_floor_replaces_the_configured_one() {
    let mut account = proved();
    let proof = Outcome { fallback: Some(Milliamps::new(20 * AMP)), ..outcome(1, OutcomeState::Confirmed, 16) };
    account.settle(&proof, 1, at(600));
    assert_eq!(account.counted(&column(), false), (Milliamps::new(20 * AMP), CountedReason::Fallback));
}

#[test]
fn an_evse_that_draws_more_than_its_limit_counts_at_what_it_draws() {
    let mut account = proved();
    account.measure(&sample(PlugState::Charging, Some(17)), &column(), VOLTAGE, at(20_000));
    assert_eq!(counted(&account), (17, "measured"));
    let excess = Milliamps::new(AMP);
    assert_eq!(account.standing(true, at(20_000)), Standing::Follows { excess });
    account.measure(&sample(PlugState::Charging, Some(19)), &column(), VOLTAGE, at(30_000));
    assert_eq!(counted(&account), (19, "measured"));
    assert_eq!(account.standing(true, at(30_000)), Standing::Stuck, "it does not obey");
    account.measure(&sample(PlugState::Charging, Some(16)), &column(), VOLTAGE, at(40_000));
    assert_eq!(account.standing(true, at(40_000)), Standing::Follows { excess: Milliamps::ZERO });
}

#[test]
fn a_sample_taken_while_it_still_obeyed_the_limit_before_is_no_excess() {
    let mut account = proved();
    account.publish(2, Milliamps::new(6 * AMP), at(1_000));
    account.settle(&outcome(2, OutcomeState::Confirmed, 6), 2, at(1_200));
    account.measure(&sample(PlugState::Charging, Some(16)), &column(), VOLTAGE, at(2_000));
    assert_eq!(counted(&account), (16, "measured"));
    assert_eq!(account.standing(true, at(2_000)), Standing::Follows { excess: Milliamps::ZERO });
}

#[test]
fn an_evse_that_does_not_prove_its_setpoint_in_time_or_refuses_it_is_deaf() {
    let follows = Standing::Follows { excess: Milliamps::ZERO };
    let mut account = proved();
    account.publish(2, Milliamps::new(6 * AMP), at(1_000));
    assert_eq!(account.standing(true, at(999 + DEAF_AFTER_MS)), follows);
    assert_eq!(account.standing(true, at(1_000 + DEAF_AFTER_MS)), Standing::Stuck);
    account.settle(&outcome(2, OutcomeState::Confirmed, 6), 2, at(9_000));
    assert_eq!(account.standing(true, at(9_000)), follows);
    account.publish(3, Milliamps::ZERO, at(10_000));
    account.settle(&outcome(3, OutcomeState::TimedOut, 0), 3, at(10_100));
    assert_eq!(account.standing(true, at(10_100)), Standing::Stuck);
}

#[test]
fn setpoints_in_flight_are_bounded_and_lose_nothing_by_it() {
    let mut account = proved();
    account.publish(2, Milliamps::new(30 * AMP), at(0));
    for sequence in 3..40 {
        account.publish(sequence, Milliamps::new(6 * AMP), at(sequence));
    }
    assert_eq!(account.pending.len(), PENDING_MAX);
    assert_eq!(counted(&account), (30, "pending"));
    account.settle(&outcome(30, OutcomeState::Confirmed, 6), 39, at(100));
    assert_eq!(counted(&account), (30, "pending"), "merged with one that is still in flight");
    account.settle(&outcome(39, OutcomeState::Confirmed, 6), 39, at(100));
    assert_eq!(counted(&account), (6, "proved"));
}
