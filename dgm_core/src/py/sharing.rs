//! `dgm._core.Sharing`: one tree of rows, shared again and again.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;

use super::columns;
use crate::arbiter::{Problem, SharedProblem, CLAIM_WIDTH};
use crate::error::CoreError;

/// Rows that stay, columns that come as int32 and go as int32.
#[pyclass(name = "Sharing", module = "dgm._core")]
pub struct PySharing {
    problem: SharedProblem,
    answer: Vec<i32>,
}

#[pymethods]
impl PySharing {
    #[new]
    fn new(problem: &[u8]) -> PyResult<Self> {
        let problem = Problem::from_words(&columns::words(problem)?)?;
        Ok(Self { problem: SharedProblem::new(problem), answer: Vec::new() })
    }

    /// Weighted max-min of cap_ma, weight and stratum alone.
    #[pyo3(signature = (claims, granted, times = 1))]
    fn fill(&mut self, claims: &Bound<'_, PyAny>, granted: &Bound<'_, PyAny>, times: u32) -> PyResult<()> {
        self.reckon(claims, granted, times, false)
    }

    /// The same with 0 or the minimum, whole steps, and crumbs.
    #[pyo3(signature = (claims, granted, times = 1))]
    fn share(&mut self, claims: &Bound<'_, PyAny>, granted: &Bound<'_, PyAny>, times: u32) -> PyResult<()> {
        self.reckon(claims, granted, times, true)
    }
}

impl PySharing {
    fn reckon(
        &mut self,
        claims: &Bound<'_, PyAny>,
        granted: &Bound<'_, PyAny>,
        times: u32,
        is_whole: bool,
    ) -> PyResult<()> {
        let items = columns::items::<i32>(claims)?;
        self.problem.claim(columns::rows(&items, CLAIM_WIDTH, "claims")?)?;
        for _ in 1..times {
            std::hint::black_box(if is_whole { self.problem.share() } else { self.problem.fill() });
        }
        let filled = if is_whole { self.problem.share() } else { self.problem.fill() };
        self.answer.clear();
        for filled in filled {
            let row = filled.row.and_then(|row| i32::try_from(row).ok());
            self.answer.extend([i32::try_from(filled.value).unwrap_or(i32::MAX), row.unwrap_or(-1)]);
        }
        let target = PyBuffer::<i32>::get(granted)?;
        if target.item_count() != self.answer.len() {
            let expected = format!("{}, two per column", self.answer.len());
            return Err(CoreError::Shape { what: "granted", found: target.item_count(), expected }.into());
        }
        target.copy_from_slice(granted.py(), &self.answer)
    }
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CLAIM_COLUMNS", ("cap_ma", "weight", "stratum", "minimum_ma", "step_ma", "rank"))?;
    module.add_class::<PySharing>()
}
