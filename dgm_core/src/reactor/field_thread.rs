//! The field as a tenant of the master's thread: inputs in, one tick, its lines touched, the result published.
//!
//! ```text
//! Inbox ──> Field::tick ──> lines ──> Published ── eventfd ──> Python
//! ```
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::polling::{PollingThread, Tenant};
use super::published::{Published, TickTimes};
use super::{clock, lock};
use crate::field::Field;
use crate::modbus::endpoint::Endpoint;
use crate::modbus::line::LineEvent;
use crate::modbus::session::LinkCommand;
use crate::units::Micros;

/// Starts the field's thread; nothing is sent before its first turn.
pub fn start(field: Field, published: &Arc<Published>) -> std::io::Result<PollingThread> {
    published.running.store(true, Ordering::Release);
    let ticking = Ticking { field, published: Arc::clone(published), times: TickTimes::default() };
    PollingThread::start("dgm-field", ticking)
}

struct Ticking {
    field: Field,
    published: Arc<Published>,
    times: TickTimes,
}

impl Drop for Ticking {
    /// The thread has ended, for whatever reason; whoever waits for news hears of it.
    fn drop(&mut self) {
        self.published.running.store(false, Ordering::Release);
        self.published.notifier.set();
    }
}

impl Tenant for Ticking {
    fn endpoint(&self, line: usize) -> Option<&Endpoint> {
        self.field.lines().get(line).map(|(endpoint, _)| endpoint)
    }

    fn trouble(&mut self, line: usize, why: String) {
        if let Some((endpoint, _)) = self.field.lines().get(line) {
            self.published.troubles.note(endpoint.to_string(), why);
        }
    }

    fn feed(&mut self, line: usize, event: LineEvent<'_>, now: Micros) {
        if let (LineEvent::Connected, Some((endpoint, _))) = (event, self.field.lines().get(line)) {
            self.published.troubles.clear(&endpoint.to_string());
        }
        if let Some(line) = self.field.line_mut(line) {
            line.feed(event, now);
        }
    }

    fn take_command(&mut self, line: usize, now: Micros) -> Option<LinkCommand> {
        self.field.line_mut(line)?.take_command(now)
    }

    fn output(&mut self, line: usize) -> Option<&mut Vec<u8>> {
        self.field.line_mut(line).map(|line| line.output())
    }

    fn line_wake(&self, line: usize) -> Option<Micros> {
        self.field.lines().get(line)?.1.wake_time()
    }

    fn wake_time(&self) -> Option<Micros> {
        Some(self.field.next_tick())
    }

    fn turn(&mut self, now: Micros, touched: &mut Vec<usize>) {
        if now < self.field.next_tick() {
            return;
        }
        for (input, received) in self.published.inbox.take() {
            // A refusal is counted by the field; whoever handed it in has checked what could be checked there.
            let _ = self.field.put(input, received);
        }
        for (question, steps) in self.published.surveys.take_questions() {
            self.published.surveys.answer(self.field.ask_model(question, steps, now));
        }
        self.field.tick(now);
        touched.extend(0..self.field.lines().len());
        self.times.last_us = (clock::micros() - now).get();
        self.times.max_us = self.times.max_us.max(self.times.last_us);
        self.field.take_audit().for_each(|(asset, news)| self.published.audit.put(asset, news));
        self.published.surveys.answer(self.field.take_models());
        lock(&self.published.learnt).extend(self.field.take_learnt());
        self.published.publish(&self.field, self.times);
    }
}
