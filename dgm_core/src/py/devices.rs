//! What Python asks about devices: a SunSpec model decoded, a device table checked.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::CoreError as PyCoreError;
use crate::error::CoreError;
use crate::modbus::layout::{self, Decoded, Groups, Value};
use crate::modbus::number::Raw;
use crate::modbus::pdu::RegisterBytes;
use crate::modbus::tables;
use crate::wire;

/// Every point of a model, from its header on; a number with a scale factor as (raw, power of ten).
#[pyfunction]
fn sunspec_decode<'py>(py: Python<'py>, model_id: u16, registers: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let layout = tables::find(model_id)
        .ok_or_else(|| PyCoreError::new_err(format!("sunspec_decode: found model {model_id}; expected a known one")))?;
    let words = RegisterBytes::new(registers).ok_or_else(|| {
        PyCoreError::new_err(format!("sunspec_decode: found {} bytes; expected whole registers", registers.len()))
    })?;
    dict(py, &layout::decode(&layout, words))
}

fn dict<'py>(py: Python<'py>, decoded: &Decoded) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    for item in &decoded.items {
        let exponent = item.scale.map(|scale| scale.exponent());
        match &item.value {
            None => found.set_item(item.name, py.None())?,
            Some(Value::Text(text)) => found.set_item(item.name, text)?,
            Some(Value::Number(Raw::Float(float))) => found.set_item(item.name, float)?,
            Some(Value::Number(Raw::Integer(raw))) => found.set_item(item.name, (*raw, exponent))?,
        }
    }
    for (name, groups) in &decoded.groups {
        match groups {
            Groups::Once(one) => found.set_item(name, dict(py, one)?)?,
            Groups::List(all) => {
                let list = all.iter().map(|one| dict(py, one)).collect::<PyResult<Vec<_>>>()?;
                found.set_item(name, PyList::new(py, list)?)?;
            }
        }
    }
    Ok(found)
}

/// All that is wrong with core.v1.DeviceTable bytes, as (path of the field, found, expected).
#[pyfunction]
fn check_device_table(table: &[u8]) -> PyResult<Vec<(String, String, String)>> {
    let problem = |problem: CoreError| match problem {
        CoreError::Site { place, found, expected } => (place, found, expected),
        other => (String::new(), other.to_string(), String::new()),
    };
    Ok(wire::check_device_table(table)?.err().unwrap_or_default().into_iter().map(problem).collect())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sunspec_decode, module)?)?;
    module.add_function(wrap_pyfunction!(check_device_table, module)?)
}
