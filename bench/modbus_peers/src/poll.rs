//! epoll and timerfd with as little around them as can be.
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// An epoll set; a descriptor in it is known by a number.
pub struct Poll {
    epoll: OwnedFd,
    events: [MaybeUninit<Event>; EVENTS_MAX],
}

impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: [const { MaybeUninit::uninit() }; EVENTS_MAX] })
    }

    /// Readable events of `source` carry `number`.
    pub fn add(&self, source: impl AsFd, number: usize) -> io::Result<()> {
        let data = EventData::new_u64(u64::try_from(number).unwrap_or(u64::MAX));
        Ok(epoll::add(&self.epoll, source, data, EventFlags::IN)?)
    }

    /// Waits; the numbers of what is readable.
    pub fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        ready.clear();
        let (events, _) = epoll::wait(&self.epoll, &mut self.events[..], None)?;
        ready.extend(events.iter().map(|event| usize::try_from(event.data.u64()).unwrap_or(usize::MAX)));
        Ok(())
    }
}

/// A timer that fires at `first` (CLOCK_MONOTONIC, ns) and every `period` ns after that.
pub fn timer(first: u64, period: u64) -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let times = Itimerspec { it_interval: timespec(period), it_value: timespec(first) };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times)?;
    Ok(timer)
}

/// How often it has fired since the last look.
pub fn fired(timer: &OwnedFd) -> u64 {
    let mut count = [0; 8];
    rustix::io::read(timer, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
}

fn timespec(nanos: u64) -> Timespec {
    let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Timespec { tv_sec: part(nanos / 1_000_000_000), tv_nsec: part(nanos % 1_000_000_000) }
}
