//! The process image: the newest reading of every asset, remote and Modbus alike, each with its own time and quality.
//!
//! Absence is `None`, never 0. The image does not judge ages: who reads it says how old is too old.

use crate::units::{AssetIndex, Milliamps, Millis, Millivolts, Permille, Vars, WattHours, Watts};

/// How far a reading may be trusted; the numbers are those of `site.v1.Quality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Read or reported within its deadline.
    Good,
    /// Was good, is older than its deadline.
    Stale,
    /// The device answered with an error or a "not implemented" value.
    Failed,
    /// Not seen since start.
    Never,
}

impl Quality {
    /// Number of `site.v1.Quality`.
    pub const fn number(self) -> i64 {
        match self {
            Self::Good => 1,
            Self::Stale => 2,
            Self::Failed => 3,
            Self::Never => 4,
        }
    }

    /// From the number of `site.v1.Quality`; anything unknown cannot be trusted.
    pub const fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Good,
            2 => Self::Stale,
            4 => Self::Never,
            _ => Self::Failed,
        }
    }
}

/// What an EVSE says of its plug; the numbers are those of `site.v1.PlugState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlugState {
    /// Not said.
    #[default]
    Unknown,
    /// No car.
    Available,
    /// A car is plugged, charging has not begun.
    Preparing,
    /// Energy flows or may flow.
    Charging,
    /// The car does not take energy.
    SuspendedEv,
    /// The station does not offer energy.
    SuspendedEvse,
    /// Done, still plugged.
    Finishing,
    /// Held for somebody.
    Reserved,
    /// Out of service.
    Unavailable,
    /// In error.
    Faulted,
    /// The station has no connection to its gateway.
    Offline,
}

const PLUG_STATES: [PlugState; 11] = [
    PlugState::Unknown,
    PlugState::Available,
    PlugState::Preparing,
    PlugState::Charging,
    PlugState::SuspendedEv,
    PlugState::SuspendedEvse,
    PlugState::Finishing,
    PlugState::Reserved,
    PlugState::Unavailable,
    PlugState::Faulted,
    PlugState::Offline,
];

impl PlugState {
    /// Number of `site.v1.PlugState`.
    pub fn number(self) -> i64 {
        PLUG_STATES.iter().position(|state| *state == self).map_or(0, crate::units::count)
    }

    /// From the number of `site.v1.PlugState`; anything unknown says nothing.
    pub fn from_number(number: i64) -> Self {
        usize::try_from(number).ok().and_then(|index| PLUG_STATES.get(index).copied()).unwrap_or_default()
    }
}

/// What one asset was seen doing at one time. Sign of power: positive into the asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How far it may be trusted.
    pub quality: Quality,
    /// When it was measured, by the clock of the caller of the Arbiter.
    pub measured_at: Millis,
    /// W, positive into the asset.
    pub power: Option<Watts>,
    /// var, positive absorbed.
    pub reactive: Option<Vars>,
    /// mA, magnitudes; for an EVSE in the order of its own conductors, else L1 to L3 of the site.
    pub current: [Option<Milliamps>; 3],
    /// mV, phase to neutral.
    pub voltage: [Option<Millivolts>; 3],
    /// mHz.
    pub frequency_mhz: Option<i64>,
    /// Wh into the asset since its counter began.
    pub energy: Option<WattHours>,
    /// State of charge, 0..=1000 of usable energy.
    pub soc: Option<Permille>,
    /// W, most that a battery takes now, by its own word.
    pub charge_max: Option<Watts>,
    /// W, most that a battery gives now, by its own word.
    pub discharge_max: Option<Watts>,
    /// EVSE only.
    pub plug: PlugState,
}

impl Reading {
    /// Nothing seen since start.
    pub const NEVER: Self = Self {
        quality: Quality::Never,
        measured_at: Millis::ZERO,
        power: None,
        reactive: None,
        current: [None; 3],
        voltage: [None; 3],
        frequency_mhz: None,
        energy: None,
        soc: None,
        charge_max: None,
        discharge_max: None,
        plug: PlugState::Unknown,
    };

    /// Whether it is good and at most `max_age` old. A time in the future counts as now.
    pub fn is_fresh(&self, now: Millis, max_age: Millis) -> bool {
        self.quality == Quality::Good && now - self.measured_at <= max_age
    }
}

/// The newest reading of every asset, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Image {
    readings: Vec<Reading>,
}

impl Image {
    /// An image in which nothing has been seen.
    pub fn new(assets: usize) -> Self {
        Self { readings: vec![Reading::NEVER; assets] }
    }

    /// The newest reading; an asset that does not exist was never seen.
    pub fn reading(&self, asset: AssetIndex) -> &Reading {
        self.readings.get(asset.0).unwrap_or(&Reading::NEVER)
    }

    /// Every reading in the order of the configuration.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Replaces a reading; one for an asset that does not exist is dropped.
    pub fn put(&mut self, asset: AssetIndex, reading: Reading) {
        if let Some(slot) = self.readings.get_mut(asset.0) {
            *slot = reading;
        }
    }
}
