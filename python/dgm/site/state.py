"""What the site was last seen doing, and updates of it for any number of watchers.

    core image ─┐                               ┌─> Watcher A: snapshot, delta, delta
    ReportSamples ─> SiteState (newest per id) ─┤
    Decision ───┘                               └─> Watcher B: snapshot, (slow: values overwritten), snapshot

Latest value wins: a watcher holds one version number and a count, never messages. Judges no reading beyond its age.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from dgm.api.core.v1.core_pb2 import AssetGrant, Decision, Row
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import (
    CircuitState,
    EvseDer,
    Grant,
    PhaseValues,
    PlugState,
    Quality,
    Sample,
    WatchSiteResponse,
)
from dgm.machine import Now
from dgm.site.topology import AssetEntry, CircuitEntry, Topology

PhaseTriple = tuple[int | None, int | None, int | None]
"""L1, L2, L3 of the site; None: not measured, or not wired."""

NO_PHASES: PhaseTriple = (None, None, None)
GOOD, STALE = Quality.QUALITY_GOOD, Quality.QUALITY_STALE
"""Looked up once, as they are asked for per asset and cycle."""

SOURCES_MAX = 16
"""Reporting roles remembered; a site has three."""

SOURCE = re.compile(r"([a-z]{1,16}):([0-9]{1,15})")
VALUE_MAX = 2**31 - 1
"""Largest magnitude taken for one reported value (W, mA, mV, Wh): it fits the core's columns, and no EVSE has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One Sample with its time on our monotonic clock. Signs and units as in site.v1.Sample."""

    quality: Quality
    measured_ms: int
    power_w: int | None = None
    reactive_var: int | None = None
    current_ma: PhaseTriple = NO_PHASES
    voltage_mv: PhaseTriple = NO_PHASES
    frequency_mhz: int | None = None
    energy_wh: int | None = None
    soc_permille: int | None = None
    plug_state: PlugState = PlugState.PLUG_STATE_UNSPECIFIED

    @property
    def has_values(self) -> bool:
        """Whether anything was measured, the plug state apart."""
        values = (self.power_w, self.reactive_var, self.frequency_mhz, self.energy_wh, self.soc_permille)
        return any(value is not None for value in (*values, *self.current_ma, *self.voltage_mv))

    def age_ms(self, now: Now) -> int:
        """How old the measurement is, ms."""
        return max(0, now.mono_ms - self.measured_ms)


NEVER = Reading(quality=Quality.QUALITY_NEVER, measured_ms=0)


class Verdict(Enum):
    """What a report's source, epoch and sequence say about it."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OLD = "old"
    MALFORMED = "malformed"


class ReportGate:
    """Refuses reports that are older than one already taken, per source "role:epoch"."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int]] = {}

    def judge(self, source: str, sequence: int) -> Verdict:
        """Take note of a report. DUPLICATE is a retry of the newest one: harmless, not to be applied twice."""
        match = SOURCE.fullmatch(source)
        if match is None or sequence < 0:
            return Verdict.MALFORMED
        role, mark = match[1], (int(match[2]), sequence)
        newest = self._newest.get(role)
        if newest is None and len(self._newest) >= SOURCES_MAX:
            return Verdict.MALFORMED
        if newest is None or mark > newest:
            self._newest[role] = mark
            return Verdict.NEW
        return Verdict.DUPLICATE if mark == newest else Verdict.OLD


@dataclass(slots=True)
class SiteState:
    """Newest reading per asset, newest circuit state and grant; each with the version at which it last changed."""

    topology: Topology
    sample_max_age_ms: int
    version: int = 0
    _readings: dict[int, Reading] = field(default_factory=dict)
    _reading_versions: dict[int, int] = field(default_factory=dict)
    _circuits: dict[int, CircuitState] = field(default_factory=dict)
    _circuit_versions: dict[int, int] = field(default_factory=dict)
    _grants: dict[int, Grant] = field(default_factory=dict)
    _grant_versions: dict[int, int] = field(default_factory=dict)
    _ders: dict[int, EvseDer] = field(default_factory=dict)
    _der_versions: dict[int, int] = field(default_factory=dict)

    def reading(self, index: int) -> Reading:
        """Newest reading of an asset; quality NEVER when there was none."""
        return self._readings.get(index, NEVER)

    def quality(self, index: int, now: Now) -> Quality:
        """Quality by age: what was GOOD and is older than `sample_max_age_ms` is STALE."""
        reading = self._readings.get(index, NEVER)
        if reading.quality == GOOD and now.mono_ms - reading.measured_ms > self.sample_max_age_ms:
            return STALE
        return reading.quality

    def grant(self, index: int) -> Grant | None:
        """Newest grant of an asset, None before the first decision."""
        return self._grants.get(index)

    def circuit(self, index: int) -> CircuitState | None:
        """Newest state of a circuit, None before the first decision."""
        return self._circuits.get(index)

    def put_reading(self, index: int, reading: Reading) -> bool:
        """Take a reading unless a newer one is held; says whether it was taken."""
        held = self._readings.get(index)
        if held is not None and reading.measured_ms < held.measured_ms:
            return False
        self._store(index, reading)
        return True

    def take(self, index: int, sample: Sample, now: Now) -> Reading:
        """Take a remote sample of a report that is newer than those before it; the reading that now holds.

        The plug state is always news. Values are not where the sample holds none, or ones measured before those held:
        then what is held stays, with its own age.
        """
        reading, held = reading_of(sample, now), self.reading(index)
        if held.has_values and (not reading.has_values or reading.measured_ms < held.measured_ms):
            reading = replace(held, plug_state=reading.plug_state)
        self._store(index, reading)
        return reading

    def put_der(self, der: EvseDer) -> bool:
        """Take what is known of a V2X EVSE's DER control; False: there is no such EVSE."""
        asset = self.topology.asset(der.asset_id)
        if asset is None or not asset.is_evse:
            return False
        if self._ders.get(asset.index) != der:
            self._ders[asset.index], self._der_versions[asset.index] = der, self._bump()
        return True

    def put_decision(self, decision: Decision, now: Now) -> None:
        """Derive circuit states and grants from the newest decision of the core."""
        rows: dict[int, list[Row]] = {}
        for row in decision.rows:
            rows.setdefault(row.circuit_index, []).append(row)
        counted_ma = self._evse_counted_ma(decision.grants)
        for circuit in self.topology.circuits:
            counted_w = -(-counted_ma.get(circuit.index, 0) * self.topology.nominal_voltage_mv // 1_000_000)
            state = self._circuit_state(circuit, rows.get(circuit.index, []), counted_w, now)
            if self._circuits.get(circuit.index) != state:
                self._circuits[circuit.index] = state
                self._circuit_versions[circuit.index] = self._bump()
        for granted in decision.grants:
            granted_something = granted.HasField("power_w") or granted.HasField("current_ma")
            if granted_something and 0 <= granted.asset_index < len(self.topology.assets):
                self._put_grant(granted)

    def age(self, now: Now) -> None:
        """Let readings grow stale; a watcher is told of the change of quality."""
        for index, reading in self._readings.items():
            aged = self._aged(reading, now)
            if aged is not reading:
                self._store(index, aged)

    def update(self, now: Now, *, since: int | None) -> WatchSiteResponse:
        """Everything that changed after version `since`; None: a snapshot with every asset."""
        after = -1 if since is None else since
        assets = self.topology.assets
        return WatchSiteResponse(
            snapshot=since is None,
            time_utc_ms=now.utc_ms,
            samples=[
                sample_message(asset, self._aged(self.reading(asset.index), now), now)
                for asset in assets
                if since is None or self._reading_versions.get(asset.index, 0) > after
            ],
            circuits=[state for index, state in self._circuits.items() if self._circuit_versions[index] > after],
            grants=[grant for index, grant in self._grants.items() if self._grant_versions[index] > after],
            ders=[der for index, der in self._ders.items() if self._der_versions[index] > after],
        )

    def _store(self, index: int, reading: Reading) -> None:
        self._readings[index] = reading
        self._reading_versions[index] = self._bump()

    def _bump(self) -> int:
        self.version += 1
        return self.version

    def _aged(self, reading: Reading, now: Now) -> Reading:
        if reading.quality == GOOD and reading.age_ms(now) > self.sample_max_age_ms:
            return replace(reading, quality=STALE)
        return reading

    def _put_grant(self, granted: AssetGrant) -> None:
        grant = Grant(
            asset_id=self.topology.assets[granted.asset_index].id,
            power_w=granted.power_w if granted.HasField("power_w") else None,
            current_ma=granted.current_ma if granted.HasField("current_ma") else None,
            binding_limit_id=granted.binding_limit_id,
        )
        if self._grants.get(granted.asset_index) != grant:
            self._grants[granted.asset_index] = grant
            self._grant_versions[granted.asset_index] = self._bump()

    def _circuit_state(self, circuit: CircuitEntry, rows: list[Row], counted_w: int, now: Now) -> CircuitState:
        imported = _tightest(rows, Quantity.QUANTITY_NET_IMPORT)
        exported = _tightest(rows, Quantity.QUANTITY_NET_EXPORT)
        current = _tightest(rows, Quantity.QUANTITY_CURRENT)
        meter = None if circuit.meter_index is None else self._aged(self.reading(circuit.meter_index), now)
        good = meter if meter is not None and meter.quality == Quality.QUALITY_GOOD else None
        return CircuitState(
            circuit_id=circuit.id,
            net_power_w=good.power_w if good else None,
            current_ma=_phase_values(good.current_ma) if good else None,
            import_limit_w=imported.bound if imported else None,
            export_limit_w=exported.bound if exported else None,
            current_limit_ma=current.bound if current else None,
            import_limit_id=imported.limit_id if imported else "",
            uncontrolled_w=imported.uncontrolled if imported else 0,
            evse_counted_w=counted_w,
            shortfall_w=max((row.shortfall for row in rows if row.phase == 0), default=0),
            meter_lost=any(row.meter_lost for row in rows),
        )

    def _evse_counted_ma(self, grants: Iterable[AssetGrant]) -> dict[int, int]:
        """mA of all phases that the EVSEs below each circuit count for."""
        counted: dict[int, int] = {}
        for grant in grants:
            if 0 <= grant.asset_index < len(self.topology.assets) and grant.counted_ma:
                asset = self.topology.assets[grant.asset_index]
                for circuit_index in self.topology.path_of(asset):
                    counted[circuit_index] = counted.get(circuit_index, 0) + grant.counted_ma * len(asset.phases)
        return counted


class Watcher:
    """One reader of WatchSite: which version it has, when its next update is due, and how many were due so far.

    A reader that is slower than its interval misses updates. They are never made up for: it gets one fresh snapshot,
    and the gap in the sequence says how many there would have been.
    """

    def __init__(self, *, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._seen: int | None = None
        self._due_ms: int | None = None
        self._sequence = 0
        self.conflated = 0

    def update(self, state: SiteState, now: Now) -> WatchSiteResponse:
        """The next update, built when the reader is ready for it."""
        due_ms = now.mono_ms if self._due_ms is None else self._due_ms
        missed = max(0, now.mono_ms - due_ms) // self._interval_ms
        self._due_ms = due_ms + (missed + 1) * self._interval_ms
        self._sequence += 1 + missed
        self.conflated += missed
        update = state.update(now, since=None if missed else self._seen)
        update.sequence = self._sequence
        self._seen = state.version
        return update

    def wait_ms(self, now: Now) -> int:
        """How long until the next update is due."""
        return 0 if self._due_ms is None else max(0, self._due_ms - now.mono_ms)


def reading_of(sample: Sample, now: Now) -> Reading:
    """A remote sample on our clock. Values no device can have are taken as not known."""
    return Reading(
        quality=sample.quality or Quality.QUALITY_FAILED,  # trust that is not stated is not given
        measured_ms=now.mono_ms - max(0, sample.age_ms),
        power_w=_sane(sample, "power_w"),
        reactive_var=_sane(sample, "reactive_var"),
        current_ma=_triple(sample.current_ma),
        voltage_mv=_triple(sample.voltage_mv),
        frequency_mhz=_sane(sample, "frequency_mhz"),
        energy_wh=_sane(sample, "energy_wh"),
        soc_permille=_sane(sample, "soc_permille"),
        plug_state=sample.plug_state,
    )


def sample_message(asset: AssetEntry, reading: Reading, now: Now) -> Sample:
    """A reading as other roles and clients see it; its age is as of now."""
    return Sample(
        asset_id=asset.id,
        quality=reading.quality,
        age_ms=reading.age_ms(now) if reading.quality != Quality.QUALITY_NEVER else 0,
        power_w=reading.power_w,
        reactive_var=reading.reactive_var,
        current_ma=_phase_values(reading.current_ma),
        voltage_mv=_phase_values(reading.voltage_mv),
        frequency_mhz=reading.frequency_mhz,
        energy_wh=reading.energy_wh,
        soc_permille=reading.soc_permille,
        plug_state=reading.plug_state,
    )


def _tightest(rows: Iterable[Row], quantity: Quantity) -> Row | None:
    return min((row for row in rows if row.quantity == quantity), key=lambda row: row.bound, default=None)


def _sane(sample: Sample, name: str) -> int | None:
    if not sample.HasField(name):
        return None
    value = int(getattr(sample, name))
    return value if abs(value) <= VALUE_MAX else None


def _triple(values: PhaseValues) -> PhaseTriple:
    one, two, three = (_magnitude(values, name) for name in ("l1", "l2", "l3"))
    return one, two, three


def _magnitude(values: PhaseValues, name: str) -> int | None:
    if not values.HasField(name):
        return None
    value = int(getattr(values, name))
    return value if 0 <= value <= VALUE_MAX else None


def _phase_values(triple: PhaseTriple) -> PhaseValues | None:
    if triple == NO_PHASES:
        return None
    return PhaseValues(l1=triple[0], l2=triple[1], l3=triple[2])


def known_samples(topology: Topology, samples: Iterable[Sample]) -> tuple[list[tuple[AssetEntry, Sample]], list[str]]:
    """Split reported samples into those of EVSEs and the ids that may not be reported (unknown, or not an EVSE)."""
    known: list[tuple[AssetEntry, Sample]] = []
    unknown: list[str] = []
    for sample in samples:
        asset = topology.asset(sample.asset_id)
        if asset is not None and asset.is_evse:
            known.append((asset, sample))
        else:
            unknown.append(sample.asset_id)
    return known, unknown


def max_current_ma(reading: Reading) -> int | None:
    """Largest measured phase current, None when no phase is measured."""
    return max(_present(reading.current_ma), default=None)


def _present(triple: PhaseTriple) -> Iterator[int]:
    return (value for value in triple if value is not None)
