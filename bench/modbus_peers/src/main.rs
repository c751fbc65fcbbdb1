//! Comparators of the Modbus benchmark: devices, clients and timers that do nothing but what the host makes them do.
//!
//! ```text
//! servers   device [stamp]                  blocking, a thread per connection       print READY PORT, serve until
//!           ideal [PERIOD_US]               one thread, epoll                       standard input ends, then a report
//! clients   serial | pipelined | many       one read at a time, 16 at once, one on each of many connections
//!           paced | good                    a fleet at its rate; one client that asks a thousand times a second
//!           bad | expiry                    broken frames and half-open connections; a write that has to fall back
//! floors    timer | boundary                when a timer wakes us; a stamp through an eventfd (standard output)
//! ```
//!
//! Every client prints one line of JSON. Nothing here is part of the product, and nothing here checks what it reads
//! beyond its length: a comparator that did more would be a lower bar.
mod answer;
mod client;
mod floor;
mod hostile;
mod meter;
mod paced;
mod poll;
mod server;

use std::io::{self, Error};

/// The arguments behind the role, each a number.
pub struct Arguments(Vec<u64>);

impl Arguments {
    /// The value at a place.
    pub fn get(&self, index: usize, name: &str) -> io::Result<u64> {
        let found = self.0.get(index).copied();
        found.ok_or_else(|| Error::other(format!("expected the argument {name} (a number) at place {}", index + 1)))
    }

    /// The port, always first.
    pub fn port(&self) -> io::Result<u16> {
        u16::try_from(self.get(0, "PORT")?).map_err(Error::other)
    }

    /// How long, always second, nanoseconds.
    pub fn span(&self) -> io::Result<u64> {
        Ok(self.get(1, "MILLISECONDS")? * 1_000_000)
    }
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let role = words.next().unwrap_or_default();
    let numbers: Result<Vec<u64>, _> = words.map(|word| word.parse()).collect();
    let given = Arguments(numbers.map_err(Error::other)?);
    match role.as_str() {
        "device" => server::device(given.0.first() == Some(&1)),
        "ideal" => server::ideal(given.0.first().copied()),
        "serial" => client::serial(&given),
        "pipelined" => client::pipelined(&given),
        "many" => client::many(&given),
        "paced" => paced::fleet(&given),
        "good" => hostile::good(&given),
        "bad" => hostile::bad(&given),
        "expiry" => hostile::expiry(&given),
        "timer" => floor::timer_floor(&given),
        "boundary" => floor::boundary(&given),
        _ => Err(Error::other(format!("found role {role:?}; expected one of those that src/main.rs names"))),
    }
}
