//! A serial port as a non-blocking stream: opened raw, alone, with the format asked for, or refused with the reason.
//!
//! ```text
//! PortConfig (path, baud, parity, stop bits) ── open, lock, set, read back ──> Port ──> Socket
//! ```
//!
//! It knows nothing of frames or silences: `modbus::rtu` and the session do.
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    ioctl_tiocexcl, isatty, tcflush, tcgetattr, tcsetattr, ControlModes, OptionalActions, QueueSelector, Termios,
};

use crate::modbus::rtu::{Format, Parity};

/// Which port, and how it is driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Path of the device.
    pub path: String,
    /// Baud rate, parity and stop bits.
    pub format: Format,
}

/// Why a port cannot be used.
#[derive(Debug)]
pub struct PortError {
    path: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Open(io::Error),
    NotATerminal,
    Taken(io::Error),
    StopBits(u8),
    Baud { asked: u32, given: u32 },
    Format { asked: Format },
    Setting(io::Error),
    Registration(io::Error),
}

impl PortError {
    fn new(config: &PortConfig, problem: Problem) -> Self {
        Self { path: config.path.clone(), problem }
    }

    pub(super) fn registration(config: &PortConfig, error: io::Error) -> Self {
        Self::new(config, Problem::Registration(error))
    }
}

impl Display for PortError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "serial port {}: ", self.path)?;
        match &self.problem {
            Problem::Open(error) => write!(
                f,
                "cannot be opened ({error}); expected a device that this user may read and write: check that the adapter \
                 is plugged in, its path, and the group of the device file"
            ),
            Problem::NotATerminal => write!(f, "is not a serial port; expected a device such as /dev/ttyUSB0"),
            Problem::Taken(error) => write!(f, "cannot be had alone ({error}); stop the other program that uses it"),
            Problem::StopBits(found) => write!(f, "{found} stop bits asked for; expected 1 or 2"),
            Problem::Baud { asked, given } => {
                write!(f, "{asked} baud asked for, the driver gives {given}; choose a rate that it supports")
            }
            Problem::Format { asked: Format { parity, stop_bits, .. } } => {
                write!(f, "the driver does not take 8 data bits, parity {parity:?}, {stop_bits} stop bits")
            }
            Problem::Setting(error) => write!(f, "its settings cannot be read or written ({error})"),
            Problem::Registration(error) => write!(f, "cannot be waited for ({error})"),
        }
    }
}

impl std::error::Error for PortError {}

/// An open serial port.
#[derive(Debug)]
pub struct Port {
    file: File,
}

impl Port {
    /// Opens it without becoming its controlling process, keeps others out, and throws away what had come before.
    pub fn open(config: &PortConfig) -> Result<Self, PortError> {
        open(config).map_err(|problem| PortError::new(config, problem))
    }
}

fn open(config: &PortConfig) -> Result<Port, Problem> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(config.path.as_str(), flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::BUSY => Problem::Taken(error.into()),
        other => Problem::Open(other.into()),
    })?;
    if !isatty(&file) {
        return Err(Problem::NotATerminal);
    }
    ioctl_tiocexcl(&file).map_err(|error| Problem::Taken(error.into()))?;
    let setting = |error: rustix::io::Errno| Problem::Setting(error.into());
    let mut settings = tcgetattr(&file).map_err(setting)?;
    apply(&mut settings, config.format)?;
    tcsetattr(&file, OptionalActions::Now, &settings).map_err(setting)?;
    check(&tcgetattr(&file).map_err(setting)?, config.format)?;
    tcflush(&file, QueueSelector::IOFlush).map_err(setting)?;
    Ok(Port { file: File::from(file) })
}

/// Raw (a read returns what there is), 8 data bits, no flow control, modem lines ignored.
fn apply(settings: &mut Termios, format: Format) -> Result<(), Problem> {
    settings.make_raw();
    settings.control_modes.remove(shape_mask() | ControlModes::CRTSCTS);
    settings.control_modes.insert(shape(format)? | ControlModes::CREAD | ControlModes::CLOCAL);
    settings.set_speed(format.baud).map_err(|_| Problem::Baud { asked: format.baud, given: settings.output_speed() })
}

/// A driver that cannot do what it is told sets something near and says nothing.
fn check(settings: &Termios, format: Format) -> Result<(), Problem> {
    let given = settings.output_speed();
    // Dividers are coarse at high rates; receivers bear a few percent. 0 would hang the line up.
    if format.baud == 0 || given.abs_diff(format.baud) > format.baud / 50 {
        return Err(Problem::Baud { asked: format.baud, given });
    }
    if settings.control_modes & shape_mask() != shape(format)? {
        return Err(Problem::Format { asked: format });
    }
    Ok(())
}

fn shape_mask() -> ControlModes {
    ControlModes::CSIZE | ControlModes::PARENB | ControlModes::PARODD | ControlModes::CSTOPB
}

fn shape(format: Format) -> Result<ControlModes, Problem> {
    let parity = match format.parity {
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::None => ControlModes::empty(),
    };
    let stop = match format.stop_bits {
        1 => ControlModes::empty(),
        2 => ControlModes::CSTOPB,
        other => return Err(Problem::StopBits(other)),
    };
    Ok(ControlModes::CS8 | parity | stop)
}

impl Read for Port {
    /// A raw port has no end: nothing to read is said as `WouldBlock`, 0 means that the device is gone.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Source for Port {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.file.as_raw_fd()).deregister(registry)
    }
}

#[cfg(test)]
#[path = "serial_tests.rs"]
mod tests;
