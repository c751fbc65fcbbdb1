//! Hostile words are refused by name; good ones give the sharing, and in version 2 the row that stopped each column.

use super::*;

#[test]
fn malformed_problems_are_refused_with_the_word_that_is_wrong() {
    let good = [1, 1, 1, 0, 16_000, 1, 1, 10_000, 1, 0, 3];
    assert_eq!(Problem::from_words(&good).unwrap().solve(), [3_333]);
    for length in 0..good.len() {
        assert!(Problem::from_words(&good[..length]).is_err(), "{length} words");
    }
    for (word, value) in [(0, 2), (1, -1), (2, i64::MAX), (4, -1), (5, 0), (7, -1), (8, 2), (9, 1), (10, 4)] {
        let mut bad = good;
        bad[word] = value;
        assert!(Problem::from_words(&bad).is_err(), "word {word} = {value}");
    }
}

#[test]
fn floors_that_do_not_fit_are_refused() {
    let words = [1, 1, 1, 6_000, 16_000, 1, 1, 10_000, 1, 0, 3];
    assert!(matches!(Problem::from_words(&words), Err(CoreError::Value { found: 18_000, .. })));
}

/// One column of 0..=16 A in one phasor row of coefficient 1.
const PHASOR: [i64; 12] = [2, 1, 0, 1, 0, 16_000, 1, 1, 10_000, 1, 0, 1];

#[test]
fn the_second_layout_names_the_row_that_stopped_a_column() {
    let words = [&PHASOR[..], &[0]].concat();
    assert_eq!(Problem::from_words(&words).unwrap().solve(), [10_000, 0]);
    let mut roomy = words.clone();
    roomy[8] = 20_000;
    assert_eq!(Problem::from_words(&roomy).unwrap().solve(), [16_000, NO_ROW]);
}

#[test]
fn malformed_phasor_rows_are_refused() {
    let good = [&PHASOR[..], &[0]].concat();
    for length in 0..good.len() {
        assert!(Problem::from_words(&good[..length]).is_err(), "{length} words");
    }
    for (word, value) in [(0, 3), (3, -1), (3, 2), (4, 11_000), (8, -1), (9, 2), (10, 1), (11, 9), (11, 0), (12, -9)] {
        let mut bad = good.clone();
        bad[word] = value;
        assert!(Problem::from_words(&bad).is_err(), "word {word} = {value}");
    }
}

#[test]
fn a_shared_problem_takes_new_columns_and_keeps_the_old_ones_when_one_is_out_of_range() {
    let words = [1, 2, 1, 0, 16_000, 1, 1, 0, 16_000, 1, 1, 20_000, 2, 0, 1, 1, 1];
    let mut shared = SharedProblem::new(Problem::from_words(&words).unwrap());
    let values = |filled: &[Filled]| filled.iter().map(|filled| filled.value).collect::<Vec<_>>();
    assert_eq!(values(shared.fill()), [10_000, 10_000]);
    let claims = [[16_000, 3, 1, 6_000, 1_000, 0], [16_000, 1, 1, 6_000, 1_000, 1]];
    shared.claim(claims.iter().map(|row| &row[..])).unwrap();
    assert_eq!(values(shared.fill()), [15_000, 5_000]);
    assert_eq!(values(shared.share()), [12_000, 8_000]);
    for (word, value) in [(0, -1), (1, 0), (2, -1), (3, 0), (4, 0), (4, 4_000)] {
        let mut bad = claims;
        bad[1][word] = value;
        assert!(shared.claim(bad.iter().map(|row| &row[..])).is_err(), "{word} = {value}");
    }
    assert!(shared.claim(claims.iter().map(|row| &row[..]).take(1)).is_err());
    assert_eq!(values(shared.share()), [12_000, 8_000]);
}
