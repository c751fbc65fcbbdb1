"""The Rust core as Python sees it. Hand-written; `make check` compares it with the binary (stubtest).

Order of assets everywhere: `assets` of DgmConfig in file order, then the EVSEs of `stations` in file order.
Columns are flat int32 or int64 buffers, row-major, native byte order; ABSENT32 / ABSENT64 stands for "not known".
Rust never calls Python and never takes the interpreter lock; no call here waits for a device.
"""

from typing import final

from typing_extensions import Buffer

__all__ = [
    "ABSENT32",
    "ABSENT64",
    "GRANT_COLUMNS",
    "IMAGE_COLUMNS",
    "OUTCOME_COLUMNS",
    "SAMPLE_COLUMNS",
    "TARGET_COLUMNS",
    "Arbiter",
    "CoreError",
    "Facade",
    "Field",
    "allocate",
    "check_device_table",
    "sunspec_decode",
]

ABSENT32: int  # -2**31
ABSENT64: int  # -2**63

# put_targets: one row per asset.  want: W for PV and BATTERY (positive into the asset), mA per phase for EVSE.
TARGET_COLUMNS: tuple[str, ...]  # ("want", "weight", "stratum", "want_reason")
# put_samples: any number of rows, one per reported EVSE.  plug_state: site.v1.PlugState number.
SAMPLE_COLUMNS: tuple[
    str, ...
]  # ("asset_index", "age_ms", "plug_state", "power_w", "i1_ma", "i2_ma", "i3_ma", "soc_permille", "energy_wh")
# put_outcomes: any number of rows.  state: ems.v1.OutcomeState number; fallback_ma: floor proved under the live limit.
OUTCOME_COLUMNS: tuple[str, ...]  # ("asset_index", "sequence", "state", "value_ma", "fallback_ma")
# image(): one int64 row per asset.  quality: site.v1.Quality number; age_ms at refresh.
IMAGE_COLUMNS: tuple[str, ...]
# ("quality", "age_ms", "power_w", "reactive_var", "i1_ma", "i2_ma", "i3_ma", "v1_mv", "v2_mv", "v3_mv",
#  "frequency_mhz", "energy_wh", "soc_permille", "plug_state")
# grants(): one int64 row per asset.  value: W (PV, BATTERY) or mA (EVSE); published/safety: 0 or 1;
# binding_limit: index into decision().rows, or ABSENT64.
GRANT_COLUMNS: tuple[str, ...]  # ("value", "counted_ma", "sequence", "published", "safety", "binding_row")

class CoreError(Exception):
    """A configuration or message the core cannot accept; the text says what, where, found, expected."""

def allocate(problem: bytes) -> bytes:
    """One weighted max-min allocation without state, for tests, oracle and benchmark.

    `problem`: int64 buffer bytes, see dgm_core/src/arbiter/fill.rs `Problem::from_words`; answer: int64 mA per EVSE.
    Raises CoreError for a malformed problem.
    """

def sunspec_decode(model_id: int, registers: bytes) -> dict[str, object]:
    """Every point of a SunSpec model whose registers, header included, are given big-endian.

    A number is (raw, power of ten; None: its scale factor is not implemented), a float itself, text or an address
    str, "not implemented" None; a group is a dict, one that repeats a list of them. CoreError: unknown model, half a
    register.
    """

def check_device_table(table: bytes) -> list[tuple[str, str, str]]:
    """All that is wrong with core.v1.DeviceTable bytes: (path of the field, found, expected)."""

@final
class Arbiter:
    """The decision function with its state under the caller's clock: simulator, replay, tests."""

    def __new__(cls, config: bytes) -> Arbiter: ...
    def put_limits(self, limits: bytes, now_ms: int) -> None:
        """Replace the active limits (core.v1.LimitSet). An older epoch or sequence raises CoreError."""
    def put_targets(self, targets: Buffer, ttl_ms: int, now_ms: int) -> None: ...
    def put_samples(self, samples: Buffer, now_ms: int) -> None: ...
    def put_outcomes(self, outcomes: Buffer, now_ms: int) -> None: ...
    def put_image(self, image: Buffer, now_ms: int) -> None:
        """Readings of METER, PV, BATTERY and LOAD assets, as int64 image rows (EVSE rows are ignored)."""
    def put_link(self, up: bool, now_ms: int) -> None:
        """Whether the ocpp role is heard; down counts every EVSE as unreachable."""
    def put_control(self, asset_index: int, controlled: bool, now_ms: int) -> None:
        """Whether a PV or BATTERY asset does what it is told; controlled until told otherwise. An uncontrolled battery
        helps nobody and counts at its rating both ways, uncontrolled PV at its rating where PV is bounded."""
    def decide(self, now_ms: int) -> bool:
        """One tick. True: the EVSE grants were recomputed in it."""
    def grants(self) -> bytes:
        """int64 rows in GRANT_COLUMNS order, all assets."""
    def decision(self) -> bytes:
        """core.v1.Decision of the newest tick."""

@final
class Field:
    """The field core of the ems role: one thread polls Modbus devices, arbitrates each tick, writes and confirms."""

    def __new__(cls, config: bytes, epoch: int) -> Field: ...
    def start(self) -> None: ...
    def stop(self) -> None:
        """Ends the thread after writing nothing more: devices fall back by their own revert timers."""
    def fileno(self) -> int:
        """eventfd: readable when a tick has published something new; read 8 bytes to clear."""
    def put_limits(self, limits: bytes) -> None: ...
    def put_targets(self, targets: Buffer, ttl_ms: int) -> None: ...
    def put_samples(self, samples: Buffer) -> None: ...
    def put_outcomes(self, outcomes: Buffer) -> None: ...
    def put_link(self, up: bool) -> None: ...
    def refresh(self) -> int:
        """Copy the newest image under the seqlock into one buffer; returns its sequence."""
    def image(self) -> memoryview:
        """Read-only view of the last refresh(): int64 rows in IMAGE_COLUMNS order."""
    def grants(self) -> bytes: ...
    def decision(self) -> bytes: ...
    def counters(self) -> dict[str, int]:
        """Monotonic counters and gauges by name (ticks_total, tick_overruns_total, modbus_requests_total,
        modbus_timeouts_total, modbus_bad_frames_total, writes_total, readbacks_total, readback_mismatch_total, ...).
        devices_uncontrolled: PV and batteries that are not relied on in the newest tick (an alarm above 0);
        control_lost_total: times that one of them was controlled before."""

@final
class Facade:
    """A Modbus TCP server: Python publishes its image and collects its writes; it answers on its own thread."""

    def __new__(cls, host: str, port: int, units: int) -> Facade:
        """Binds at once (OSError when the address is in use). Unit ids 1..units exist; others get exception 0x0B."""
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def port(self) -> int: ...
    def define(self, unit: int, address: int, count: int) -> None:
        """Declare readable holding registers (also answered as input registers). Outside: exception 2."""
    def allow_write(self, unit: int, address: int, count: int, low: int, high: int, watchdog_s: int) -> None:
        """Declare one writable value of 1 or 2 registers with its inclusive range; only whole values are written
        (exception 3 otherwise). watchdog_s > 0: if not rewritten for that long the value returns to its fallback."""
    def set_fallback(self, unit: int, address: int, value: int) -> None: ...
    def publish(self, unit: int, address: int, registers: bytes) -> None:
        """Replace registers at once (big-endian words); a reader never sees half of it."""
    def take_writes(self) -> list[tuple[int, int, int, int]]:
        """(unit, address, value, age_ms) of accepted writes and watchdog fallbacks since the last call, in order."""
    def fileno(self) -> int:
        """eventfd: readable when take_writes() has something."""
    def counters(self) -> dict[str, int]: ...
