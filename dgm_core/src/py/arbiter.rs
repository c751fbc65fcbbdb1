//! `dgm._core.Arbiter`: the decision function under the caller's clock.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::columns::{self, known32, known64, or_absent};
use crate::arbiter::reactive::{self, Capability, Priority};
use crate::arbiter::{Arbiter, EvseSample, Grant, GrantValue, Outcome, OutcomeState, Problem, Target};
use crate::error::CoreError;
use crate::site::{within, AssetKind, PlugState, Quality, Reading, QUANTITY_MAX};
use crate::units::{count, AssetIndex, Milliamps, Millis, Millivolts, Permille, Vars, WattHours, Watts};
use crate::wire;

/// The decision function with its state under the caller's clock: simulator, replay, tests.
#[pyclass(name = "Arbiter", module = "dgm._core")]
pub struct PyArbiter {
    arbiter: Arbiter,
}

#[pymethods]
impl PyArbiter {
    #[new]
    fn new(config: &[u8]) -> PyResult<Self> {
        let site = wire::decode_site(config)?;
        Ok(Self { arbiter: Arbiter::new(Arc::new(site), 0) })
    }

    /// Replace the active limits (core.v1.LimitSet). An older epoch or sequence raises CoreError.
    fn put_limits(&mut self, limits: &[u8], now_ms: i64) -> PyResult<()> {
        Ok(self.arbiter.put_limits(wire::decode_limits(limits)?, Millis::new(now_ms))?)
    }

    fn put_targets(&mut self, targets: &Bound<'_, PyAny>, ttl_ms: i64, now_ms: i64) -> PyResult<()> {
        let rows = target_rows(&columns::items::<i32>(targets)?)?;
        Ok(self.arbiter.put_targets(&rows, Millis::new(ttl_ms), Millis::new(now_ms))?)
    }

    fn put_samples(&mut self, samples: &Bound<'_, PyAny>, now_ms: i64) -> PyResult<()> {
        let rows = sample_rows(&columns::items::<i32>(samples)?)?;
        Ok(self.arbiter.put_samples(&rows, Millis::new(now_ms))?)
    }

    fn put_outcomes(&mut self, outcomes: &Bound<'_, PyAny>, now_ms: i64) -> PyResult<()> {
        let rows = outcome_rows(&columns::items::<i32>(outcomes)?)?;
        Ok(self.arbiter.put_outcomes(&rows, Millis::new(now_ms))?)
    }

    /// Readings of METER, PV, BATTERY and LOAD assets, as int64 image rows (EVSE rows are ignored).
    fn put_image(&mut self, image: &Bound<'_, PyAny>, now_ms: i64) -> PyResult<()> {
        let words = columns::items::<i64>(image)?;
        let expected = self.arbiter.site().assets().len() * columns::IMAGE_COLUMNS.len();
        if words.len() != expected {
            let expected = format!("{expected}, one row per asset");
            return Err(CoreError::Shape { what: "image", found: words.len(), expected }.into());
        }
        for (index, row) in columns::rows(&words, columns::IMAGE_COLUMNS.len(), "image")?.enumerate() {
            if !matches!(self.arbiter.site().assets()[index].spec.kind, AssetKind::Evse(_)) {
                self.arbiter.put_reading(AssetIndex(index), reading(row, Millis::new(now_ms)));
            }
        }
        Ok(())
    }

    /// Whether the ocpp role is heard; down counts every EVSE as unreachable.
    fn put_link(&mut self, up: bool, now_ms: i64) {
        self.arbiter.put_link(up, Millis::new(now_ms));
    }

    /// Whether a PV or BATTERY asset does what it is told. Controlled until told otherwise.
    fn put_control(&mut self, asset_index: i32, controlled: bool, now_ms: i64) -> PyResult<()> {
        Ok(self.arbiter.put_control(position(asset_index)?, controlled, Millis::new(now_ms))?)
    }

    /// One tick. True: the EVSE grants were recomputed in it.
    fn decide(&mut self, now_ms: i64) -> bool {
        self.arbiter.decide(Millis::new(now_ms))
    }

    /// int64 rows in GRANT_COLUMNS order, all assets.
    fn grants<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &grant_bytes(self.arbiter.grants()))
    }

    /// core.v1.Decision of the newest tick.
    fn decision<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &wire::encode_decision(self.arbiter.decision()))
    }
}

/// One weighted max-min allocation without state, for tests, oracle and benchmark.
#[pyfunction]
fn allocate<'py>(py: Python<'py>, problem: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let answer = Problem::from_words(&columns::words(problem)?)?.solve();
    Ok(PyBytes::new(py, &columns::to_bytes(&answer)))
}

/// One site-wide reactive power among inverters, by what the P-Q circle of each leaves.
#[pyfunction]
fn share_reactive(wish_var: i64, inverters: Vec<(i64, i64, i64, i64, bool)>) -> PyResult<Vec<i64>> {
    let capability = |(apparent, absorb, inject, power, is_reactive_first): (i64, i64, i64, i64, bool)| {
        for found in [apparent, absorb, inject] {
            within("share_reactive: apparent_va, absorb_var, inject_var", found, 0, QUANTITY_MAX)?;
        }
        within("share_reactive: power_w", power, -QUANTITY_MAX, QUANTITY_MAX)?;
        let priority = if is_reactive_first { Priority::Reactive } else { Priority::Active };
        let (absorb, inject) = (Vars::new(absorb), Vars::new(inject));
        Ok::<_, CoreError>(Capability { apparent, absorb, inject, power: Watts::new(power), priority })
    };
    within("share_reactive: wish_var", wish_var, -QUANTITY_MAX, QUANTITY_MAX)?;
    let inverters = inverters.into_iter().map(capability).collect::<Result<Vec<_>, _>>()?;
    Ok(reactive::share(Vars::new(wish_var), &inverters).into_iter().map(Vars::get).collect())
}

/// Adds the class and the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(allocate, module)?)?;
    module.add_function(wrap_pyfunction!(share_reactive, module)?)?;
    module.add_class::<PyArbiter>()
}

/// Rows of `TARGET_COLUMNS`, one per asset in order.
pub fn target_rows(items: &[i32]) -> Result<Vec<Target>, CoreError> {
    let rows = columns::rows(items, columns::TARGET_COLUMNS.len(), "targets")?;
    let target = |(index, row): (usize, &[i32])| Target {
        asset: AssetIndex(index),
        want: known32(row[0]),
        weight: known32(row[1]),
        stratum: known32(row[2]),
        keeps_on: known32(row[4]).is_some_and(|number| number != 0),
    };
    Ok(rows.enumerate().map(target).collect())
}

/// Rows of `SAMPLE_COLUMNS`.
pub fn sample_rows(items: &[i32]) -> Result<Vec<EvseSample>, CoreError> {
    let rows = columns::rows(items, columns::SAMPLE_COLUMNS.len(), "samples")?;
    rows.map(|row| {
        Ok(EvseSample {
            asset: position(row[0])?,
            age: Millis::new(known32(row[1]).unwrap_or(0)),
            plug: PlugState::from_number(i64::from(row[2])),
            power: known32(row[3]).map(Watts::new),
            current: [4, 5, 6].map(|column| known32(row[column]).map(Milliamps::new)),
            soc: known32(row[7]).map(Permille::new),
            energy: known32(row[8]).map(WattHours::new),
        })
    })
    .collect()
}

/// Rows of `OUTCOME_COLUMNS`.
pub fn outcome_rows(items: &[i32]) -> Result<Vec<Outcome>, CoreError> {
    let rows = columns::rows(items, columns::OUTCOME_COLUMNS.len(), "outcomes")?;
    rows.map(|row| {
        Ok(Outcome {
            asset: position(row[0])?,
            sequence: i64::from(row[1]),
            state: outcome_state(row[2])?,
            value: known32(row[3]).map(Milliamps::new),
            fallback: known32(row[4]).map(Milliamps::new),
        })
    })
    .collect()
}

/// All assets in `GRANT_COLUMNS` order, native int64.
pub fn grant_bytes(grants: &[Grant]) -> Vec<u8> {
    let mut words = Vec::with_capacity(grants.len() * columns::GRANT_COLUMNS.len());
    for grant in grants {
        let (value, counted) = match grant.value {
            GrantValue::Nothing => (None, None),
            GrantValue::Power(power) => (Some(power.get()), None),
            GrantValue::Current(current) => (Some(current.get()), Some(grant.counted.get())),
        };
        words.extend([
            or_absent(value),
            or_absent(counted),
            grant.sequence,
            i64::from(grant.published),
            i64::from(grant.safety),
            or_absent(grant.binding_row.map(count)),
        ]);
    }
    columns::to_bytes(&words)
}

fn reading(row: &[i64], now: Millis) -> Reading {
    let known = |column: usize| known64(row[column]);
    Reading {
        quality: Quality::from_number(row[0]),
        measured_at: now - Millis::new(known(1).unwrap_or(0)),
        power: known(2).map(Watts::new),
        reactive: known(3).map(Vars::new),
        current: [4, 5, 6].map(|column| known(column).map(Milliamps::new)),
        voltage: [7, 8, 9].map(|column| known(column).map(Millivolts::new)),
        frequency_mhz: known(10),
        energy: known(11).map(WattHours::new),
        soc: known(12).map(Permille::new),
        plug: PlugState::from_number(known(13).unwrap_or(0)),
        ..Reading::NEVER
    }
}

fn position(found: i32) -> Result<AssetIndex, CoreError> {
    let refused = |_| CoreError::Index { what: "asset", found: i64::from(found), expected: "0 or more".to_owned() };
    usize::try_from(found).map(AssetIndex).map_err(refused)
}

fn outcome_state(found: i32) -> Result<OutcomeState, CoreError> {
    match found {
        1 => Ok(OutcomeState::Sent),
        2 => Ok(OutcomeState::Accepted),
        3 => Ok(OutcomeState::Confirmed),
        4 => Ok(OutcomeState::Measured),
        5 => Ok(OutcomeState::Rejected),
        6 => Ok(OutcomeState::TimedOut),
        7 => Ok(OutcomeState::Wiped),
        _ => Err(CoreError::value("outcomes: state", i64::from(found), "1..=7, ems.v1.OutcomeState")),
    }
}
