//! What a device asks of its line: the same numbers for `dgm check`, before anything starts, and for the line that runs.
//!
//! ```text
//! Sources (what is polled), Actuator (what is written and looked at), period ──> DeviceQuestion ──> planning::admission
//! SunSpec: expected models before it answers, its own afterwards
//! ```
//!
//! It plans no reads: the line does, and `Sources` by its terms.
use super::actuator::{Actuator, Fallback};
use super::channels::Sources;
use super::control::{look_interval, renewal};
use super::device::{DeviceConfig, Role};
use super::planning::admission::{BeatCycle, DeviceQuestion, LookCycle, Search, SetpointCycle};
use super::planning::reads::Need;
use super::sunspec::ModelMap;
use super::{der, models};
use crate::units::Micros;

/// Models with their lengths that a meter is expected to have.
const METER: [(u16, u16); 2] = [(1, 66), (203, 105)];
/// Where a model stands is not known before: never so close to another that one read could bring both.
const APART: (u16, u16) = (u16::MAX - 1, 125);
/// A PV inverter.
const PV: [(u16, u16); 6] = [(1, 66), (701, 153), (702, 50), (704, 65), APART, (715, 7)];
/// A battery: 713 says how full it is, 802 what it takes and gives now.
const BATTERY: [(u16, u16); 9] =
    [(1, 66), (701, 153), (702, 50), (704, 65), (713, 7), APART, (715, 7), APART, (802, 60)];

/// What is known of a device.
#[derive(Debug)]
pub struct Known<'a> {
    /// What it is read by.
    pub sources: &'a Sources,
    /// What it is commanded by.
    pub actuator: Option<&'a Actuator>,
}

impl Known<'_> {
    /// Everything that such a device is asked for.
    pub fn question(&self, config: &DeviceConfig) -> DeviceQuestion {
        let need = |(table, span)| Need { table, span, group: None, period: config.period, deadline: config.period };
        let command = self.actuator.zip(config.role.command());
        DeviceQuestion {
            needs: self.sources.runs().into_iter().map(need).collect(),
            registers_max: self.sources.read_max(),
            setpoints: command.iter().map(|(actuator, _)| setpoint(actuator, config.period)).collect(),
            look: command.as_ref().map(|(actuator, (_, fallback))| look(actuator, fallback)),
            beat: command.and_then(|(actuator, (_, fallback))| beat(actuator, &fallback)),
            search: match &config.table {
                Some(_) => Search::Registers(self.sources.probe().map_or(1, |(_, span)| span.count)),
                None => Search::Models,
            },
            timeout: config.timeout,
        }
    }
}

/// What a device is expected to ask for before it has answered. `None`: its table cannot command it as its role demands.
pub fn expected(config: &DeviceConfig) -> Option<DeviceQuestion> {
    let (sources, actuator) = match &config.table {
        Some(table) => {
            let kind = config.role.command();
            (table.sources().clone(), kind.and_then(|(kind, fallback)| table.actuator(kind, fallback.rating)))
        }
        None => {
            let map = ModelMap::chained(expected_models(config.role));
            let actuator = config.role.command().and_then(|(kind, _)| der::actuator(&map, kind));
            (sunspec_sources(&map, config.role)?, actuator)
        }
    };
    Some(Known { sources: &sources, actuator: actuator.as_ref() }.question(config))
}

/// What a SunSpec device of a role is read by.
pub fn sunspec_sources(map: &ModelMap, role: Role) -> Option<Sources> {
    match role {
        Role::Meter => models::meter(map),
        Role::Pv(_) => models::pv(map),
        Role::Battery(_) => models::battery(map),
    }
}

fn expected_models(role: Role) -> &'static [(u16, u16)] {
    match role {
        Role::Meter => &METER,
        Role::Pv(_) => &PV,
        Role::Battery(_) => &BATTERY,
    }
}

/// Setpoints change no more often than the device is read; a reduction waits for nobody.
fn setpoint(actuator: &Actuator, period: Micros) -> SetpointCycle {
    let proofs = actuator.looks().iter().map(|(_, span)| span.count).collect();
    SetpointCycle { writes: actuator.write_registers(), proofs, interval: period }
}

fn look(actuator: &Actuator, fallback: &Fallback) -> LookCycle {
    let reads = actuator.looks().iter().chain(actuator.rating_reads()).map(|(_, span)| span.count).collect();
    let interval = look_interval(renewal(actuator, fallback));
    LookCycle { reads, interval, allowed: allowed(actuator, interval) }
}

fn beat(actuator: &Actuator, fallback: &Fallback) -> Option<BeatCycle> {
    let heartbeat = actuator.heartbeat()?;
    let allowed = allowed(actuator, look_interval(renewal(actuator, fallback)));
    Some(BeatCycle { registers: heartbeat.slot.kind.registers(), interval: heartbeat.period, allowed })
}

/// A look must be done within its interval, a sign of life within one and a half of its own: devices bear several. Of both,
/// the one that is due later waits behind the other, so neither may wait longer than the more patient can.
fn allowed(actuator: &Actuator, look: Micros) -> Micros {
    actuator.heartbeat().map_or(look, |beat| look.min(beat.period + Micros::new(beat.period.get() / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Watts;

    const SECOND: Micros = Micros::from_millis(1_000);
    const LATE: Micros = Micros::from_millis(1_500);

    const FALLBACK: Fallback =
        Fallback { output: Watts::ZERO, after: Micros::from_millis(30_000), rating: Watts::new(100_000) };

    fn question(role: Role) -> DeviceQuestion {
        let (period, timeout) = (Micros::from_millis(1_000), Micros::from_millis(500));
        let config = DeviceConfig { unit: 1, role, period, timeout, write_latency: timeout, table: None };
        expected(&config).unwrap()
    }

    #[test]
    fn a_meter_is_only_read() {
        let meter = question(Role::Meter);
        assert_eq!((meter.setpoints, meter.look, meter.beat), (vec![], None, None));
        assert_eq!(meter.needs.iter().map(|need| need.span.start).min(), Some(40_073));
    }

    #[test]
    fn an_inverter_is_written_read_back_looked_at_and_shown_that_somebody_is_there() {
        let pv = question(Role::Pv(FALLBACK));
        assert_eq!((&pv.setpoints[0].writes, &pv.setpoints[0].proofs), (&vec![6], &vec![41, 3]));
        let look = pv.look.unwrap();
        assert_eq!((look.reads, look.interval), (vec![41, 3, 20], Micros::from_millis(2_000)));
        assert_eq!(look.allowed, LATE, "no later than the sign of life that waits behind it");
        assert_eq!(pv.beat, Some(BeatCycle { registers: 2, interval: SECOND, allowed: LATE }));
        let battery = question(Role::Battery(FALLBACK));
        assert_eq!(battery.setpoints[0].writes, [3, 6]);
        assert!(battery.needs.len() > pv.needs.len(), "how full it is, and what it takes and gives now");
    }
}
