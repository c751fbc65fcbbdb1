//! The SunSpec models a site is read by: meter 201-204, DER measurement 701, storage 713, as readings in our units.
//!
//! Offsets count from the model header. Sign: a meter's power is positive when the site imports, as ours; a DER's is
//! positive when it injects, so it is turned round here and nowhere else. What a device does not implement is absent;
//! without a power value the reading is `Failed`.
use super::point::{Block, Rounding, Scale};
use crate::site::image::{Quality, Reading};
use crate::units::{Milliamps, Millis, Millivolts, Permille, Vars, WattHours, Watts};

/// First and last register of what is read of a model in one transaction.
pub type Window = (u16, u16);

/// Meters 201 to 204: from the currents to the scale factor of the energies.
pub const METER: Window = (2, 54);
/// DER measurement 701: from the power to the last scale factor; 112 registers, so one read.
pub const DER: Window = (10, 121);
/// DER capacity 702: from the power setting to its scale factor.
pub const CAPACITY: Window = (26, 45);
/// Storage 713: state of charge to its scale factor.
pub const STORAGE: Window = (4, 8);

/// Whether a model number is a meter with integer points and scale factors.
pub fn is_meter(id: u16) -> bool {
    (201..=204).contains(&id)
}

/// Where the points of a reading stand; `None`: the model has none.
struct Layout {
    power: (u16, u16),
    reactive: (u16, u16),
    current: ([u16; 3], u16),
    voltage: ([u16; 3], u16),
    frequency_sf: u16,
    energy_sf: u16,
}

const METER_LAYOUT: Layout = Layout {
    power: (18, 22),
    reactive: (28, 32),
    current: ([3, 4, 5], 6),
    voltage: ([8, 9, 10], 15),
    frequency_sf: 17,
    energy_sf: 54,
};

const DER_LAYOUT: Layout = Layout {
    power: (10, 116),
    reactive: (12, 119),
    current: ([45, 68, 91], 113),
    voltage: ([47, 70, 93], 114),
    frequency_sf: 115,
    energy_sf: 120,
};

/// A meter's registers (window `METER`). Phases in the device's order.
pub fn read_meter(words: &[u16], measured_at: Millis) -> Reading {
    let block = Block::new(METER.0, words);
    let (frequency, energy) = (block.int16(16), block.acc32(46));
    let voltage = METER_LAYOUT.voltage.0.map(|offset| block.int16(offset));
    read(&block, &METER_LAYOUT, voltage, frequency, energy, measured_at)
}

/// A DER's registers (window `DER`), turned to our sign. Phases in the device's order.
pub fn read_der(words: &[u16], measured_at: Millis) -> Reading {
    let block = Block::new(DER.0, words);
    let (frequency, energy) = (block.uint32(17), block.uint64(23));
    let voltage = DER_LAYOUT.voltage.0.map(|offset| block.uint16(offset));
    let mut reading = read(&block, &DER_LAYOUT, voltage, frequency, energy, measured_at);
    reading.power = point(&block, DER_LAYOUT.power, Rounding::Down).map(|injected| -Watts::new(injected));
    reading.reactive = point(&block, DER_LAYOUT.reactive, Rounding::Down).map(|injected| -Vars::new(injected));
    reading
}

/// State of charge (window `STORAGE`), rounded down.
pub fn read_soc(words: &[u16]) -> Option<Permille> {
    let block = Block::new(STORAGE.0, words);
    let permille = block.scale(8)?.apply(block.uint16(4)?, 1, Rounding::Down)?;
    (0..=1000).contains(&permille).then(|| Permille::new(permille))
}

/// The power that 100 % stands for (window `CAPACITY`), rounded up: a percentage of it then never allows more.
pub fn read_power_max(words: &[u16]) -> Option<Watts> {
    let block = Block::new(CAPACITY.0, words);
    let watts = block.scale(45)?.apply(block.uint16(26)?, 0, Rounding::Up)?;
    (watts > 0).then(|| Watts::new(watts))
}

fn read(
    block: &Block<'_>,
    layout: &Layout,
    voltage: [Option<i64>; 3],
    frequency: Option<i64>,
    energy: Option<i64>,
    measured_at: Millis,
) -> Reading {
    let milli = |raw: Option<i64>, scale: u16| milli(raw, block.scale(scale));
    let current = layout.current.0.map(|offset| block.int16(offset).map(i64::abs));
    let power = point(block, layout.power, Rounding::Up);
    let energy_wh =
        energy.zip(block.scale(layout.energy_sf)).and_then(|(raw, scale)| scale.apply(raw, 0, Rounding::Down));
    Reading {
        quality: if power.is_some() { Quality::Good } else { Quality::Failed },
        measured_at,
        power: power.map(Watts::new),
        reactive: point(block, layout.reactive, Rounding::Up).map(Vars::new),
        current: current.map(|raw| milli(raw, layout.current.1).map(Milliamps::new)),
        voltage: voltage.map(|raw| milli(raw, layout.voltage.1).map(Millivolts::new)),
        frequency_mhz: milli(frequency, layout.frequency_sf),
        energy: energy_wh.map(WattHours::new),
        ..Reading::NEVER
    }
}

/// An int16 point with its scale factor, in the point's own unit.
fn point(block: &Block<'_>, (offset, scale): (u16, u16), rounding: Rounding) -> Option<i64> {
    block.scale(scale)?.apply(block.int16(offset)?, 0, rounding)
}

/// In thousandths of the point's unit, rounded up.
fn milli(raw: Option<i64>, scale: Option<Scale>) -> Option<i64> {
    scale?.apply(raw?, 3, Rounding::Up)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const T: Millis = Millis::new(77);

    /// A window full of "not implemented" with some words set, by offset.
    fn window((first, last): Window, set: &[(u16, i32)]) -> Vec<u16> {
        let mut words = vec![0x8000; usize::from(last - first) + 1];
        for (offset, value) in set {
            words[usize::from(offset - first)] = u16::try_from(value & 0xffff).unwrap();
        }
        words
    }

    #[test]
    fn a_meter_keeps_its_sign_and_scales_each_point_by_its_own_factor() {
        let set = [
            (3, 100),
            (4, -200),
            (5, 300),
            (6, -1),
            (8, 2301),
            (9, 2302),
            (10, 2303),
            (15, -1),
            (16, 4998),
            (17, -2),
            (18, -1234),
            (22, 1),
            (28, 50),
            (32, 0),
            (46, 1),
            (47, 2),
            (54, 1),
        ];
        let reading = read_meter(&window(METER, &set), T);
        assert_eq!(reading.quality, Quality::Good);
        assert_eq!(reading.measured_at, T);
        assert_eq!(reading.power, Some(Watts::new(-12_340)));
        assert_eq!(reading.reactive, Some(Vars::new(50)));
        assert_eq!(reading.current, [10_000, 20_000, 30_000].map(|ma| Some(Milliamps::new(ma))));
        assert_eq!(reading.voltage, [230_100, 230_200, 230_300].map(|mv| Some(Millivolts::new(mv))));
        assert_eq!(reading.frequency_mhz, Some(49_980));
        assert_eq!(reading.energy, Some(WattHours::new(655_380)));
    }

    #[test]
    fn a_der_that_injects_is_negative_and_loads_round_up() {
        let set = [(10, 1234), (12, -7), (116, -1), (119, 0), (45, 11), (113, 0)];
        let reading = read_der(&window(DER, &set), T);
        assert_eq!(reading.power, Some(Watts::new(-123)));
        assert_eq!(reading.reactive, Some(Vars::new(7)));
        assert_eq!(reading.current, [Some(Milliamps::new(11_000)), None, None]);
        let charging = read_der(&window(DER, &[(10, -1234), (116, -1)]), T);
        assert_eq!(charging.power, Some(Watts::new(124)));
    }

    #[test]
    fn without_power_or_its_scale_factor_the_reading_has_failed() {
        assert_eq!(read_meter(&window(METER, &[(18, 5)]), T).quality, Quality::Failed);
        assert_eq!(read_der(&window(DER, &[(116, 0)]), T).quality, Quality::Failed);
        let nothing = read_der(&window(DER, &[]), T);
        assert_eq!((nothing.power, nothing.energy, nothing.soc), (None, None, None));
    }

    #[test]
    fn a_state_of_charge_rounds_down_and_must_make_sense() {
        assert_eq!(read_soc(&window(STORAGE, &[(4, 5678), (8, -2)])), Some(Permille::new(567)));
        assert_eq!(read_soc(&window(STORAGE, &[(4, 101), (8, 0)])), None);
        assert_eq!(read_soc(&window(STORAGE, &[(4, 50)])), None);
        assert_eq!(read_soc(&window(STORAGE, &[(4, -1), (8, -1)])), None);
    }

    #[test]
    fn a_rating_of_nothing_is_no_rating() {
        assert_eq!(read_power_max(&window(CAPACITY, &[(26, 500), (45, 2)])), Some(Watts::new(50_000)));
        assert_eq!(read_power_max(&window(CAPACITY, &[(26, 0), (45, 2)])), None);
        assert_eq!(read_power_max(&window(CAPACITY, &[(26, -1), (45, 2)])), None);
    }

    proptest! {
        #[test]
        fn no_registers_make_a_decoder_panic(words in prop::collection::vec(any::<u16>(), 0..130)) {
            read_meter(&words, T);
            read_der(&words, T);
            read_soc(&words);
            read_power_max(&words);
        }
    }
}
