//! Reactive power and power factor in SunSpec 704: where our signs and the device's meet, with vectors.
//!
//! ```text
//! ours: var positive absorbed      704 VarSet: positive injected (over-excited)      Ext: 0 over-excited, 1 under-excited
//! ```
//!
//! Prepared and not commanded yet: nothing grants reactive power. What is written has its revert, as `control` demands
//! of an active power. An inverter has one owner of Q.
use super::actuator::Write;
use super::layout;
use super::number::{Gain, Raw, Rounding, Scale};
use super::point::Slot;
use super::sunspec::ModelMap;
use super::tables;
use crate::units::{Micros, Vars};

const ENABLED: i64 = 1;
const MODE_VARS: i64 = 4;
const UNDER_EXCITED: i64 = 1;
const OVER_EXCITED: i64 = 0;

/// Power factor of a device that injects active power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerFactor {
    /// Ten-thousandths, 1..=10000.
    pub magnitude: i64,
    /// Under-excited: reactive power is absorbed.
    pub absorbs: bool,
}

/// The writes that set a reactive power with its revert, in order; `None` where the device cannot say it.
pub fn var_writes(map: &ModelMap, want: Vars, revert: Vars, after: Micros, scale: Scale) -> Option<Vec<Write>> {
    let slot = |name: &str| slot(map, name);
    let injected = |name: &str, vars: Vars| {
        let slot = Slot { gain: Gain::TURNED, ..slot(name)? };
        Some((slot.address, slot.words(vars.get(), scale, 0)?))
    };
    let raw = |name: &str, raw: i64| {
        let slot = slot(name)?;
        Some((slot.address, slot.raw_words(raw)?))
    };
    Some(joined(vec![
        raw("VarSetEnaRvrt", ENABLED)?,
        raw("VarSetRvrtTms", after.get() / 1_000_000)?,
        raw("VarSetEna", ENABLED)?,
        raw("VarSetMod", MODE_VARS)?,
        injected("VarSet", want)?,
        injected("VarSetRvrt", revert)?,
    ]))
}

/// The words of a power factor group, its magnitude rounded down to what the scale factor can show.
pub fn power_factor_words(factor: PowerFactor, scale: Scale) -> Option<[u16; 2]> {
    (1..=10_000).contains(&factor.magnitude).then_some(())?;
    let magnitude = Gain::ONE.invert(factor.magnitude, scale, 4)?.round(Rounding::Inwards)?;
    let excitation = if factor.absorbs { UNDER_EXCITED } else { OVER_EXCITED };
    Some([u16::try_from(magnitude).ok()?, u16::try_from(excitation).ok()?])
}

/// The power factor that the words of a group say.
pub fn power_factor([magnitude, excitation]: [u16; 2], scale: Scale) -> Option<PowerFactor> {
    let magnitude = Gain::ONE.apply(Raw::Integer(i128::from(magnitude)), scale, 4, Rounding::Nearest)?;
    let absorbs = match i64::from(excitation) {
        UNDER_EXCITED => true,
        OVER_EXCITED => false,
        _ => return None,
    };
    (1..=10_000).contains(&magnitude).then_some(PowerFactor { magnitude, absorbs })
}

fn slot(map: &ModelMap, name: &str) -> Option<Slot> {
    layout::locate(&tables::find(704)?, &map.find(|id| id == 704)?, name)
}

/// Neighbours in one write.
fn joined(values: Vec<(u16, Vec<u16>)>) -> Vec<Write> {
    let mut writes: Vec<Write> = Vec::new();
    for (start, words) in values {
        match writes.last_mut().filter(|last| usize::from(last.start) + last.words.len() == usize::from(start)) {
            Some(last) => last.words.extend(words),
            None => writes.push(Write { start, words }),
        }
    }
    writes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fake_device::FakeDevice;
    use super::*;

    const AFTER: Micros = Micros::from_millis(30_000);

    #[test]
    fn what_we_call_absorbed_is_negative_for_the_device() {
        let device = FakeDevice::battery();
        let at = device.address(704);
        let writes = |vars| var_writes(&device.map(), Vars::new(vars), Vars::ZERO, AFTER, Scale::ONE).unwrap();
        let absorbing = writes(700);
        assert_eq!(absorbing[0], Write { start: at + 44, words: vec![1, 0, 30] });
        assert_eq!(absorbing[1].start, at + 35);
        assert_eq!(absorbing[1].words, [1, 4], "enabled, in var");
        assert_eq!(absorbing[2], Write { start: at + 38, words: vec![0xffff, 0xfd44, 0, 0] }, "-700");
        assert_eq!(writes(-700)[2].words[..2], [0, 700], "injected");
    }

    #[test]
    fn excitation_says_which_way_a_power_factor_goes() {
        let scale = Scale::new(-3).unwrap();
        let absorbing = PowerFactor { magnitude: 9_505, absorbs: true };
        assert_eq!(power_factor_words(absorbing, scale), Some([950, 1]));
        assert_eq!(power_factor_words(PowerFactor { absorbs: false, ..absorbing }, scale), Some([950, 0]));
        assert_eq!(power_factor([950, 1], scale), Some(PowerFactor { magnitude: 9_500, absorbs: true }));
        assert_eq!(power_factor([950, 0], scale), Some(PowerFactor { magnitude: 9_500, absorbs: false }));
        assert_eq!([power_factor([950, 0xffff], scale), power_factor([0, 0], scale)], [None, None]);
        assert_eq!(power_factor([1_001, 0], scale), None, "more than all");
    }

    #[test]
    fn a_device_without_704_has_no_reactive_setpoint() {
        let map = FakeDevice::meter().map();
        assert_eq!(var_writes(&map, Vars::ZERO, Vars::ZERO, AFTER, Scale::ONE), None);
    }
}
