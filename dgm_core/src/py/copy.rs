//! The copy of the register image that Python owns: filled in place, shown by read-only views that are made once.
//!
//! ```text
//! image ── words of the devices that changed ──> bytearray ── memoryviews ──> Python
//! ```
//!
//! The one place of the crate with unsafe code: pyo3 gives the memory of a buffer as a pointer, and a second copy by way
//! of memory of our own costs as much as all the rest of a refresh.
use std::cell::Cell;

use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyMemoryView, PySlice};

use crate::modbus::image::{RegisterImage, PACKED, STAMP_WIDTH};
use crate::site::image::Quality;
use crate::units::Micros;

/// One int64 row per read.
pub const STAMP_COLUMNS: [&str; STAMP_WIDTH] = ["quality", "read_at_us", "due_at_us", "age_ms", "sequence"];

/// Items that Python owns, with the one view of them that is handed out.
pub struct Column<T: Element> {
    buffer: PyBuffer<T>,
    view: Py<PyAny>,
}

/// Registers, their stamps, and which devices changed.
pub struct Copy {
    /// Four to a word.
    pub registers: Column<u64>,
    /// A row of `STAMP_COLUMNS` for each read.
    pub stamps: Column<i64>,
    changed: Column<u32>,
    changes: usize,
}

/// What a copy holds.
pub struct Shown<'a> {
    words: &'a [Cell<u64>],
    stamps: &'a [Cell<i64>],
}

impl<T: Element> Column<T> {
    /// Zeros, at least one: an empty memory has no format.
    fn new(py: Python<'_>, items: usize, cast_in: &str, cast_out: &str) -> PyResult<Self> {
        let bytes = PyByteArray::new(py, &vec![0; items.max(1) * size_of::<T>()]);
        let view = PyMemoryView::from(bytes.as_any())?;
        let buffer = PyBuffer::get(&view.call_method1("cast", (cast_in,))?)?;
        let view = view.call_method1("cast", (cast_out,))?.call_method0("toreadonly")?;
        Ok(Self { buffer, view: view.unbind() })
    }

    /// The view; always the same one.
    pub fn view(&self, py: Python<'_>) -> Py<PyAny> {
        self.view.clone_ref(py)
    }

    #[allow(unsafe_code)]
    fn cells<'a>(&'a mut self, _interpreter: Python<'a>) -> &'a [Cell<T>] {
        let Some(items) = self.buffer.as_slice_ptr() else { return &[] };
        // SAFETY: the memory is that of a bytearray which `new` made. It is not moved or freed while `buffer`, which this
        // borrows, exports it; `PyBuffer::get` has checked size and alignment, and every bit pattern is an integer. In Rust
        // nobody else has it: `buffer` is private and borrowed mutably. Python code looks at it, or even writes to it by
        // way of the bytearray, only while it holds the interpreter, which we hold for `'a`; what it writes are cells.
        // Where several threads hold an interpreter at once (a free-threaded build) these would have to be atomics.
        unsafe { &*(items.as_ptr() as *const [Cell<T>]) }
    }
}

impl Copy {
    /// Zeros for an image.
    pub fn new(py: Python<'_>, image: &RegisterImage) -> PyResult<Self> {
        Ok(Self {
            registers: Column::new(py, image.words(), "Q", "H")?,
            stamps: Column::new(py, image.rows() * STAMP_WIDTH, "q", "q")?,
            changed: Column::new(py, image.devices(), "I", "I")?,
            changes: 0,
        })
    }

    /// Takes everything as it stands before anything was read; that is no change.
    pub fn begin(&mut self, py: Python<'_>, image: &RegisterImage) {
        self.take(py, image, Micros::ZERO);
        self.changes = 0;
    }

    /// Takes what changed, straight into Python's memory; how many devices that were.
    pub fn take(&mut self, py: Python<'_>, image: &RegisterImage, now: Micros) -> usize {
        let (words, stamps, list) = (self.registers.cells(py), self.stamps.cells(py), self.changed.cells(py));
        let mut changes = 0;
        image.copy_changed(words, stamps, |device| {
            if let Some(cell) = list.get(changes) {
                cell.set(u32::try_from(device).unwrap_or(u32::MAX));
                changes += 1;
            }
        });
        image.age(stamps, now);
        self.changes = changes;
        changes
    }

    /// View of the devices that were taken last.
    pub fn changed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let slice = PySlice::new(py, 0, isize::try_from(self.changes).unwrap_or_default(), 1);
        self.changed.view.bind(py).get_item(slice)
    }

    /// To look into it.
    pub fn shown<'a>(&'a mut self, py: Python<'a>) -> Shown<'a> {
        Shown { words: self.registers.cells(py), stamps: self.stamps.cells(py) }
    }
}

impl Shown<'_> {
    /// Register at a position.
    pub fn register(&self, at: usize) -> u16 {
        let [a, b, c, d, e, f, g, h] = self.words.get(at / PACKED).map_or(0, Cell::get).to_ne_bytes();
        let registers = [[a, b], [c, d], [e, f], [g, h]].map(u16::from_ne_bytes);
        registers.get(at % PACKED).copied().unwrap_or_default()
    }

    /// Whether a row was good when it was taken.
    pub fn is_good(&self, row: usize) -> bool {
        self.stamps.get(row * STAMP_WIDTH).is_some_and(|quality| quality.get() == Quality::Good.number())
    }
}
