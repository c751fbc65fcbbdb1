#![allow(clippy::unwrap_used)]
use super::super::demand::{Demand, ReadDemand, WriteDemand};
use super::super::virtual_line::VirtualLine;
use super::*;
use proptest::prelude::*;

const fn ms(millis: i64) -> Micros {
    Micros::from_millis(millis)
}

fn nanos(millis: i64) -> Nanos {
    Nanos::from(ms(millis))
}

#[test]
fn a_setpoint_goes_before_every_read_that_waits() {
    let mut schedule = Schedule::new(ms(0));
    let read = schedule.add_periodic(ms(100), ms(100), nanos(5), ms(0)).unwrap();
    let write = schedule.add_once(Lane::Write, nanos(5)).unwrap();
    schedule.ask(write, ms(0), ms(500));
    assert_eq!(schedule.next(ms(0)).unwrap().job, write);
    schedule.done(write, nanos(5), ms(5));
    assert_eq!(schedule.next(ms(5)).unwrap().job, read);
    schedule.done(read, nanos(5), ms(10));
    assert_eq!(schedule.next(ms(10)), None);
    assert_eq!(schedule.wake_time(), Some(ms(100)));
}

#[test]
fn a_setpoint_that_is_replaced_while_it_waits_is_sent_once_and_no_later() {
    let mut schedule = Schedule::new(ms(0));
    let [first, second] = [(); 2].map(|()| schedule.add_once(Lane::Write, nanos(5)).unwrap());
    schedule.ask(first, ms(0), ms(50));
    schedule.ask(second, ms(1), ms(51));
    schedule.ask(first, ms(2), ms(52));
    let turn = schedule.next(ms(2)).unwrap();
    assert_eq!((turn.job, turn.due, turn.deadline), (first, ms(0), ms(50)));
    schedule.done(first, nanos(5), ms(7));
    assert_eq!(schedule.next(ms(7)).unwrap().job, second);
    schedule.done(second, nanos(5), ms(12));
    assert_eq!((schedule.next(ms(12)), schedule.wake_time()), (None, None));
}

#[test]
fn a_setpoint_asked_for_while_it_is_sent_comes_again() {
    let mut schedule = Schedule::new(ms(0));
    let write = schedule.add_once(Lane::Write, nanos(5)).unwrap();
    schedule.ask(write, ms(0), ms(50));
    schedule.next(ms(0)).unwrap();
    schedule.ask(write, ms(1), ms(51));
    schedule.ask(write, ms(2), ms(52));
    assert_eq!(schedule.next(ms(3)), None);
    schedule.done(write, nanos(5), ms(5));
    assert_eq!(schedule.next(ms(5)).unwrap().deadline, ms(51));
    schedule.done(write, nanos(5), ms(10));
    assert_eq!(schedule.next(ms(10)), None);
}

#[test]
fn a_withdrawn_or_removed_job_has_no_turn() {
    let mut schedule = Schedule::new(ms(0));
    let write = schedule.add_once(Lane::Write, nanos(5)).unwrap();
    let read = schedule.add_periodic(ms(100), ms(100), nanos(5), ms(0)).unwrap();
    schedule.ask(write, ms(0), ms(50));
    schedule.withdraw(write);
    schedule.remove(read);
    assert_eq!((schedule.next(ms(1)), schedule.wake_time()), (None, None));
    assert_eq!(schedule.add_once(Lane::Read, nanos(1)), Some(read), "its place is used again");
}

#[test]
fn reads_go_by_deadline_and_not_by_when_they_fell_due() {
    let mut line = VirtualLine::new();
    let slow = line.read(ms(1_000), ms(1_000), ms(10));
    let fast = line.read(ms(50), ms(50), ms(10));
    line.run(ms(30));
    assert_eq!(line.diary.iter().map(|entry| entry.turn.job).collect::<Vec<_>>(), [fast, slow]);
}

#[test]
fn writes_that_want_the_whole_line_twice_over_leave_the_reads_their_share() {
    let mut line = VirtualLine::new();
    let reads: Vec<JobId> = (0..4).map(|_| line.read(ms(200), ms(200), ms(10))).collect();
    for at in 0..20 {
        line.source(Lane::Write, ms(at), ms(100), ms(50), ms(10));
    }
    line.run(ms(20_000));
    for read in &reads {
        assert!(line.age_max(*read) <= ms(400), "{:?}", line.age_max(*read));
        assert!(line.schedule.missed(*read) <= 1, "but for the first round of setpoints, which goes first");
    }
    let report = line.schedule.report(ms(20_000));
    assert!((198..=200).contains(&report.reads.get()), "{report:?}");
    assert!((795..=802).contains(&report.writes.get()), "{report:?}");
}

#[test]
fn reads_that_need_the_whole_line_have_half_of_it_beside_endless_writes() {
    let mut line = VirtualLine::new();
    let reads: Vec<JobId> = (0..20).map(|_| line.read(ms(200), ms(200), ms(10))).collect();
    let writes: Vec<JobId> = (0..20).map(|at| line.source(Lane::Write, ms(at), ms(100), ms(50), ms(10))).collect();
    line.run(ms(20_000));
    let report = line.schedule.report(ms(20_000));
    assert!((495..=505).contains(&report.reads.get()), "{report:?}");
    assert_eq!((report.wanted, report.over), (Permille::new(1000), report.writes));
    for job in reads.iter().chain(&writes) {
        assert!(line.age_max(*job) <= ms(500), "nobody starves: {:?}", line.age_max(*job));
    }
}

#[test]
fn twice_as_many_reads_as_fit_are_each_read_at_half_their_rate_and_the_report_says_so() {
    let mut line = VirtualLine::new();
    let fast: Vec<JobId> = (0..10).map(|_| line.read(ms(100), ms(100), ms(15))).collect();
    let slow: Vec<JobId> = (0..10).map(|_| line.read(ms(1_000), ms(1_000), ms(50))).collect();
    let write = line.source(Lane::Write, ms(3), ms(1_000), ms(50), ms(2));
    line.run(ms(60_000));
    let report = line.schedule.report(ms(60_000));
    assert_eq!(report.wanted, Permille::new(2_000));
    assert!((1_000..=1_003).contains(&report.over.get()), "{report:?}");
    assert!(report.missed > 0 && report.late > 0);
    assert!(fast.iter().all(|job| line.schedule.missed(*job) > 0));
    // Nobody starves, and everybody has about the same share of what it wants.
    let share = |job: &JobId, period: i64| 1000 * crate::units::count(line.of(*job).len()) * period / 60_000;
    for permille in fast.iter().map(|job| share(job, 100)).chain(slow.iter().map(|job| share(job, 1_000))) {
        assert!((330..=1000).contains(&permille), "{permille}");
    }
    // A setpoint waits for one transaction at most.
    assert!(line.of(write).iter().all(|entry| entry.sent - entry.turn.due <= ms(50)));
}

#[test]
fn the_background_has_the_idle_line_and_a_small_share_of_a_busy_one() {
    let mut idle = VirtualLine::new();
    let read = idle.read(ms(100), ms(100), ms(10));
    let search = idle.source(Lane::Background, ms(0), ms(50), ms(1_000), ms(20));
    idle.run(ms(10_000));
    assert!(idle.schedule.missed(read) == 0 && idle.of(search).len() >= 190);

    let mut busy = VirtualLine::new();
    let reads: Vec<JobId> = (0..20).map(|_| busy.read(ms(100), ms(100), ms(10))).collect();
    busy.source(Lane::Background, ms(0), ms(50), ms(1_000), ms(20));
    busy.run(ms(10_000));
    let report = busy.schedule.report(ms(10_000));
    assert!((40..=60).contains(&report.background.get()), "{report:?}");
    assert!(reads.iter().all(|job| busy.age_max(*job) <= ms(300)));
}

#[test]
fn a_write_that_nobody_answers_silences_the_others_for_half_a_period_only() {
    let mut line = VirtualLine::new();
    let reads: Vec<JobId> = (0..5).map(|_| line.read(ms(100), ms(100), ms(10))).collect();
    let good = line.source(Lane::Write, ms(7), ms(100), ms(50), ms(5));
    line.source(Lane::Write, ms(0), ms(2_000), ms(50), ms(500));
    line.run(ms(20_000));
    assert!(line.of(good).iter().all(|entry| entry.sent - entry.turn.due <= ms(600)), "the timeout and a period");
    assert!(reads.iter().all(|job| line.age_max(*job) <= ms(700)));
}

#[test]
fn a_thousand_devices_are_scheduled_without_growing() {
    let mut line = VirtualLine::new();
    for _ in 0..1_000 {
        line.read(ms(1_000), ms(1_000), Micros::new(500));
        line.source(Lane::Write, ms(0), ms(4_000), ms(1_000), Micros::new(100));
    }
    line.run(ms(1_000));
    let room = line.schedule.room();
    line.run(ms(9_000));
    assert_eq!(line.schedule.room(), room);
    assert_eq!(line.schedule.report(ms(9_000)).missed, 0);
}

/// What is asked of a random line, in tenths of a millisecond.
#[derive(Clone, Debug)]
struct Asked {
    reads: Vec<(i64, i64, i64)>,
    writes: Vec<(i64, i64, i64)>,
}

impl Asked {
    fn demand(&self) -> Demand {
        let cost = |tenths: i64| Nanos::from(Micros::new(tenths * 100));
        let span = |tenths: i64| Micros::new(tenths * 100);
        let read = |(period, allowed, time): &(i64, i64, i64)| ReadDemand {
            cost: cost(*time),
            period: span(*period),
            allowed: span(*allowed),
        };
        let write =
            |(interval, _, time): &(i64, i64, i64)| WriteDemand { cost: cost(*time), interval: span(*interval) };
        Demand {
            reads: self.reads.iter().map(read).collect(),
            writes: self.writes.iter().map(write).collect(),
            background: Nanos::ZERO,
        }
    }

    fn line(&self) -> (VirtualLine, Vec<JobId>, Vec<JobId>) {
        let mut line = VirtualLine::new();
        let span = |tenths: i64| Micros::new(tenths * 100);
        let reads =
            self.reads.iter().map(|(period, allowed, cost)| line.read(span(*period), span(*allowed), span(*cost)));
        let reads = reads.collect();
        let write = |(interval, first, cost): &(i64, i64, i64)| {
            line.source(Lane::Write, span(*first), span(*interval), ms(50), span(*cost))
        };
        let writes = self.writes.iter().map(write).collect();
        (line, reads, writes)
    }
}

fn asked(busy: i64) -> impl Strategy<Value = Asked> {
    let period = prop::sample::select(vec![500i64, 1_000, 2_000, 5_000, 700, 1_100]);
    let read = (period.clone(), 500i64..=1000, 1i64..=busy)
        .prop_map(|(period, permille, cost)| (period, (period * permille / 1000).max(1), cost));
    let write = (period, 0i64..2_000, 1i64..=busy);
    (prop::collection::vec(read, 1..10), prop::collection::vec(write, 0..5))
        .prop_map(|(reads, writes)| Asked { reads, writes })
}

proptest! {
    #[test]
    fn what_is_proved_to_fit_is_always_done_in_time(asked in asked(110)) {
        prop_assume!(asked.demand().prove().is_ok());
        let (mut line, reads, _) = asked.line();
        line.run(ms(5_000));
        for read in reads {
            // The first is due at once, wherever the slots lie.
            for entry in line.of(read) {
                prop_assert!(entry.done <= entry.turn.deadline, "{:?}", entry);
                prop_assert_eq!(entry.turn.missed, 0);
            }
        }
    }

    #[test]
    fn a_write_within_its_share_waits_for_one_transaction_and_other_writes_only(asked in asked(60)) {
        let round: i64 = asked.writes.iter().map(|write| write.2).sum();
        let shortest = asked.reads.iter().map(|read| read.0).min().unwrap();
        let share: i64 = asked.writes.iter().map(|write| 1000 * write.2 / write.0 + 1).sum();
        prop_assume!(share <= 500 && 2 * round <= shortest);
        let (mut line, _, writes) = asked.line();
        line.run(ms(5_000));
        let longest = line.diary.iter().map(|entry| entry.done - entry.sent).max().unwrap();
        for write in writes {
            for entry in line.of(write) {
                let (due, sent) = (entry.turn.due, entry.sent);
                let between = line.diary.iter().filter(|other| other.sent >= due && other.sent < sent);
                for other in between {
                    prop_assert_eq!(other.turn.lane, Lane::Write);
                    prop_assert!(other.turn.deadline <= entry.turn.deadline);
                }
                prop_assert!(sent - due <= longest + Micros::new(round * 100));
            }
        }
    }

    #[test]
    fn whatever_is_asked_nobody_starves(asked in asked(400)) {
        let (mut line, reads, writes) = asked.line();
        line.run(ms(20_000));
        let all: i64 = asked.reads.iter().chain(&asked.writes).map(|job| job.2).sum();
        let longest = asked.reads.iter().chain(&asked.writes).map(|job| job.0).max().unwrap();
        for job in reads.iter().chain(&writes) {
            let (asked, found) = (Micros::new((longest * 4 + all * 6) * 100), line.age_max(*job));
            prop_assert!(found <= asked, "{:?} > {:?}", found, asked);
        }
    }
}
