//! The reactor's alarm: one timerfd beside the sockets, exact to the microsecond where `epoll_wait` rounds to 1 ms.
//!
//! It is set again only when something is wanted earlier than what it is set to: an alarm that turns out to be too early
//! costs one look, and moving it with every answer would cost a system call each.
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};

use crate::units::Micros;

/// An alarm on the monotonic clock.
#[derive(Debug)]
pub struct Alarm {
    fd: OwnedFd,
    set_to: Option<Micros>,
}

impl Alarm {
    /// An alarm that is not set; it is told as readable, once each time it goes off.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { fd, set_to: None })
    }

    /// Goes off at `wake` or before; a time in the past means at once.
    pub fn no_later_than(&mut self, wake: Micros) -> io::Result<()> {
        if self.set_to.is_some_and(|set_to| set_to <= wake) {
            return Ok(());
        }
        self.set_to = Some(wake);
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &once_at(wake)).map(drop)?;
        Ok(())
    }

    /// It may have gone off by now: then it is not set any more.
    pub fn passed(&mut self, now: Micros) {
        self.set_to.take_if(|set_to| *set_to <= now);
    }
}

/// A value of zero would switch the timer off, so the first nanosecond stands for every time before it.
fn once_at(wake: Micros) -> Itimerspec {
    let us = wake.get().max(0);
    let at = Timespec { tv_sec: us / 1_000_000, tv_nsec: (us % 1_000_000 * 1_000).max(i64::from(us == 0)) };
    Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at }
}
