//! An eventfd: "something is new", conflated, readable by any event loop.
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{eventfd, EventfdFlags};

/// Set by the core, cleared by its reader.
#[derive(Debug)]
pub struct Notifier(File);

impl Notifier {
    /// A new one, not set.
    pub fn new() -> io::Result<Self> {
        let fd: OwnedFd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(File::from(fd)))
    }

    /// Makes it readable.
    pub fn set(&self) {
        // A counter at its end is readable already, which is all that is wanted.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes it unreadable until it is set again.
    pub fn clear(&self) {
        // Nothing to read means that it is clear.
        let _ = (&self.0).read(&mut [0; 8]);
    }

    /// The descriptor, owned by this.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
