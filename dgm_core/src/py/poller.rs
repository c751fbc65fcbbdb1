//! `dgm._core.Poller`: the fleet thread as Python sees it. Reading a value is indexing a copy that Python owns.
//!
//! ```text
//! refresh(): image ── words of the devices that changed ──> bytearrays ── views made once ──> registers(), stamps()
//!                                                                       └─ points by name ──> number(), text()
//! write(), request(): ticket ──> line ── its end ──> outcome(ticket)
//! ```
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyTuple};

use super::columns;
use super::copy::{Copy, STAMP_COLUMNS};
use super::CoreError as PyCoreError;
use crate::error::CoreError;
use crate::fleet::{image_of, Fleet, FleetLine};
use crate::modbus::mapped::{Mapped, Place};
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

/// Finest unit that number() gives: 10^-9 of the point's own.
const DIGITS_MAX: i64 = 9;

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
    /// Points of each device.
    points: Box<[Mapped]>,
    /// A thread does not survive a fork, so whoever forked may not use this.
    process: u32,
}

enum Stage {
    New,
    Running(PollingThread),
    Stopped,
}

#[pymethods]
impl PyPoller {
    #[new]
    fn new(py: Python<'_>, config: &[u8]) -> PyResult<Self> {
        let configuration = Digest::of(config);
        let config = wire::decode_poller(config)?;
        let image = Arc::new(image_of(&config));
        let copy = Copy::new(py, &image)?;
        let board = Arc::new(Board::new(image, config.len(), Notifier::new()?));
        let units = config.iter().flat_map(|line| &line.units);
        let poller = Self {
            points: units.map(|unit| unit.points.clone()).collect(),
            config,
            configuration,
            seed: clock::seed(),
            recorder: Mutex::default(),
            board,
            thread: Mutex::new(Stage::New),
            copy: Mutex::new(copy),
            process: std::process::id(),
        };
        lock(&poller.copy).begin(py, &poller.board.image);
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
        Ok(copy.take(py, &self.board.image, clock::micros()))
    }

    /// Read-only view of the copy: all registers, native uint16. It shows what refresh() copied last.
    fn registers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_process("registers")?;
        Ok(lock(&self.copy).registers.view(py))
    }

    /// Read-only view of the copy: int64 rows in STAMP_COLUMNS order, one per read. It shows the last refresh().
    fn stamps(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.check_process("stamps")?;
        Ok(lock(&self.copy).stamps.view(py))
    }

    /// Read-only view of the devices that the last refresh() copied, uint32, ascending.
    fn changed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_process("changed")?;
        lock(&self.copy).changed(py)
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
        let (place, row) = self.place("point", device, name)?;
        Ok(self.board.image.offset(row).unwrap_or_default() + place.register)
    }

    /// Row of the read in stamps() that brings a point of a device's map.
    fn point_row(&self, device: i64, name: &str) -> PyResult<usize> {
        Ok(self.place("point_row", device, name)?.1)
    }

    /// What a point means as of the last refresh(), in a unit `digits` decimal digits finer than its own; None: its read
    /// is not good, or it says "not known".
    #[pyo3(signature = (device, name, digits=0))]
    fn number(&self, py: Python<'_>, device: i64, name: &str, digits: i64) -> PyResult<Option<i64>> {
        let (place, row) = self.place("number", device, name)?;
        within("Poller.number: digits", digits, 0, DIGITS_MAX)?;
        if place.point.slot().is_none() {
            let expected = "a number; Poller.text() gives a STRING";
            return Err(
                CoreError::site(format!("Poller.number: device {device}"), place.point.place(), expected).into()
            );
        }
        let digits = i32::try_from(digits).unwrap_or_default();
        Ok(self.told(py, row, |word| place.number(digits, word)))
    }

    /// The text of a point as of the last refresh(); None: its read is not good, or there is none.
    fn text(&self, py: Python<'_>, device: i64, name: &str) -> PyResult<Option<String>> {
        let (place, row) = self.place("text", device, name)?;
        if place.point.slot().is_some() {
            let expected = "a STRING; Poller.number() gives a number";
            return Err(CoreError::site(format!("Poller.text: device {device}"), place.point.place(), expected).into());
        }
        Ok(self.told(py, row, |word| place.text(word)))
    }

    /// Names of the points of a device's map, in the order of the alphabet.
    fn points(&self, device: i64) -> PyResult<Vec<&str>> {
        self.check_process("points")?;
        let points = self.points.get(self.device(device)?).map(Mapped::places).unwrap_or_default();
        Ok(points.iter().map(|place| place.point.name.as_str()).collect())
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

    /// A point of a device's map, and the row of the read that brings it. Looks at nothing that a fork ends, so it does
    /// not ask which process this is: that would cost as much as all the rest.
    fn place(&self, call: &str, device: i64, name: &str) -> PyResult<(&Place, usize)> {
        let at = self.device(device)?;
        let missing = || {
            let expected = "the name of a point of its map";
            CoreError::site(format!("Poller.{call}: device {device}"), name, expected)
        };
        let place = self.points.get(at).and_then(|points| points.find(name)).ok_or_else(missing)?;
        let rows = self.board.image.rows_of(at).unwrap_or_default();
        Ok((place, rows.start + place.read))
    }

    /// What the registers of a read tell, while it is good.
    fn told<T>(&self, py: Python<'_>, row: usize, tell: impl FnOnce(&dyn Fn(usize) -> u16) -> Option<T>) -> Option<T> {
        let mut copy = lock(&self.copy);
        let copy = copy.shown(py);
        let offset = self.board.image.offset(row).filter(|_| copy.is_good(row))?;
        tell(&|register| copy.register(offset + register))
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
