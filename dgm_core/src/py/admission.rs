//! Whether every line can keep every deadline: asked before start, answered without a device.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::wire;

/// core.v1.AdmissionAnswer to a core.v1.AdmissionQuestion.
#[pyfunction]
fn admission<'py>(py: Python<'py>, question: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let answer = py.detach(|| wire::answer_admission(question))?;
    Ok(PyBytes::new(py, &answer))
}

/// core.v1.AdmissionDevice to a core.v1.DeviceUseQuestion: what the core will ask of such a device.
#[pyfunction]
fn device_use<'py>(py: Python<'py>, question: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &wire::answer_device_use(question)?))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(admission, module)?)?;
    module.add_function(wrap_pyfunction!(device_use, module)?)
}
