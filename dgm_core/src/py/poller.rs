//! `dgm._core.Poller`: the fleet thread as Python sees it. Reading a value is indexing a copy that Python owns.
//!
//! ```text
//! refresh(): image ── words of the devices that changed ──> bytearrays ── views made once ──> registers(), stamps()
//! write(), request(): ticket ──> line ── its end ──> outcome(ticket)
//! ```
use std::cell::Cell;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyTuple};

use super::columns;
use super::CoreError as PyCoreError;
use crate::error::CoreError;
use crate::fleet::{image_of, Fleet, FleetLine};
use crate::modbus::image::RegisterImage;
use crate::modbus::pdu::{Reply, Request};
use crate::modbus::polled::{Done, End};
use crate::modbus::session::Failure;
use crate::reactor::board::{Board, Known, LINE_COLUMNS};
use crate::reactor::notify::Notifier;
use crate::reactor::polling::PollingThread;
use crate::reactor::recorder::Recorder;
use crate::reactor::{clock, fleet_thread};
use crate::record::{Digest, Ending};
use crate::site::{within, SPAN_MS_MAX};
use crate::units::Micros;
use crate::wire;

/// One int64 row per read.
const STAMP_COLUMNS: [&str; 5] = ["quality", "read_at_us", "due_at_us", "age_ms", "sequence"];

/// Device, table, address, count, offset.
type ReadRow = (usize, i64, u16, u16, usize);

/// A fleet of Modbus devices read into one copy of their registers.
#[pyclass(name = "Poller", module = "dgm._core", frozen)]
pub struct PyPoller {
    config: Vec<FleetLine>,
    configuration: Digest,
    seed: u64,
    recorder: Mutex<Option<Recorder>>,
    board: Arc<Board>,
    thread: Mutex<Stage>,
    copy: Mutex<Copy>,
    /// A thread does not survive a fork, so whoever forked may not use this.
    process: u32,
}

enum Stage {
    New,
    Running(PollingThread),
    Stopped,
}

/// Items that Python owns, with the one view of them that is handed out.
struct Column<T: Element> {
    /// What the buffer is replaced with, kept between the calls.
    items: Vec<T>,
    buffer: PyBuffer<T>,
    view: Py<PyAny>,
}

struct Copy {
    registers: Column<u64>,
    stamps: Column<i64>,
    changed: Column<u32>,
    changes: usize,
}

impl<T: Element + Default> Column<T> {
    /// Zeros, at least one: an empty memory has no format.
    fn new(py: Python<'_>, items: usize, cast_in: &str, cast_out: &str) -> PyResult<Self> {
        let items = vec![T::default(); items.max(1)];
        let bytes = PyByteArray::new(py, &vec![0; size_of_val(items.as_slice())]);
        let view = PyMemoryView::from(bytes.as_any())?;
        let buffer = PyBuffer::get(&view.call_method1("cast", (cast_in,))?)?;
        let view = view.call_method1("cast", (cast_out,))?.call_method0("toreadonly")?;
        Ok(Self { items, buffer, view: view.unbind() })
    }

    fn cells(&mut self) -> &[Cell<T>] {
        Cell::from_mut(self.items.as_mut_slice()).as_slice_of_cells()
    }

    fn show(&self, py: Python<'_>) -> PyResult<()> {
        self.buffer.copy_from_slice(py, &self.items)
    }
}

impl Copy {
    /// Takes what changed; how many devices that were.
    fn take(&mut self, image: &RegisterImage, now: Micros) -> usize {
        let (words, stamps, list) = (self.registers.cells(), self.stamps.cells(), self.changed.cells());
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

    fn show(&self, py: Python<'_>) -> PyResult<()> {
        self.stamps.show(py)?;
        if self.changes > 0 {
            self.registers.show(py)?;
            self.changed.show(py)?;
        }
        Ok(())
    }
}

#[pymethods]
impl PyPoller {
    #[new]
    fn new(py: Python<'_>, config: &[u8]) -> PyResult<Self> {
        let configuration = Digest::of(config);
        let config = wire::decode_poller(config)?;
        let image = Arc::new(image_of(&config));
        let copy = Copy {
            registers: Column::new(py, image.words(), "Q", "H")?,
            stamps: Column::new(py, image.rows() * STAMP_COLUMNS.len(), "q", "q")?,
            changed: Column::new(py, image.devices(), "I", "I")?,
            changes: 0,
        };
        let board = Arc::new(Board::new(image, config.len(), Notifier::new()?));
        let poller = Self {
            config,
            configuration,
            seed: clock::seed(),
            recorder: Mutex::default(),
            board,
            thread: Mutex::new(Stage::New),
            copy: Mutex::new(copy),
            process: std::process::id(),
        };
        poller.refresh(py)?;
        lock(&poller.copy).changes = 0;
        Ok(poller)
    }

    /// Starts the thread; it connects and reads at once.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process("start")?;
        let mut thread = lock(&self.thread);
        if !matches!(*thread, Stage::New) {
            let text = "Poller.start: found a poller that was started before; expected a new one";
            return Err(PyCoreError::new_err(text));
        }
        super::check_credentials(self.config.iter().map(|line| &line.endpoint))?;
        let fleet = Fleet::new(&self.config, Arc::clone(&self.board.image), self.seed);
        let recorder = lock(&self.recorder).take();
        *thread = Stage::Running(py.detach(|| fleet_thread::start(fleet, &self.board, recorder))?);
        Ok(())
    }

    /// Records everything from start() on into a new file, for replay(); it ends at `bytes_max`: by default after some
    /// minutes of 1,000 devices at 10 Hz.
    #[pyo3(signature = (path, bytes_max=1_073_741_824))]
    fn record(&self, path: PathBuf, bytes_max: i64) -> PyResult<()> {
        self.check_process("record")?;
        within("Poller.record: bytes_max", bytes_max, 1, i64::MAX)?;
        if !matches!(*lock(&self.thread), Stage::New) {
            let text = "Poller.record: found a poller that was started; expected the call before start()";
            return Err(PyCoreError::new_err(text));
        }
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        *lock(&self.recorder) = Some(Recorder::create(&path, bytes_max, self.configuration, self.seed)?);
        Ok(())
    }

    /// Ends the thread after writing nothing more.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process("stop")?;
        match std::mem::replace(&mut *lock(&self.thread), Stage::Stopped) {
            Stage::Running(thread) => Ok(py.detach(|| thread.stop())?),
            Stage::New | Stage::Stopped => Ok(()),
        }
    }

    /// eventfd: readable when something is new; refresh() clears it.
    fn fileno(&self) -> PyResult<i32> {
        self.check_process("fileno")?;
        Ok(self.board.notifier.fd())
    }

    /// Copies what changed since the last call; how many devices that were.
    fn refresh(&self, py: Python<'_>) -> PyResult<usize> {
        self.check_process("refresh")?;
        let mut copy = lock(&self.copy);
        self.board.acknowledge();
        let changes = copy.take(&self.board.image, clock::micros());
        copy.show(py)?;
        Ok(changes)
    }

    /// Read-only view of the copy: all registers, native uint16. It shows what refresh() copied last.
    fn registers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_process("registers")?;
        Ok(lock(&self.copy).registers.view.clone_ref(py))
    }

    /// Read-only view of the copy: int64 rows in STAMP_COLUMNS order, one per read. It shows the last refresh().
    fn stamps(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_process("stamps")?;
        Ok(lock(&self.copy).stamps.view.clone_ref(py))
    }

    /// Read-only view of the devices that the last refresh() copied, uint32, ascending.
    fn changed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_process("changed")?;
        let copy = lock(&self.copy);
        let slice = pyo3::types::PySlice::new(py, 0, isize::try_from(copy.changes).unwrap_or_default(), 1);
        copy.changed.view.bind(py).get_item(slice)
    }

    /// Position of a device's first register of a read in registers().
    #[pyo3(signature = (device, read=0))]
    fn offset(&self, device: i64, read: i64) -> PyResult<usize> {
        let row = self.row(device, read)?;
        Ok(self.board.image.offset(row).unwrap_or_default())
    }

    /// Row of a device's read in stamps().
    #[pyo3(signature = (device, read=0))]
    fn row(&self, device: i64, read: i64) -> PyResult<usize> {
        self.check_process("row")?;
        let rows = self.board.image.rows_of(self.device(device)?).unwrap_or_default();
        let found = usize::try_from(read).ok().filter(|read| *read < rows.len());
        let missing = || CoreError::Index { what: "read", found: read, expected: format!("below {}", rows.len()) };
        Ok(rows.start + found.ok_or_else(missing)?)
    }

    /// Position in registers() of the first register of a point of a device's map.
    fn point(&self, device: i64, name: &str) -> PyResult<usize> {
        self.check_process("point")?;
        let device = self.device(device)?;
        let unit = self.config.iter().flat_map(|line| &line.units).nth(device);
        let place = unit.and_then(|unit| unit.places.iter().find(|place| place.point == name));
        let rows = self.board.image.rows_of(device).unwrap_or_default();
        let found = place.and_then(|place| Some(self.board.image.offset(rows.start + place.read)? + place.register));
        Ok(found.ok_or_else(|| {
            CoreError::site(format!("Poller.point: device {device}"), name, "the name of a point of its map")
        })?)
    }

    /// (device, table, address, count, offset) of each row of stamps(); table is a core.v1.RegisterTable number.
    fn reads(&self) -> PyResult<Vec<ReadRow>> {
        self.check_process("reads")?;
        let units = self.config.iter().flat_map(|line| &line.units).enumerate();
        let reads = units.flat_map(|(device, unit)| unit.reads.iter().map(move |read| (device, read)));
        let row = |(row, (device, read)): (usize, (usize, &crate::modbus::polled::ReadConfig))| {
            let offset = self.board.image.offset(row).unwrap_or_default();
            (device, wire::table_number(read.table), read.span.start, read.span.count, offset)
        };
        Ok(reads.enumerate().map(row).collect())
    }

    /// Writes registers (native uint16) with function 16 before the deadline or not at all; its ticket.
    fn write(&self, device: i64, address: i64, registers: &Bound<'_, PyAny>, deadline_ms: i64) -> PyResult<u64> {
        within("Poller.write: address", address, 0, 65_535)?;
        let values = columns::items::<u16>(registers)?;
        let request = Request::write(u16::try_from(address).unwrap_or_default(), values);
        self.hand_in("write", device, request.map_err(|error| PyCoreError::new_err(error.to_string()))?, deadline_ms)
    }

    /// Sends one request, given as its PDU, before the deadline or not at all; its ticket.
    fn request(&self, device: i64, pdu: &[u8], deadline_ms: i64) -> PyResult<u64> {
        let request = Request::parse(pdu).map_err(|_| {
            PyCoreError::new_err("Poller.request: pdu: found no request; expected functions 1-6, 15, 16, 22 or 23")
        })?;
        self.hand_in("request", device, request, deadline_ms)
    }

    /// How a request ended, once; None while it has not.
    fn outcome<'py>(&self, py: Python<'py>, ticket: u64) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.check_process("outcome")?;
        match self.board.known(ticket) {
            Known::Open => Ok(None),
            Known::Ended(done) => outcome_row(py, done).map(Some),
            Known::Nothing => {
                let (found, expected) = (i64::try_from(ticket).unwrap_or(i64::MAX), "one that was not asked for yet");
                Err(CoreError::Index { what: "ticket", found, expected: expected.to_owned() }.into())
            }
        }
    }

    /// int64 rows in LINE_COLUMNS order, one per line, at most 500 ms old.
    fn lines<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_process("lines")?;
        let bytes = PyBytes::new(py, &columns::to_bytes(&self.board.read_lines()));
        PyMemoryView::from(bytes.as_any())?.call_method1("cast", ("q",))
    }

    /// Sums over all lines by name, and whether the thread runs.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.check_process("counters")?;
        let rows = self.board.read_lines();
        let result = PyDict::new(py);
        for (column, name) in LINE_COLUMNS.iter().enumerate() {
            let values = rows.iter().skip(column).step_by(LINE_COLUMNS.len());
            let total = if *name == "late_us_max" { values.max().copied() } else { Some(values.sum()) };
            result.set_item(*name, total.unwrap_or_default())?;
        }
        result.set_item("recording", i64::from(self.board.recording.load(Ordering::Relaxed)))?;
        result.set_item("running", i64::from(self.board.running.load(Ordering::Acquire)))?;
        Ok(result)
    }
}

impl PyPoller {
    fn check_process(&self, call: &str) -> PyResult<()> {
        let found = std::process::id();
        if found == self.process {
            return Ok(());
        }
        let made = self.process;
        Err(PyCoreError::new_err(format!(
            "Poller.{call}: found process {found}; expected {made}, which made it: make a poller of its own after a fork"
        )))
    }

    fn device(&self, device: i64) -> Result<usize, CoreError> {
        let devices = self.board.image.devices();
        let missing = || CoreError::Index { what: "device", found: device, expected: format!("below {devices}") };
        usize::try_from(device).ok().filter(|device| *device < devices).ok_or_else(missing)
    }

    fn hand_in(&self, call: &str, device: i64, request: Request, deadline_ms: i64) -> PyResult<u64> {
        self.check_process(call)?;
        within(&format!("Poller.{call}: deadline_ms"), deadline_ms, 1, SPAN_MS_MAX)?;
        let deadline = clock::micros() + Micros::from_millis(deadline_ms);
        let ordered = self.board.order(self.device(device)?, request, deadline);
        let (ticket, is_first) = ordered.map_err(|_| {
            PyCoreError::new_err(format!("Poller.{call}: found a full queue; expected a running poller that takes it"))
        })?;
        if let (Stage::Running(thread), true) = (&*lock(&self.thread), is_first) {
            thread.bell().ring()?;
        }
        Ok(ticket)
    }
}

impl Drop for PyPoller {
    /// A poller that nobody holds any more reads nothing any more; in a forked process there is no thread to end.
    fn drop(&mut self) {
        if let Stage::Running(thread) = std::mem::replace(&mut *lock(&self.thread), Stage::Stopped) {
            if self.process == std::process::id() {
                // A thread that had panicked has ended, which is all that is wanted here.
                let _ = thread.stop();
            }
        }
    }
}

/// (state, exception code, sent_at_us, done_at_us, registers or bits of the answer).
fn outcome_row(py: Python<'_>, done: Done) -> PyResult<Bound<'_, PyTuple>> {
    let (state, code) = match &done.end {
        End::Answered(_) => ("done", None),
        End::Failed(Failure::Refused(exception)) => ("refused", Some(exception.code())),
        End::Failed(Failure::TimedOut) => ("timed_out", None),
        End::Failed(Failure::Disconnected) => ("lost", None),
        End::Failed(Failure::Malformed) => ("malformed", None),
        End::Expired => ("expired", None),
    };
    let values: Vec<u16> = match done.end {
        End::Answered(Reply::Registers(values)) => values,
        End::Answered(Reply::Bits(values)) => values.into_iter().map(u16::from).collect(),
        End::Answered(Reply::Written | Reply::Broadcast) | End::Failed(_) | End::Expired => Vec::new(),
    };
    (state, code, done.sent_at.map(Micros::get), done.done_at.get(), values).into_pyobject(py)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replays what Poller.record wrote, in a fleet made of the same configuration, as fast as it can.
#[pyfunction]
fn replay<'py>(py: Python<'py>, config: &[u8], path: PathBuf) -> PyResult<Bound<'py, PyDict>> {
    let (lines, file) = (wire::decode_poller(config)?, BufReader::new(File::open(path)?));
    let replayed = py.detach(|| crate::replay::replay(&lines, Digest::of(config), file));
    let summary = replayed.map_err(|error| PyCoreError::new_err(error.to_string()))?;
    let result = PyDict::new(py);
    result.set_item("entries", summary.entries)?;
    result.set_item("bytes_sent", summary.sent)?;
    result.set_item("output_digest", summary.output.get())?;
    result.set_item("image_digest", summary.image.get())?;
    result.set_item("mismatches", summary.mismatches)?;
    result.set_item("first_mismatch", summary.first_mismatch)?;
    result.set_item("is_whole", summary.ending == Some(Ending::Stopped))?;
    Ok(result)
}

/// Adds the class and its column names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("STAMP_COLUMNS", PyTuple::new(py, STAMP_COLUMNS)?)?;
    module.add("LINE_COLUMNS", PyTuple::new(py, LINE_COLUMNS)?)?;
    module.add_function(wrap_pyfunction!(replay, module)?)?;
    module.add_class::<PyPoller>()
}
