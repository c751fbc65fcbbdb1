//! A polled fleet under virtual time: exact slots, faults that cost what they must and nothing more, orders.
use std::cell::Cell;

use super::world::*;
use super::*;
use crate::modbus::image::STAMP_WIDTH;
use crate::modbus::line::LineEvent;
use crate::modbus::pdu::{Exception, Reply};
use crate::modbus::polled::{Done, End, FAILURES_MAX};
use crate::modbus::session::Failure;
use crate::site::image::Quality;

/// One device to a line, each with a phase of its own.
fn singles(lines: i64, period: i64) -> Vec<FleetLine> {
    (0..lines).map(|at| line(1, &[(1, vec![read(0, period, at % period)])])).collect()
}

/// (quality, read_at, due_at, sequence) of every row, ages as of now.
fn stamps(world: &World) -> Vec<(i64, i64, i64, i64)> {
    let image = world.fleet.image();
    let (words, rows) = (vec![Cell::new(0); image.words()], vec![Cell::new(0); image.rows() * STAMP_WIDTH]);
    image.copy_all(&words, &rows);
    image.age(&rows, world.now);
    let row = |row: &[Cell<i64>]| (row[0].get(), row[1].get(), row[2].get(), row[4].get());
    rows.chunks(STAMP_WIDTH).map(row).collect()
}

fn quality(world: &World, row: usize) -> i64 {
    stamps(world)[row].0
}

fn missed(world: &World) -> u64 {
    world.fleet.lines().iter().map(|(_, line)| line.counters().polls_missed).sum()
}

fn order(ticket: u64, device: usize, values: &[u16], deadline: Micros) -> DeviceOrder {
    DeviceOrder { ticket, device, request: Request::write(9, values.to_vec()).unwrap(), deadline }
}

/// Every read after the first of its line was sent in its slot, to the microsecond; how many there were.
fn exact_polls(world: &World, lines: i64, period: i64) -> usize {
    let mut is_first = vec![true; usize::try_from(lines).unwrap()];
    for sent in &world.sent {
        let phase = i64::try_from(sent.line).unwrap() % period;
        if !std::mem::take(&mut is_first[sent.line]) {
            assert_eq!((sent.at - ms(phase)).get() % (1000 * period), 0, "{sent:?}");
        }
    }
    world.sent.len()
}

#[test]
fn a_hundred_thousand_polls_are_sent_exactly_in_their_slots() {
    let mut world = World::new(&singles(50, 20));
    world.run(40_000);
    assert_eq!(exact_polls(&world, 50, 20), 50 * (2_000 + 1));
    assert_eq!(missed(&world), 0);
    assert!(stamps(&world).iter().all(|(quality, read_at, due_at, _)| *quality == 1 && read_at == due_at));
}

/// `cargo test --release -- --ignored`: the same, a hundred times as long.
#[test]
#[ignore = "ten million polls take half a minute"]
fn ten_million_polls_are_sent_exactly_in_their_slots() {
    let mut world = World::new(&singles(50, 20));
    let mut polls = 0;
    while polls < 10_000_000 {
        world.run(20_000);
        polls += world.sent.len();
        let late = world.sent.iter().filter(|sent| sent.at > ms(20)).map(|sent| sent.at.get() % 1000);
        assert_eq!(late.max(), Some(0));
        world.sent.clear();
    }
    assert_eq!((missed(&world), stamps(&world).iter().filter(|row| row.1 != row.2).count()), (0, 0));
}

#[test]
fn registers_stand_in_the_image_with_the_time_they_were_asked() {
    let mut world =
        World::new(&[line(1, &[(3, vec![read(100, 50, 0), read(400, 100, 7)]), (4, vec![read(0, 50, 0)])])]);
    world.run(1_005);
    let image = world.fleet.image();
    let (words, rows) = (vec![Cell::new(0); image.words()], vec![Cell::new(0); image.rows() * STAMP_WIDTH]);
    image.copy_all(&words, &rows);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.get().to_ne_bytes()).collect();
    let register = |at: usize| u16::from_ne_bytes(bytes[2 * at..2 * at + 2].try_into().unwrap());
    for (row, unit, start) in [(0, 3, 100), (1, 3, 400), (2, 4, 0)] {
        let first = image.offset(row).unwrap();
        assert_eq!(register(first + 5), value(unit, start + 5));
        assert_eq!(register(first + 124), value(unit, start + 124));
    }
    let times: Vec<_> = stamps(&world).iter().map(|row| (row.1, row.2)).collect();
    let same_slot = [(1_000_000, 1_000_000), (907_000, 907_000), (1_000_700, 1_000_000)];
    assert_eq!(times, same_slot, "one after the other on a line");
}

#[test]
fn a_late_answer_costs_one_transaction_and_is_never_taken_for_the_next() {
    let mut world = World::new(&[line(1, &[(1, vec![read(0, 50, 0)]), (2, vec![read(50, 50, 0)])])]);
    world.run(100);
    world.peers[0].delay_next = Some(ms(230));
    world.run(10_000);
    let counters = world.fleet.lines()[0].1.counters();
    assert_eq!((counters.session.timeouts, counters.session.foreign_replies, counters.session.disconnects), (1, 1, 0));
    assert!(stamps(&world).iter().all(|row| row.0 == Quality::Good.number()));
    assert!(counters.polls_missed <= 8, "the 200 ms of the time-out, for two devices: {}", counters.polls_missed);
}

#[test]
fn an_answer_with_another_id_is_dropped() {
    let mut world = World::new(&singles(1, 50));
    world.run(100);
    world.peers[0].wrong_id_next = true;
    world.run(1_000);
    let session = world.fleet.lines()[0].1.counters().session;
    assert_eq!((session.foreign_replies, session.timeouts, session.disconnects), (1, 1, 0));
    assert_eq!(quality(&world, 0), Quality::Good.number());
}

#[test]
fn a_half_open_connection_is_given_up_and_made_anew() {
    let mut world = World::new(&singles(1, 50));
    world.run(100);
    world.peers[0].is_mute = true;
    world.run(700);
    assert!(world.connects.len() >= 2, "{:?}", world.connects);
    assert_eq!(quality(&world, 0), Quality::Failed.number());
    world.peers[0].is_mute = false;
    world.run(500);
    assert_eq!(quality(&world, 0), Quality::Good.number());
}

#[test]
fn a_line_is_back_within_250_ms_of_its_port() {
    for outage in [3, 40, 170, 400, 800] {
        let mut world = World::new(&singles(1, 50));
        world.run(100);
        world.reset(0);
        world.run(outage);
        world.peers[0].is_reachable = true;
        let back = world.now;
        world.sent.clear();
        world.run(1_000);
        let gap = (world.sent[0].at - back).to_millis().get();
        assert!(gap <= 250, "{gap} ms after an outage of {outage} ms");
    }
}

#[test]
fn a_device_that_drops_the_second_frame_is_asked_one_at_a_time_for_good() {
    let reads = |count: u16| (0..count).map(|at| read(at, 100, 0)).collect::<Vec<_>>();
    let mut world = World::new(&[line(16, &[(1, reads(8))])]);
    world.peers[0].drops_second = true;
    world.run(5_000);
    let (_, line) = &world.fleet.lines()[0];
    assert_eq!((line.window().1, line.counters().session.windows_closed), (1, 1));
    assert_eq!(line.counters().session.timeouts, 1);
    assert!(stamps(&world).iter().all(|row| row.0 == Quality::Good.number() && row.3 >= 46));
}

#[test]
fn a_window_opens_by_proof_and_is_filled() {
    let reads = |count: u16| (0..count).map(|at| read(at, 0, 0)).collect::<Vec<_>>();
    let mut world = World::new(&[line(16, &[(1, reads(16))])]);
    world.run(1_000);
    assert_eq!(world.fleet.lines()[0].1.window(), (16, 16));
    assert!(world.sent.len() > 16 * 1_400, "16 in each round trip of 0.7 ms: {}", world.sent.len());
}

#[test]
fn when_one_of_a_thousand_dies_the_others_are_asked_at_exactly_the_same_times() {
    let run = |dies: bool| {
        let mut world = World::new(&singles(1_000, 100));
        world.run(500);
        if dies {
            world.reset(500);
        }
        world.run(1_500);
        world.sent.into_iter().filter(|sent| sent.line != 500).collect::<Vec<_>>()
    };
    let (quiet, with_death) = (run(false), run(true));
    assert!(quiet.len() > 19_900);
    assert!(quiet == with_death, "{} and {} requests", quiet.len(), with_death.len());
}

#[test]
fn a_dead_unit_leaves_its_neighbours_their_rate() {
    let units: Vec<_> = (1..=5).map(|unit| (unit, vec![read(0, 100, 0)])).collect();
    let mut world = World::new(&[line(1, &units)]);
    world.peers[0].silent.insert(3);
    world.run(120_000);
    let of = |unit: u8| world.sent.iter().filter(|sent| sent.unit == unit).count();
    // Three tries, then after 1, 2, 4, 8, 16, 32 and 60 s: each costs the line 200 ms, which is two slots.
    assert_eq!(of(3), 3 + 6);
    for unit in [1, 2, 4, 5] {
        assert!(of(unit) >= 1_200 - 2 * of(3), "unit {unit}: {}", of(unit));
    }
    world.peers[0].silent.clear();
    world.run(60_000);
    world.sent.clear();
    world.run(10_000);
    assert_eq!(world.sent.iter().filter(|sent| sent.unit == 3).count(), 100);
}

#[test]
fn two_refusals_leave_the_registers_in_force_and_three_fail_them() {
    let mut world = World::new(&singles(1, 100));
    world.run(950);
    world.peers[0].refuses = Some(Exception::IllegalAddress);
    let refusals = i64::from(FAILURES_MAX);
    world.run(100 * (refusals - 1));
    assert_eq!(quality(&world, 0), Quality::Good.number());
    world.run(100);
    assert_eq!(quality(&world, 0), Quality::Failed.number());
    world.peers[0].refuses = None;
    world.run(100);
    assert_eq!(quality(&world, 0), Quality::Good.number());
}

#[test]
fn what_is_not_read_any_more_grows_stale_by_itself() {
    let mut world = World::new(&singles(1, 100));
    world.run(950);
    world.reset(0);
    world.run(200);
    assert_eq!(quality(&world, 0), Quality::Good.number());
    world.run(200);
    assert_eq!(quality(&world, 0), Quality::Stale.number());
}

#[test]
fn an_order_waits_only_for_the_request_in_flight_and_ends_with_its_times() {
    let reads = (0..20).map(|at| read(at, 20, 0)).collect();
    let mut world = World::new(&[line(1, &[(1, reads)])]);
    world.run(100);
    world.now += Micros::new(100);
    world.order(order(5, 0, &[1, 2], world.now + ms(500)));
    world.run(10);
    let sent = world.sent.iter().find(|sent| sent.function == 16).unwrap();
    assert!(sent.at - ms(100) <= Micros::new(800), "{sent:?}");
    let done_at = sent.at + world.peers[0].latency;
    let end = End::Answered(Reply::Written);
    assert_eq!(world.done, [Done { ticket: 5, end, sent_at: Some(sent.at), done_at }]);
}

#[test]
fn orders_without_end_leave_the_reads_their_share_and_reads_leave_it_to_the_orders() {
    let mut world = World::new(&[line(1, &[(1, vec![read(0, 1, 0)])])]);
    world.run(100);
    world.sent.clear();
    for ticket in 0..200 {
        world.order(order(ticket, 0, &[1], world.now + ms(1_000)));
    }
    world.run(130);
    let functions: Vec<u8> = world.sent.iter().map(|sent| sent.function).collect();
    for part in functions[40..].chunks_exact(40) {
        let orders = part.iter().filter(|function| **function == 16).count();
        assert!((16..=24).contains(&orders), "{functions:?}");
    }
}

#[test]
fn a_line_that_wants_more_than_it_has_says_by_how_much() {
    let reads = |count: u16| (0..count).map(|at| read(at, 10, 0)).collect::<Vec<_>>();
    let load = |count: u16| {
        let mut world = World::new(&[line(1, &[(1, reads(count))])]);
        world.run(2_000);
        world.fleet.lines()[0].1.roster().load()
    };
    let (cost, light) = load(4);
    assert_eq!((cost.read(125).to_micros(), light.get()), (Micros::new(700), 280));
    assert_eq!(load(20).1.get(), 1_400);
}

#[test]
fn an_order_that_cannot_be_sent_in_time_expires_unsent() {
    let mut world = World::new(&singles(1, 100));
    world.run(50);
    world.reset(0);
    world.order(order(1, 0, &[1], world.now + ms(300)));
    world.run(299);
    assert_eq!(world.done, []);
    world.run(1);
    assert_eq!(world.done, [Done { ticket: 1, end: End::Expired, sent_at: None, done_at: world.now }]);
    world.peers[0].is_reachable = true;
    world.run(1_000);
    assert!(world.sent.iter().all(|sent| sent.function == 3));
}

#[test]
fn an_order_that_was_sent_into_a_lost_connection_says_so() {
    let mut world = World::new(&singles(1, 100));
    world.run(50);
    world.order(order(1, 0, &[1], world.now + ms(300)));
    let sent_at = world.now;
    world.reset(0);
    let end = End::Failed(Failure::Disconnected);
    assert_eq!(world.done, [Done { ticket: 1, end, sent_at: Some(sent_at), done_at: world.now }]);
}

#[test]
fn no_order_is_taken_for_a_device_that_is_not_there() {
    let mut world = World::new(&singles(2, 100));
    assert_eq!(world.fleet.order(order(1, 2, &[1], ms(300)), world.now), None);
}

#[test]
fn bytes_that_are_no_frame_cost_their_own_line_a_connection_and_nobody_else_anything() {
    let mut world = World::new(&singles(2, 100));
    world.run(150);
    world.feed(0, LineEvent::Received(&[0xFF; 40]));
    world.run(2_000);
    let disconnects = [0, 1].map(|line: usize| world.fleet.lines()[line].1.counters().session.disconnects);
    assert_eq!(disconnects, [1, 0]);
    assert!(stamps(&world).iter().all(|row| row.0 == Quality::Good.number()));
}
