//! The SunSpec models a site is read by, in the order of preference, as metrics in our units and signs.
//!
//! ```text
//! meter          201-204 int, 211-214 float                    positive: import, as ours
//! PV, battery    701 > 101-103 int, 111-113 float > 714 (DC)   positive: out of the device, turned round here and nowhere else
//! battery, also  713 > 802 > 124: state of charge;  802: what it takes and gives now
//! ```
//!
//! A model counts only if its power and the power's scale factor lie within the length that the device announces. What
//! a device does not implement is absent.
use super::channels::{Channel, Metric, Sources};
use super::layout;
use super::number::Gain;
use super::pdu::READ_MAX;
use super::sunspec::{Model, ModelMap};
use super::tables;

/// A metric and the point that holds it.
type Named = (Metric, &'static str);

const METER: &[Named] = &[
    (Metric::Power, "W"),
    (Metric::Reactive, "VAR"),
    (Metric::Current(0), "AphA"),
    (Metric::Current(1), "AphB"),
    (Metric::Current(2), "AphC"),
    (Metric::Voltage(0), "PhVphA"),
    (Metric::Voltage(1), "PhVphB"),
    (Metric::Voltage(2), "PhVphC"),
    (Metric::Frequency, "Hz"),
    (Metric::Energy, "TotWhImp"),
];

const DER: &[Named] = &[
    (Metric::Power, "W"),
    (Metric::Reactive, "Var"),
    (Metric::Current(0), "AL1"),
    (Metric::Current(1), "AL2"),
    (Metric::Current(2), "AL3"),
    (Metric::Voltage(0), "VL1"),
    (Metric::Voltage(1), "VL2"),
    (Metric::Voltage(2), "VL3"),
    (Metric::Frequency, "Hz"),
    (Metric::Energy, "TotWhAbs"),
];

/// Their energy counts what goes out.
const INVERTER: &[Named] = &[
    (Metric::Power, "W"),
    (Metric::Reactive, "VAr"),
    (Metric::Current(0), "AphA"),
    (Metric::Current(1), "AphB"),
    (Metric::Current(2), "AphC"),
    (Metric::Voltage(0), "PhVphA"),
    (Metric::Voltage(1), "PhVphB"),
    (Metric::Voltage(2), "PhVphC"),
    (Metric::Frequency, "Hz"),
];

const DC: &[Named] = &[(Metric::Power, "DCW"), (Metric::Energy, "DCWhAbs")];
const STORAGE: &[Named] = &[(Metric::Soc, "SoC")];
const BATTERY: &[Named] =
    &[(Metric::Soc, "SoC"), (Metric::ChargeMax, "WChaRteMax"), (Metric::DischargeMax, "WDisChaRteMax")];
const BATTERY_LIMITS: &[Named] = &[(Metric::ChargeMax, "WChaRteMax"), (Metric::DischargeMax, "WDisChaRteMax")];
const LEGACY_STORAGE: &[Named] = &[(Metric::Soc, "ChaState")];

/// How a meter is read.
pub fn meter(map: &ModelMap) -> Option<Sources> {
    let is_meter = |model: &&Model| matches!(model.id, 201..=204 | 211..=214);
    map.models().iter().filter(is_meter).find_map(|model| Sources::new(channels(model, METER)?, Vec::new(), READ_MAX))
}

/// How a PV inverter is read.
pub fn pv(map: &ModelMap) -> Option<Sources> {
    Sources::new(output(map)?, Vec::new(), READ_MAX)
}

/// How a battery is read.
pub fn battery(map: &ModelMap) -> Option<Sources> {
    let mut all = output(map)?;
    let (storage, battery) = (first(map, &[713], STORAGE), first(map, &[802], BATTERY));
    if storage.is_some() {
        all.extend(first(map, &[802], BATTERY_LIMITS).unwrap_or_default());
    }
    all.extend(storage.or(battery).or_else(|| first(map, &[124], LEGACY_STORAGE)).unwrap_or_default());
    Sources::new(all, Vec::new(), READ_MAX)
}

/// The output of a DER, from the first of its models that says it.
fn output(map: &ModelMap) -> Option<Vec<Channel>> {
    let preferences: [(&[u16], &[Named]); 3] =
        [(&[701], DER), (&[101, 102, 103, 111, 112, 113], INVERTER), (&[714], DC)];
    let mut found = preferences.into_iter().find_map(|(ids, names)| first(map, ids, names))?;
    for channel in &mut found {
        if matches!(channel.metric, Metric::Power | Metric::Reactive) {
            channel.slot.gain = Gain::TURNED;
        }
    }
    Some(found)
}

fn first(map: &ModelMap, ids: &[u16], names: &[Named]) -> Option<Vec<Channel>> {
    map.models().iter().filter(|model| ids.contains(&model.id)).find_map(|model| channels(model, names))
}

/// The points of a model that the device has; `None` without the first of them.
fn channels(model: &Model, names: &[Named]) -> Option<Vec<Channel>> {
    let definition = tables::find(model.id)?;
    let channel =
        |(metric, name): &Named| Some(Channel { metric: *metric, slot: layout::locate(&definition, model, name)? });
    let (head, rest) = names.split_first()?;
    Some(std::iter::once(channel(head)?).chain(rest.iter().filter_map(channel)).collect())
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
