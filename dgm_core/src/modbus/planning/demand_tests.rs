use super::*;

const fn ms(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

fn read(cost_ms: i64, period_ms: i64) -> ReadDemand {
    ReadDemand { cost: Nanos::from(ms(cost_ms)), period: ms(period_ms), allowed: ms(period_ms) }
}

fn write(cost_ms: i64, interval_ms: i64) -> WriteDemand {
    WriteDemand { cost: Nanos::from(ms(cost_ms)), interval: ms(interval_ms) }
}

fn demand(reads: Vec<ReadDemand>, writes: Vec<WriteDemand>) -> Demand {
    Demand { reads, writes, background: Nanos::ZERO }
}

#[test]
fn reads_may_fill_the_line_to_the_last_microsecond() {
    assert_eq!(demand(vec![read(50, 100), read(40, 100)], vec![]).prove(), Ok(()));
    assert_eq!(demand(vec![], vec![]).prove(), Ok(()));
    let over = demand(vec![read(50, 100), read(51, 100)], vec![]).prove();
    assert_eq!(over, Err(Overrun::Overloaded { over: Permille::new(10) }));
}

#[test]
fn a_long_read_that_cannot_be_interrupted_makes_a_short_deadline_fail() {
    let late = demand(vec![read(60, 1_000), read(50, 100)], vec![]).prove();
    assert_eq!(late, Err(Overrun::Late { window: ms(100), over: ms(10) }));
    assert_eq!(demand(vec![read(50, 1_000), read(50, 100)], vec![]).prove(), Ok(()));
}

#[test]
fn setpoints_take_their_time_from_the_reads() {
    assert_eq!(demand(vec![read(60, 100)], vec![write(20, 1_000)]).prove(), Ok(()));
    let late = demand(vec![read(70, 100)], vec![write(20, 100)]).prove();
    assert_eq!(late, Err(Overrun::Late { window: ms(100), over: ms(10) }));
}

#[test]
fn the_background_is_reckoned_with_its_share() {
    let with = |cost| Demand { background: Nanos::from(ms(5)), ..demand(vec![read(cost, 100)], vec![]) };
    assert_eq!(with(85).prove(), Ok(()));
    assert_eq!(with(86).prove(), Err(Overrun::Late { window: ms(100), over: ms(1) }));
    assert_eq!(with(96).prove(), Err(Overrun::Overloaded { over: Permille::new(10) }));
}

#[test]
fn slower_is_easier() {
    let tight = demand(vec![read(60, 1_000), read(50, 100)], vec![]);
    assert!(tight.prove().is_err());
    assert_eq!(tight.stretched(1_100).prove(), Ok(()));
}
