//! The one serving thread of the process: the first facade that starts brings it up, the last one that stops ends it.
//!
//! ```text
//! start, stop (any thread) ── Order ──> Mailbox ── waker ──> Serving
//! ```
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mio::{Poll, Waker};

use super::lock;
use super::serving::{Bound, Facade, Hosted};
use super::serving_loop::{Serving, WAKE};

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);
static NEXT_KEY: AtomicUsize = AtomicUsize::new(0);

/// What the thread is told to do.
pub(super) enum Order {
    Serve(Hosted),
    Withdraw { key: usize, done: SyncSender<()> },
    End,
}

/// Orders for the thread; once it has ended nobody takes any and none is kept.
pub(super) struct Mailbox {
    waker: Waker,
    /// `None`: the thread has ended.
    orders: Mutex<Option<Vec<Order>>>,
}

impl Mailbox {
    /// False, and the order is dropped, if nobody will carry it out.
    fn post(&self, order: Order) -> bool {
        match &mut *lock(&self.orders) {
            Some(orders) => orders.push(order),
            None => return false,
        }
        self.waker.wake().is_ok()
    }

    pub(super) fn take(&self) -> Vec<Order> {
        lock(&self.orders).as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn is_open(&self) -> bool {
        lock(&self.orders).is_some()
    }
}

/// Closes the mailbox when the thread ends, for whatever reason: who waits for an answer is told that none comes.
struct Closing(Arc<Mailbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        *lock(&self.0.orders) = None;
    }
}

struct Shared {
    /// A thread does not live on in a forked process.
    process: u32,
    mailbox: Arc<Mailbox>,
    handle: JoinHandle<()>,
    served: usize,
}

impl Shared {
    fn start() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mailbox = Arc::new(Mailbox { waker, orders: Mutex::new(Some(Vec::new())) });
        let (closing, mut serving) = (Closing(Arc::clone(&mailbox)), Serving::new(poll, Arc::clone(&mailbox))?);
        let run = move || {
            let _closing = closing;
            serving.run();
        };
        let handle = std::thread::Builder::new().name("dgm-facade".to_owned()).spawn(run)?;
        Ok(Self { process: std::process::id(), mailbox, handle, served: 0 })
    }

    fn is_alive(&self) -> bool {
        self.process == std::process::id() && self.mailbox.is_open()
    }
}

/// A facade that is being served; `stop` ends that.
pub struct Served {
    key: usize,
    process: u32,
    mailbox: Arc<Mailbox>,
}

impl Served {
    /// Starts to answer.
    pub fn start(bound: Bound, facade: Arc<Facade>) -> io::Result<Self> {
        let mut shared = lock(&SHARED);
        if !shared.as_ref().is_some_and(Shared::is_alive) {
            *shared = Some(Shared::start()?);
        }
        let Some(thread) = shared.as_mut() else { return Err(io::Error::other("no serving thread")) };
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        if !thread.mailbox.post(Order::Serve(Hosted::new(key, bound, facade))) {
            return Err(io::Error::other("the serving thread has ended"));
        }
        thread.served += 1;
        Ok(Self { key, process: thread.process, mailbox: Arc::clone(&thread.mailbox) })
    }

    /// Closes the facade's connections and its listener and waits for that; the last one ends the thread.
    pub fn stop(self) -> io::Result<()> {
        if self.process != std::process::id() {
            // Forked: the thread, the listener and the clients are the parent's.
            return Ok(());
        }
        let mut shared = lock(&SHARED);
        let (done, is_done) = sync_channel(1);
        let withdrawn = self.mailbox.post(Order::Withdraw { key: self.key, done }) && is_done.recv().is_ok();
        let Some(thread) = shared.take_if(|thread| Arc::ptr_eq(&thread.mailbox, &self.mailbox)) else { return Ok(()) };
        if thread.served > 1 {
            *shared = Some(Shared { served: thread.served - 1, ..thread });
        } else {
            thread.mailbox.post(Order::End);
            thread.handle.join().map_err(|_| io::Error::other("the serving thread had panicked"))?;
        }
        withdrawn.then_some(()).ok_or_else(|| io::Error::other("the serving thread had ended"))
    }
}
