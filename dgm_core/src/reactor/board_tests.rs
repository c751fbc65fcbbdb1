//! What threads see of each other through the board.
use std::cell::Cell;

use super::*;
use crate::modbus::image::{Block, Registers, Stamp, STAMP_WIDTH};
use crate::modbus::polled::End;
use crate::site::image::Quality;

fn board() -> Board {
    let block = |registers| Block { registers, age_max: Micros::from_millis(1_000) };
    let image = RegisterImage::new(&[vec![block(1)], vec![block(125)]]);
    Board::new(Arc::new(image), 1, Notifier::new().unwrap())
}

fn write(board: &Board, value: u16) {
    let bytes: Vec<u8> = [value; 125].iter().flat_map(|register| register.to_be_bytes()).collect();
    let at = Micros::new(value.into());
    let stamp = Stamp { quality: Quality::Good, read_at: at, due_at: at, sequence: value.into() };
    board.image.write(1, 1, Registers::Words(&bytes), stamp);
}

fn is_set(board: &Board) -> bool {
    let mut ready = [rustix::event::PollFd::new(&board.notifier, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ready, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
}

fn read_one() -> Request {
    Request::parse(&[3, 0, 0, 0, 1]).unwrap()
}

#[test]
fn a_copy_never_mixes_two_writes_of_a_device() {
    let (board, done) = (board(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..=20_000).for_each(|value| write(&board, value));
            done.store(true, Ordering::Release);
        });
        let words = vec![Cell::new(0); board.image.words()];
        let (stamps, mut newest) = (vec![Cell::new(0); board.image.rows() * STAMP_WIDTH], 0);
        while !done.load(Ordering::Acquire) || newest < 20_000 {
            board.image.copy_changed(&words, &stamps, |_| {});
            let bytes: Vec<u8> = words[1..].iter().flat_map(|word| word.get().to_ne_bytes()).collect();
            let registers: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect();
            assert!(registers[..125].iter().all(|register| *register == registers[0]), "torn: {registers:?}");
            assert_eq!(
                stamps[2 * STAMP_WIDTH - 1].get(),
                i64::from(registers[0]),
                "the stamp belongs to its registers"
            );
            assert!(registers[0] >= newest);
            newest = registers[0];
        }
    });
}

#[test]
fn news_are_told_once_until_they_are_taken() {
    let board = board();
    board.announce();
    board.announce();
    assert!(is_set(&board));
    board.notifier.clear();
    board.announce();
    assert!(!is_set(&board), "conflated: nobody has taken the first");
    board.acknowledge();
    board.announce();
    assert!(is_set(&board));
    board.acknowledge();
    assert!(!is_set(&board));
}

#[test]
fn no_news_are_lost_between_two_threads() {
    let (board, values) = (board(), 2_000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for value in 1..=values {
                write(&board, value);
                board.announce();
            }
        });
        let words = vec![Cell::new(0); board.image.words()];
        let stamps = vec![Cell::new(0); board.image.rows() * STAMP_WIDTH];
        while stamps[2 * STAMP_WIDTH - 1].get() < i64::from(values) {
            let mut ready = [rustix::event::PollFd::new(&board.notifier, rustix::event::PollFlags::IN)];
            let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            assert_eq!(rustix::event::poll(&mut ready, Some(&patience)), Ok(1), "asleep with news");
            board.acknowledge();
            board.image.copy_changed(&words, &stamps, |_| {});
        }
    });
}

#[test]
fn an_order_is_known_until_its_end_was_told() {
    let board = board();
    let (first, is_first) = board.order(0, read_one(), Micros::new(9)).unwrap();
    let (second, is_second) = board.order(1, read_one(), Micros::new(9)).unwrap();
    assert_eq!((is_first, is_second), (true, false), "the thread is rung once");
    assert_eq!(board.take_order().map(|order| order.ticket), Some(first));
    let done = Done { ticket: second, end: End::Expired, sent_at: None, done_at: Micros::new(9) };
    board.tell(&mut vec![done.clone()]);
    assert_eq!((board.known(first), board.known(second)), (Known::Open, Known::Ended(done)));
    assert_eq!((board.known(second), board.known(77)), (Known::Nothing, Known::Nothing));
    assert_eq!(board.take_order().map(|order| order.device), Some(1));
    assert_eq!(board.take_order(), None);
    assert!(board.order(0, read_one(), Micros::new(9)).unwrap().1, "and again after it has taken all");
}

#[test]
fn orders_that_nobody_takes_are_refused_and_ends_that_nobody_asks_for_are_dropped() {
    let board = board();
    let tickets: Vec<u64> = (0..ORDERS_MAX).map(|_| board.order(0, read_one(), Micros::new(9)).unwrap().0).collect();
    assert_eq!(board.order(0, read_one(), Micros::new(9)), Err(OrdersFull));
    board.take_order();
    board.order(0, read_one(), Micros::new(9)).unwrap();
    assert_eq!((board.known(tickets[0]), board.known(tickets[1])), (Known::Nothing, Known::Open));
}
