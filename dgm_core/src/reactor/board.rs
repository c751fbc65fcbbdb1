//! What a fleet's thread shows to other threads, and the orders they hand in.
//!
//! ```text
//! fleet thread ── image, counters per line (seqlocks) ──> any thread      one eventfd, conflated: set when the first
//! any thread ──── orders ──> fleet thread ── ends ──> any thread          thing is new, and not again until it is taken
//! ```
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use super::notify::Notifier;
use super::seqlock::Seqlock;
use crate::fleet::DeviceOrder;
use crate::modbus::image::RegisterImage;
use crate::modbus::line::Line;
use crate::modbus::pdu::Request;
use crate::modbus::polled::{Done, Polled};
use crate::units::{count, Micros};

/// Orders on their way to the fleet thread.
pub const ORDERS_MAX: usize = 4_096;
/// Ends kept for whoever handed an order in; the oldest are dropped first.
pub const ENDS_MAX: usize = 4_096;

/// Names of a line's counters, in the order of their words.
pub const LINE_COLUMNS: [&str; 20] = [
    "modbus_requests_total",
    "modbus_answers_total",
    "modbus_timeouts_total",
    "modbus_foreign_replies_total",
    "modbus_bad_frames_total",
    "modbus_exceptions_total",
    "modbus_connects_total",
    "modbus_disconnects_total",
    "windows_closed_total",
    "readings_total",
    "polls_missed_total",
    "late_us_max",
    "writes_total",
    "devices_answering",
    "in_flight",
    "window",
    "request_cost_us",
    "register_cost_ns",
    "load_permille",
    "overload_permille",
];

/// Shared between the fleet thread and everybody else.
pub struct Board {
    /// What was read.
    pub image: Arc<RegisterImage>,
    /// Set when something is new.
    pub notifier: Notifier,
    /// Whether the thread is running.
    pub running: AtomicBool,
    /// Whether a recording goes on.
    pub recording: AtomicBool,
    is_set: AtomicBool,
    lines: Box<[Seqlock]>,
    orders: Mutex<VecDeque<DeviceOrder>>,
    has_orders: AtomicBool,
    ends: Mutex<Ends>,
    ticket: AtomicU64,
}

#[derive(Default)]
struct Ends {
    /// Handed in and not ended, or ended and not asked for.
    open: VecDeque<(u64, Option<Done>)>,
}

/// What is known of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has not ended.
    Open,
    /// It has; this is told once.
    Ended(Done),
    /// There is no such order, it was told before, or so long ago that it was dropped.
    Nothing,
}

/// The fleet thread does not take what is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrdersFull;

impl Board {
    /// Nothing read, nothing handed in.
    pub fn new(image: Arc<RegisterImage>, lines: usize, notifier: Notifier) -> Self {
        Self {
            image,
            notifier,
            running: AtomicBool::new(false),
            recording: AtomicBool::new(false),
            is_set: AtomicBool::new(false),
            lines: (0..lines).map(|_| Seqlock::new(LINE_COLUMNS.len())).collect(),
            orders: Mutex::default(),
            has_orders: AtomicBool::new(false),
            ends: Mutex::default(),
            ticket: AtomicU64::new(1),
        }
    }

    /// Makes the notifier readable, unless it is and nobody has taken anything since.
    pub fn announce(&self) {
        if !self.is_set.swap(true, Ordering::AcqRel) {
            self.notifier.set();
        }
    }

    /// What is new is taken from here on: the next thing new makes the notifier readable again.
    pub fn acknowledge(&self) {
        if self.is_set.load(Ordering::Relaxed) {
            self.notifier.clear();
            self.is_set.swap(false, Ordering::AcqRel);
        }
    }

    /// Hands an order in; its ticket, and whether the thread has to be told.
    pub fn order(&self, device: usize, request: Request, deadline: Micros) -> Result<(u64, bool), OrdersFull> {
        let mut orders = lock(&self.orders);
        if orders.len() >= ORDERS_MAX {
            return Err(OrdersFull);
        }
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        lock(&self.ends).begin(ticket);
        orders.push_back(DeviceOrder { ticket, device, request, deadline });
        Ok((ticket, !self.has_orders.swap(true, Ordering::AcqRel)))
    }

    /// The next order; only the fleet thread takes them.
    pub fn take_order(&self) -> Option<DeviceOrder> {
        if !self.has_orders.load(Ordering::Acquire) {
            return None;
        }
        let mut orders = lock(&self.orders);
        let order = orders.pop_front();
        if order.is_none() {
            self.has_orders.store(false, Ordering::Release);
        }
        order
    }

    /// Tells how orders ended.
    pub fn tell(&self, done: &mut Vec<Done>) {
        let mut ends = lock(&self.ends);
        done.drain(..).for_each(|done| ends.end(done));
    }

    /// What is known of an order.
    pub fn known(&self, ticket: u64) -> Known {
        lock(&self.ends).take(ticket)
    }

    /// Shows how a line stands; only the fleet thread does.
    pub fn show_line(&self, index: usize, line: &Line<Polled>) {
        if let Some(words) = self.lines.get(index) {
            words.write(line_words(line));
        }
    }

    /// Copies the counters of all lines, each of one time, row by row.
    pub fn read_lines(&self) -> Vec<i64> {
        let (mut rows, mut row) = (Vec::with_capacity(self.lines.len() * LINE_COLUMNS.len()), Vec::new());
        for line in &self.lines {
            line.read(&mut row);
            rows.extend_from_slice(&row);
        }
        rows
    }
}

impl Ends {
    fn begin(&mut self, ticket: u64) {
        if self.open.len() >= ENDS_MAX {
            self.open.pop_front();
        }
        self.open.push_back((ticket, None));
    }

    fn end(&mut self, done: Done) {
        if let Ok(at) = self.open.binary_search_by_key(&done.ticket, |(ticket, _)| *ticket) {
            self.open[at].1 = Some(done);
        }
    }

    fn take(&mut self, ticket: u64) -> Known {
        let Ok(at) = self.open.binary_search_by_key(&ticket, |(ticket, _)| *ticket) else { return Known::Nothing };
        match self.open[at].1.take() {
            Some(done) => {
                self.open.remove(at);
                Known::Ended(done)
            }
            None => Known::Open,
        }
    }
}

fn line_words(line: &Line<Polled>) -> [i64; LINE_COLUMNS.len()] {
    let (counted, (in_flight, window)) = (line.counters(), line.window());
    let (session, (cost, load)) = (counted.session, line.roster().load());
    let number = |counter: u64| i64::try_from(counter).unwrap_or(i64::MAX);
    [
        number(session.requests),
        number(session.answers),
        number(session.timeouts),
        number(session.foreign_replies),
        number(session.bad_frames),
        number(session.exceptions),
        number(session.connects),
        number(session.disconnects),
        number(session.windows_closed),
        number(counted.readings),
        number(counted.polls_missed),
        counted.late_max.get(),
        number(counted.writes),
        number(counted.devices_serving),
        count(in_flight),
        count(window),
        cost.fixed().to_micros().get(),
        cost.per_register().get(),
        load.get(),
        (load.get() - 1000).max(0),
    ]
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
