//! `dgm._core.Field`: the field thread as Python sees it. Every call copies and returns; none waits for a device.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};

use super::arbiter::{grant_bytes, outcome_rows, sample_rows, target_rows};
use super::columns;
use super::CoreError as PyCoreError;
use crate::arbiter::Decision;
use crate::error::CoreError;
use crate::field::{Field, Input, ModelQuestion};
use crate::modbus::amend::AmendStep;
use crate::modbus::learnt::Learnt;
use crate::modbus::occupancy::FIGURES;
use crate::reactor::notify::Notifier;
use crate::reactor::polling::PollingThread;
use crate::reactor::published::Published;
use crate::reactor::{clock, field_thread};
use crate::site::{within, AssetKind, Site, QUANTITY_MAX, SPAN_MS_MAX};
use crate::units::{count, AssetIndex, Micros, Millis};
use crate::wire;

/// The field core of the ems role: one thread polls Modbus devices, arbitrates each tick, writes and confirms.
#[pyclass(name = "Field", module = "dgm._core", frozen)]
pub struct PyField {
    site: Arc<Site>,
    epoch: i64,
    published: Arc<Published>,
    thread: Mutex<Stage>,
    newest_limits: Mutex<Option<(i64, i64)>>,
    image: Mutex<Py<PyBytes>>,
    known: Mutex<BTreeMap<AssetIndex, Learnt>>,
}

enum Stage {
    New,
    Running(PollingThread),
    Stopped,
}

#[pymethods]
impl PyField {
    #[new]
    fn new(py: Python<'_>, config: &[u8], epoch: i64) -> PyResult<Self> {
        let site = Arc::new(wire::decode_site(config)?);
        let nothing = Field::new(&site, epoch, 0, Micros::ZERO);
        let decision: Decision = nothing.arbiter().decision().clone();
        let published = Arc::new(Published::new(&site, decision, Notifier::new()?));
        let image = Mutex::new(image_bytes(py, &published).0.unbind());
        let (thread, newest_limits) = (Mutex::new(Stage::New), Mutex::new(None));
        let known = Mutex::default();
        Ok(Self { site, epoch, published, thread, newest_limits, image, known })
    }

    /// Starts the thread. What was put before holds before the first tick.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let mut thread = lock(&self.thread);
        if !matches!(*thread, Stage::New) {
            return Err(PyCoreError::new_err("Field.start: found a field that was started before; expected a new one"));
        }
        let mut field = Field::new(&self.site, self.epoch, clock::seed(), clock::micros());
        for (asset, learnt) in std::mem::take(&mut *lock(&self.known)) {
            field.know(asset, learnt, clock::micros());
        }
        super::check_credentials(field.lines().iter().map(|(endpoint, _)| endpoint))?;
        *thread = Stage::Running(py.detach(|| field_thread::start(field, &self.published))?);
        Ok(())
    }

    /// Ends the thread after writing nothing more: devices fall back by their own revert timers.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let stage = std::mem::replace(&mut *lock(&self.thread), Stage::Stopped);
        match stage {
            Stage::Running(thread) => Ok(py.detach(|| thread.stop())?),
            Stage::New | Stage::Stopped => Ok(()),
        }
    }

    /// eventfd: readable when a tick has published something new; read 8 bytes to clear.
    fn fileno(&self) -> i32 {
        self.published.notifier.fd()
    }

    fn put_limits(&self, limits: &[u8]) -> PyResult<()> {
        let set = wire::decode_limits(limits)?;
        set.check(&self.site)?;
        let mut newest = lock(&self.newest_limits);
        let found = (set.epoch, set.sequence);
        if let Some(held) = newest.filter(|held| found < *held) {
            let (what, found, held) =
                if found.0 < held.0 { ("epoch", found.0, held.0) } else { ("sequence", found.1, held.1) };
            return Err(CoreError::Old { what, found, held }.into());
        }
        self.put(Input::Limits(set))?;
        *newest = Some(found);
        Ok(())
    }

    fn put_targets(&self, targets: &Bound<'_, PyAny>, ttl_ms: i64) -> PyResult<()> {
        let rows = target_rows(&columns::items::<i32>(targets)?)?;
        let assets = self.site.assets().len();
        if rows.len() != assets {
            let expected = format!("{assets} rows, one per asset");
            return Err(CoreError::Shape { what: "targets", found: rows.len(), expected }.into());
        }
        within("put_targets: ttl_ms", ttl_ms, 1, SPAN_MS_MAX)?;
        self.put(Input::Targets(rows, Millis::new(ttl_ms)))
    }

    fn put_samples(&self, samples: &Bound<'_, PyAny>) -> PyResult<()> {
        let rows = sample_rows(&columns::items::<i32>(samples)?)?;
        rows.iter().try_for_each(|row| self.check_evse(row.asset))?;
        self.put(Input::Samples(rows))
    }

    fn put_outcomes(&self, outcomes: &Bound<'_, PyAny>) -> PyResult<()> {
        let rows = outcome_rows(&columns::items::<i32>(outcomes)?)?;
        for row in &rows {
            self.check_evse(row.asset)?;
            for current in [row.value, row.fallback].into_iter().flatten() {
                within("put_outcomes: value_ma, fallback_ma", current.get(), 0, QUANTITY_MAX)?;
            }
        }
        self.put(Input::Outcomes(rows))
    }

    fn put_link(&self, up: bool) -> PyResult<()> {
        self.put(Input::Link(up))
    }

    /// Copy the newest image under the seqlock into one buffer; returns its sequence.
    fn refresh(&self, py: Python<'_>) -> u64 {
        let (bytes, sequence) = image_bytes(py, &self.published);
        *lock(&self.image) = bytes.unbind();
        sequence
    }

    /// Read-only view of the last refresh(): int64 rows in IMAGE_COLUMNS order.
    fn image<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes = lock(&self.image).clone_ref(py);
        PyMemoryView::from(bytes.bind(py))?.call_method1("cast", ("q",))
    }

    fn grants<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &grant_bytes(&self.published.decision().grants))
    }

    fn decision<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &wire::encode_decision(&self.published.decision()))
    }

    /// core.v1.AuditBatch: what devices did with their setpoints since the last call.
    fn take_audit<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &wire::encode_audit(&self.published.audit.take()))
    }

    /// core.v1.LearntDevice: what take_learnt() told of an asset's device before this start.
    fn know(&self, asset_index: usize, learnt: &[u8]) -> PyResult<()> {
        if !matches!(*lock(&self.thread), Stage::New) {
            return Err(PyCoreError::new_err("Field.know: found a field that was started; expected a new one"));
        }
        self.check_device(asset_index)?;
        lock(&self.known).insert(AssetIndex(asset_index), wire::decode_learnt(learnt)?);
        Ok(())
    }

    /// core.v1.LearntBatch: what was found out of devices since the last call.
    fn take_learnt<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &wire::encode_learnt(&self.published.take_learnt()))
    }

    /// Ask for a SunSpec model of an asset's device; the ticket.
    fn read_model(&self, asset_index: usize, model: u16, occurrence: usize, timeout_ms: i64) -> PyResult<u64> {
        self.ask(asset_index, model, occurrence, timeout_ms, Vec::new())
    }

    /// Change settings of a model by the steps of a core.v1.ModelAmendment; the ticket. Answered as read_model is.
    fn amend_model(&self, asset_index: usize, model: u16, amendment: &[u8], timeout_ms: i64) -> PyResult<u64> {
        self.ask(asset_index, model, 0, timeout_ms, wire::decode_amendment(model, amendment)?)
    }

    /// core.v1.ModelBatch: models that were read since the last call.
    fn take_models<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &wire::encode_models(self.published.surveys.take_answers()))
    }

    /// Lines whose connection has changed for the worse, with the reason, or back (None), since the last call.
    fn take_troubles(&self) -> Vec<(String, Option<String>)> {
        self.published.troubles.take()
    }

    /// Monotonic counters and gauges by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, value) in self.published.read_counters() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    /// How each line stands, by its endpoint: figures by name, as of at most ten seconds ago.
    fn lines<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let lines = PyDict::new(py);
        for (endpoint, load) in self.published.lines() {
            let figures = PyDict::new(py);
            for (name, value) in FIGURES.iter().zip(load.figures()) {
                figures.set_item(*name, value)?;
            }
            lines.set_item(endpoint, figures)?;
        }
        Ok(lines)
    }
}

impl PyField {
    fn put(&self, input: Input) -> PyResult<()> {
        self.published.inbox.put(input, clock::now()).map_err(|_| {
            PyCoreError::new_err("put_outcomes: found a full queue; expected a running field thread that takes it")
        })
    }

    fn ask(
        &self,
        asset_index: usize,
        model: u16,
        occurrence: usize,
        timeout_ms: i64,
        steps: Vec<AmendStep>,
    ) -> PyResult<u64> {
        within("read_model: timeout_ms", timeout_ms, 1, SPAN_MS_MAX)?;
        let asset = AssetIndex(asset_index);
        self.check_device(asset_index)?;
        let deadline = clock::micros() + Micros::from_millis(timeout_ms);
        let question = ModelQuestion { ticket: 0, asset, model, occurrence, deadline };
        let full = "read_model: found too many that wait; expected a running field thread that takes them";
        self.published.surveys.ask(question, steps).ok_or_else(|| PyCoreError::new_err(full))
    }

    fn check_device(&self, asset_index: usize) -> Result<(), CoreError> {
        if self.site.asset(AssetIndex(asset_index)).is_some_and(|asset| asset.spec.modbus.is_some()) {
            return Ok(());
        }
        let expected = "an asset with a Modbus device".to_owned();
        Err(CoreError::Index { what: "asset", found: count(asset_index), expected })
    }

    /// What the Arbiter would refuse later is refused here, where somebody hears of it.
    fn check_evse(&self, asset: AssetIndex) -> Result<(), CoreError> {
        let found = self.site.asset(asset).map(|asset| &asset.spec.kind);
        if matches!(found, Some(AssetKind::Evse(_))) {
            return Ok(());
        }
        let expected = "an EVSE of the configuration".to_owned();
        Err(CoreError::Index { what: "asset", found: count(asset.0), expected })
    }
}

impl Drop for PyField {
    /// A field that nobody holds any more decides nothing any more; the thread never needs the interpreter to end.
    fn drop(&mut self) {
        if let Stage::Running(thread) = std::mem::replace(&mut *lock(&self.thread), Stage::Stopped) {
            // A thread that had panicked has ended, which is all that is wanted here.
            let _ = thread.stop();
        }
    }
}

fn image_bytes<'py>(py: Python<'py>, published: &Published) -> (Bound<'py, PyBytes>, u64) {
    let mut copy = Vec::new();
    let sequence = published.read_image(clock::now(), &mut copy);
    (PyBytes::new(py, &columns::to_bytes(&copy)), sequence)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyField>()
}
