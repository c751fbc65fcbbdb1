//! Turns an endpoint into an address without ever stopping the reactor.
//!
//! An address literal needs nothing. A name is looked up on a thread of its own, one per line at a time; the answer
//! wakes the reactor. A look-up that never returns costs its own line and nothing else.
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};

use mio::Waker;

use super::lock;

/// A line and what was found for it.
type Answer = (usize, Option<SocketAddr>);

/// Looks names up for the lines of one reactor.
pub struct Resolver {
    answers: Arc<Mutex<Vec<Answer>>>,
    waker: Arc<Waker>,
    busy: Vec<bool>,
}

/// What is known of an endpoint's address.
pub enum Lookup {
    /// This one.
    Known(SocketAddr),
    /// The answer will come.
    Started,
    /// The look-up before has not ended, or none could be started.
    Unavailable,
}

impl Resolver {
    /// For so many lines.
    pub fn new(lines: usize, waker: Arc<Waker>) -> Self {
        Self { answers: Arc::default(), waker, busy: vec![false; lines] }
    }

    /// Begins to look a host up.
    pub fn start(&mut self, line: usize, host: &str, port: u16) -> Lookup {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Lookup::Known(SocketAddr::new(address, port));
        }
        let Some(busy) = self.busy.get_mut(line).filter(|busy| !**busy) else { return Lookup::Unavailable };
        let (answers, waker) = (Arc::clone(&self.answers), Arc::clone(&self.waker));
        let host = host.to_owned();
        let look_up = move || {
            let found = (host.as_str(), port).to_socket_addrs().ok().and_then(|mut found| found.next());
            lock(&answers).push((line, found));
            // The reactor may be gone already; then nobody waits for the answer.
            let _ = waker.wake();
        };
        match std::thread::Builder::new().name("dgm-resolve".to_owned()).spawn(look_up) {
            Ok(_) => {
                *busy = true;
                Lookup::Started
            }
            Err(_) => Lookup::Unavailable,
        }
    }

    /// The answers since the last call.
    pub fn take(&mut self) -> Vec<Answer> {
        let answers = std::mem::take(&mut *lock(&self.answers));
        for (line, _) in &answers {
            if let Some(busy) = self.busy.get_mut(*line) {
                *busy = false;
            }
        }
        answers
    }
}
