//! A fleet as a tenant of the master's thread: bytes into its lines, orders in, what is new announced.
//!
//! ```text
//! Board (orders) ──> Fleet ── image ──> Board ── eventfd ──> Python
//! ```
//!
//! After a round of events the eventfd is set once, however much was read; counters are shown twice a second.
use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::board::Board;
use super::polling::{PollingThread, Tenant};
use super::recorder::Recorder;
use crate::fleet::Fleet;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::line::LineEvent;
use crate::modbus::session::LinkCommand;
use crate::record::Log;
use crate::units::Micros;

/// Time between two shows of the counters.
const SHOW: Micros = Micros::from_millis(500);

/// Starts the fleet's thread.
pub fn start(fleet: Fleet, board: &Arc<Board>, recorder: Option<Recorder>) -> io::Result<PollingThread> {
    board.running.store(true, Ordering::Release);
    board.recording.store(recorder.is_some(), Ordering::Relaxed);
    let lines = fleet.lines().len();
    let polling = Fed {
        fleet,
        board: Arc::clone(board),
        recorder,
        has_news: false,
        fed: Vec::with_capacity(lines),
        is_fed: vec![false; lines].into(),
        show_at: None,
    };
    PollingThread::start("dgm-fleet", polling)
}

struct Fed {
    fleet: Fleet,
    board: Arc<Board>,
    recorder: Option<Recorder>,
    has_news: bool,
    /// Lines whose counters may have changed since they were shown.
    fed: Vec<usize>,
    is_fed: Box<[bool]>,
    show_at: Option<Micros>,
}

impl Fed {
    fn record(&mut self, entry: impl FnOnce(&mut Log)) {
        if let Some(recorder) = &mut self.recorder {
            if let Some(log) = recorder.log() {
                entry(log);
                recorder.pass_on();
            }
        }
    }

    /// What a line has brought.
    fn collect(&mut self, index: usize, now: Micros) {
        let Some(line) = self.fleet.line_mut(index) else { return };
        let (board, has_news) = (&self.board, &mut self.has_news);
        line.take(|polled| {
            *has_news |= polled.take_news();
            if !polled.done().is_empty() {
                board.tell(polled.done());
                *has_news = true;
            }
        });
        if let Some(is_fed) = self.is_fed.get_mut(index).filter(|is_fed| !**is_fed) {
            *is_fed = true;
            self.fed.push(index);
            self.show_at.get_or_insert(now + SHOW);
        }
    }

    fn show(&mut self) {
        for index in self.fed.drain(..) {
            if let (Some((_, line)), Some(is_fed)) = (self.fleet.lines().get(index), self.is_fed.get_mut(index)) {
                self.board.show_line(index, line);
                *is_fed = false;
            }
        }
        self.show_at = None;
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
            self.board.recording.store(recorder.is_on(), Ordering::Relaxed);
        }
    }
}

impl Drop for Fed {
    /// The thread has ended, for whatever reason; whoever waits for news hears of it.
    fn drop(&mut self) {
        self.show();
        if let Some(recorder) = &mut self.recorder {
            recorder.finish(self.fleet.image().digest());
        }
        self.board.recording.store(false, Ordering::Relaxed);
        self.board.running.store(false, Ordering::Release);
        self.board.notifier.set();
    }
}

impl Tenant for Fed {
    fn endpoint(&self, line: usize) -> Option<&Endpoint> {
        self.fleet.lines().get(line).map(|(endpoint, _)| endpoint)
    }

    fn feed(&mut self, index: usize, event: LineEvent<'_>, now: Micros) {
        self.record(|log| log.event(index, event, now));
        if let Some(line) = self.fleet.line_mut(index) {
            line.feed(event, now);
            self.collect(index, now);
        }
    }

    fn take_command(&mut self, line: usize, now: Micros) -> Option<LinkCommand> {
        let command = self.fleet.line_mut(line)?.take_command(now)?;
        self.record(|log| log.command(line, command, now));
        Some(command)
    }

    fn output(&mut self, line: usize) -> Option<&mut Vec<u8>> {
        let output = self.fleet.line_mut(line)?.output();
        if let (Some(recorder), false) = (&mut self.recorder, output.is_empty()) {
            if let Some(log) = recorder.log() {
                log.sent(line, output);
            }
        }
        Some(output)
    }

    fn line_wake(&self, line: usize) -> Option<Micros> {
        self.fleet.lines().get(line)?.1.wake_time()
    }

    fn wake_time(&self) -> Option<Micros> {
        self.show_at
    }

    fn turn(&mut self, now: Micros, touched: &mut Vec<usize>) {
        while let Some(order) = self.board.take_order() {
            self.record(|log| log.order(&order, now));
            if let Some(line) = self.fleet.order(order, now) {
                self.collect(line, now);
                touched.push(line);
            }
        }
        if self.show_at.is_some_and(|show_at| show_at <= now) {
            self.show();
        }
        if std::mem::take(&mut self.has_news) {
            self.board.announce();
        }
    }
}
