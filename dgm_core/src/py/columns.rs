//! Columns: flat integer buffers with a fixed order of fields, copied in and out.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::CoreError;

/// "Not known" in an int32 column.
pub const ABSENT32: i32 = i32::MIN;
/// "Not known" in an int64 column.
pub const ABSENT64: i64 = i64::MIN;

/// One row per asset.
pub const TARGET_COLUMNS: [&str; 5] = ["want", "weight", "stratum", "want_reason", "keeps_on"];
/// One row per reported EVSE.
pub const SAMPLE_COLUMNS: [&str; 9] =
    ["asset_index", "age_ms", "plug_state", "power_w", "i1_ma", "i2_ma", "i3_ma", "soc_permille", "energy_wh"];
/// One row per outcome.
pub const OUTCOME_COLUMNS: [&str; 5] = ["asset_index", "sequence", "state", "value_ma", "fallback_ma"];
/// One int64 row per asset.
pub const IMAGE_COLUMNS: [&str; 14] = [
    "quality",
    "age_ms",
    "power_w",
    "reactive_var",
    "i1_ma",
    "i2_ma",
    "i3_ma",
    "v1_mv",
    "v2_mv",
    "v3_mv",
    "frequency_mhz",
    "energy_wh",
    "soc_permille",
    "plug_state",
];
/// One int64 row per asset.
pub const GRANT_COLUMNS: [&str; 6] = ["value", "counted_ma", "sequence", "published", "safety", "binding_row"];

/// Adds the constants to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("ABSENT32", ABSENT32)?;
    module.add("ABSENT64", ABSENT64)?;
    module.add("TARGET_COLUMNS", PyTuple::new(py, TARGET_COLUMNS)?)?;
    module.add("SAMPLE_COLUMNS", PyTuple::new(py, SAMPLE_COLUMNS)?)?;
    module.add("OUTCOME_COLUMNS", PyTuple::new(py, OUTCOME_COLUMNS)?)?;
    module.add("IMAGE_COLUMNS", PyTuple::new(py, IMAGE_COLUMNS)?)?;
    module.add("GRANT_COLUMNS", PyTuple::new(py, GRANT_COLUMNS)?)
}

/// Copies a contiguous buffer of `T` out of a Python object; other item types raise `BufferError`.
pub fn items<T: Element>(object: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    PyBuffer::<T>::get(object)?.to_vec(object.py())
}

/// Cuts items into rows of `width`; a remainder is refused.
pub fn rows<'a, T>(
    items: &'a [T],
    width: usize,
    what: &'static str,
) -> Result<impl ExactSizeIterator<Item = &'a [T]> + Clone, CoreError> {
    if !items.len().is_multiple_of(width) {
        return Err(CoreError::Shape { what, found: items.len(), expected: format!("rows of {width}") });
    }
    Ok(items.chunks_exact(width))
}

/// A value or nothing.
pub fn known32(value: i32) -> Option<i64> {
    (value != ABSENT32).then(|| i64::from(value))
}

/// A value or nothing.
pub fn known64(value: i64) -> Option<i64> {
    (value != ABSENT64).then_some(value)
}

/// A value or the mark of its absence.
pub fn or_absent(value: Option<i64>) -> i64 {
    value.unwrap_or(ABSENT64)
}

/// Native-order bytes of int64 words.
pub fn to_bytes(words: &[i64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// int64 words of native-order bytes; a remainder is refused.
pub fn words(bytes: &[u8]) -> Result<Vec<i64>, CoreError> {
    let words = bytes.chunks_exact(8);
    if !words.remainder().is_empty() {
        let expected = "a multiple of 8 bytes".to_owned();
        return Err(CoreError::Shape { what: "problem", found: bytes.len(), expected });
    }
    let word = |chunk: &[u8]| chunk.try_into().map_or(0, i64::from_ne_bytes);
    Ok(words.map(word).collect())
}
