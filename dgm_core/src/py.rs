//! The Python border: the only file (with its folder) that names pyo3.
//!
//! Everything is copied at the border; Rust never calls Python and never waits for a device inside a call.

mod admission;
mod arbiter;
mod columns;
mod copy;
mod devices;
mod facade;
mod field;
mod poller;
mod sharing;

use pyo3::prelude::*;

use crate::error::CoreError as Refusal;
use crate::modbus::endpoint::Endpoint;
use crate::reactor::dialers;

pyo3::create_exception!(
    dgm._core,
    CoreError,
    pyo3::exceptions::PyException,
    "A configuration or message the core cannot accept; the text says what, where, found, expected."
);

impl From<Refusal> for PyErr {
    fn from(refusal: Refusal) -> Self {
        CoreError::new_err(refusal.to_string())
    }
}

/// Refuses files of Modbus/TCP Security that cannot be used, before anything is started.
fn check_credentials<'a>(mut endpoints: impl Iterator<Item = &'a Endpoint>) -> PyResult<()> {
    endpoints.try_for_each(|endpoint| match endpoint {
        Endpoint::Secure { credentials, .. } => {
            let refuse = |error| CoreError::new_err(format!("{endpoint}: {error}"));
            dialers::load(credentials).map(drop).map_err(refuse)
        }
        Endpoint::Tcp { .. } | Endpoint::Serial { .. } => Ok(()),
    })
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CoreError", module.py().get_type::<CoreError>())?;
    columns::register(module)?;
    admission::register(module)?;
    arbiter::register(module)?;
    devices::register(module)?;
    field::register(module)?;
    facade::register(module)?;
    poller::register(module)?;
    sharing::register(module)?;
    Ok(())
}
