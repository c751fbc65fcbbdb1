//! What has happened on a line since start, and how its devices stand now.
use super::session::SessionCounters;
use crate::units::Micros;

/// Counters and gauges of a line; they add up over lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// The connection.
    pub session: SessionCounters,
    /// Readings delivered.
    pub readings: u64,
    /// Slots in which a device was not read.
    pub polls_missed: u64,
    /// The longest time by which a periodic read was sent after its slot.
    pub late_max: Micros,
    /// Setpoint writes carried out, one per block of registers.
    pub writes: u64,
    /// Setpoints read back, right or wrong.
    pub readbacks: u64,
    /// Read-backs that showed something else than was written.
    pub readback_mismatch: u64,
    /// Setpoints that a device refused or that do not fit its registers.
    pub control_refused: u64,
    /// Devices that are read now.
    pub devices_serving: u64,
    /// Devices that answer without the models needed.
    pub devices_unusable: u64,
    /// Devices whose setpoint is proved now.
    pub devices_controlled: u64,
}

impl std::ops::Add for LineCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            session: self.session + other.session,
            readings: self.readings + other.readings,
            polls_missed: self.polls_missed + other.polls_missed,
            late_max: self.late_max.max(other.late_max),
            writes: self.writes + other.writes,
            readbacks: self.readbacks + other.readbacks,
            readback_mismatch: self.readback_mismatch + other.readback_mismatch,
            control_refused: self.control_refused + other.control_refused,
            devices_serving: self.devices_serving + other.devices_serving,
            devices_unusable: self.devices_unusable + other.devices_unusable,
            devices_controlled: self.devices_controlled + other.devices_controlled,
        }
    }
}
