//! A fleet that is polled: lines of registers, and the one image they are read into.
//!
//! ```text
//! FleetConfig ──> lines (polled registers) ── reads ──> RegisterImage ──> copies
//!                    ^ orders by device                 done orders by ticket ──>
//! ```
//!
//! Pure: the reactor moves the bytes and says what time it is. Lines, devices and rows are numbered from 0 in the order
//! of the configuration.
use std::sync::Arc;

use crate::modbus::endpoint::Endpoint;
use crate::modbus::image::{Block, RegisterImage};
use crate::modbus::line::Line;
use crate::modbus::pdu::Request;
use crate::modbus::polled::{Order, Polled, PolledConfig, UnitConfig};
use crate::modbus::session::{Jitter, SessionConfig};
use crate::units::Micros;

/// One line of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetLine {
    /// How it is reached.
    pub endpoint: Endpoint,
    /// How it is driven.
    pub session: SessionConfig,
    /// Longest wait for an answer.
    pub timeout: Micros,
    /// Who is behind it.
    pub units: Vec<UnitConfig>,
}

/// A request to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceOrder {
    /// Names it.
    pub ticket: u64,
    /// Position of the device.
    pub device: usize,
    /// What is asked.
    pub request: Request,
    /// When it must have ended.
    pub deadline: Micros,
}

/// The lines of a fleet.
pub struct Fleet {
    lines: Vec<(Endpoint, Line<Polled>)>,
    /// Line and unit id of each device.
    devices: Vec<(usize, u8)>,
    image: Arc<RegisterImage>,
}

/// The image of a fleet, never read.
pub fn image_of(lines: &[FleetLine]) -> RegisterImage {
    let units = lines.iter().flat_map(|line| &line.units);
    let blocks = |unit: &UnitConfig| {
        let block = |read: &crate::modbus::polled::ReadConfig| Block {
            registers: usize::from(read.span.count),
            age_max: read.age_max,
        };
        unit.reads.iter().map(block).collect()
    };
    RegisterImage::new(&units.map(blocks).collect::<Vec<_>>())
}

impl Fleet {
    /// Nothing connected. `seed` spreads the reconnects of the lines.
    pub fn new(config: &[FleetLine], image: Arc<RegisterImage>, seed: u64) -> Self {
        let (mut lines, mut devices, mut row) = (Vec::new(), Vec::new(), 0);
        for (salt, line) in (seed..).zip(config) {
            let config = PolledConfig::new(line.session.transport, line.timeout);
            let polled = Polled::new(&line.units, config, Arc::clone(&image), devices.len(), row);
            row += line.units.iter().map(|unit| unit.reads.len()).sum::<usize>();
            devices.extend(line.units.iter().map(|unit| (lines.len(), unit.unit)));
            lines.push((line.endpoint.clone(), Line::over(polled, line.session, Jitter::new(salt))));
        }
        Self { lines, devices, image }
    }

    /// The lines with their endpoints.
    pub fn lines(&self) -> &[(Endpoint, Line<Polled>)] {
        &self.lines
    }

    /// A line to be fed.
    pub fn line_mut(&mut self, line: usize) -> Option<&mut Line<Polled>> {
        self.lines.get_mut(line).map(|(_, line)| line)
    }

    /// What is read.
    pub fn image(&self) -> &Arc<RegisterImage> {
        &self.image
    }

    /// Hands an order to the line of its device; which one that is. `None`: there is no such device.
    pub fn order(&mut self, order: DeviceOrder, now: Micros) -> Option<usize> {
        let DeviceOrder { ticket, device, request, deadline } = order;
        let (index, unit) = *self.devices.get(device)?;
        let (_, line) = self.lines.get_mut(index)?;
        line.update(now, |polled| polled.order(Order { ticket, unit, request, deadline }, now));
        Some(index)
    }
}

#[cfg(test)]
#[path = "fleet_world.rs"]
mod world;

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
