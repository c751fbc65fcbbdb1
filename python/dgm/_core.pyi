"""The Rust core as Python sees it. Hand-written; `make check` compares it with the binary (stubtest).

Order of assets everywhere: `assets` of DgmConfig in file order, then the EVSEs of `stations` in file order.
Columns are flat int32 or int64 buffers, row-major, native byte order; ABSENT32 / ABSENT64 stands for "not known".
Rust never calls Python and never takes the interpreter lock; no call here waits for a device.
"""

from os import PathLike
from typing import TypedDict, final, type_check_only

from typing_extensions import Buffer

__all__ = [
    "ABSENT32",
    "ABSENT64",
    "CLAIM_COLUMNS",
    "GRANT_COLUMNS",
    "IMAGE_COLUMNS",
    "LINE_COLUMNS",
    "OUTCOME_COLUMNS",
    "SAMPLE_COLUMNS",
    "STAMP_COLUMNS",
    "TARGET_COLUMNS",
    "Arbiter",
    "CoreError",
    "Facade",
    "Field",
    "Poller",
    "Sharing",
    "admission",
    "allocate",
    "check_device_table",
    "device_use",
    "replay",
    "sunspec_decode",
]

ABSENT32: int  # -2**31
ABSENT64: int  # -2**63

# put_targets: one row per asset.  want: W for PV and BATTERY (positive into the asset), mA per phase for EVSE.
# keeps_on: 1: others of its stratum are paused before it.
TARGET_COLUMNS: tuple[str, ...]  # ("want", "weight", "stratum", "want_reason", "keeps_on")
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

# Poller.stamps(): one int64 row per read.  quality: site.v1.Quality number; times on the clock of time.monotonic();
# age_ms: ABSENT64 while it was never read; sequence: how many times it has been read.
STAMP_COLUMNS: tuple[str, ...]  # ("quality", "read_at_us", "due_at_us", "age_ms", "sequence")
# Poller.lines(): one int64 row per line.  in_flight and window in requests; late_us_max: longest time by which a
# periodic read was sent after its slot.
LINE_COLUMNS: tuple[str, ...]
# ("modbus_requests_total", "modbus_answers_total", "modbus_timeouts_total", "modbus_foreign_replies_total",
#  "modbus_bad_frames_total", "modbus_exceptions_total", "modbus_connects_total", "modbus_disconnects_total",
#  "windows_closed_total", "readings_total", "polls_missed_total", "late_us_max", "writes_total", "devices_answering",
#  "in_flight", "window")

class CoreError(Exception):
    """A configuration or message the core cannot accept; the text says what, where, found, expected."""

def allocate(problem: bytes) -> bytes:
    """One weighted max-min allocation without state, for tests, oracle, benchmark and policies that share among groups.

    `problem`: int64 buffer bytes, see dgm_core/src/arbiter/problem.rs (`dgm.ems.problem` writes them); answer: int64
    mA per column, in layout version 2 (phasor rows) followed by the row that stopped each. Raises CoreError for a
    malformed problem.
    """

# Sharing: one row per column of its problem.  rank: who is admitted first within a stratum, lower first.
# minimum_ma: a multiple of step_ma, at least 1.
CLAIM_COLUMNS: tuple[str, ...]  # ("cap_ma", "weight", "stratum", "minimum_ma", "step_ma", "rank")

@final
class Sharing:
    """Rows that stay, shared again and again among columns that come as int32: for policies, oracle and benchmark.

    The rows are those of a problem of `allocate`. `granted` is a writable int32 buffer of two words per column: mA, and
    the row that stopped it (phasor rows after the others; -1: none did). `times` repeats the reckoning alone, to
    measure it. Raises CoreError for columns out of range; then nothing changed.
    """

    def __new__(cls, problem: bytes) -> Sharing: ...
    def fill(self, claims: Buffer, granted: Buffer, times: int = 1) -> None:
        """Weighted max-min by cap_ma, weight and stratum alone."""
    def share(self, claims: Buffer, granted: Buffer, times: int = 1) -> None:
        """The same with 0 or from minimum_ma, whole steps, and crumbs in the order of stratum and rank."""

def sunspec_decode(model_id: int, registers: bytes) -> dict[str, object]:
    """Every point of a SunSpec model whose registers, header included, are given big-endian.

    A number is (raw, power of ten; None: its scale factor is not implemented), a float itself, text or an address
    str, "not implemented" None; a group is a dict, one that repeats a list of them. CoreError: unknown model, half a
    register.
    """

def check_device_table(table: bytes) -> list[tuple[str, str, str]]:
    """All that is wrong with core.v1.DeviceTable bytes: (path of the field, found, expected)."""

def admission(question: bytes) -> bytes:
    """Whether every Modbus line can keep every deadline: core.v1.AdmissionQuestion to core.v1.AdmissionAnswer.

    Plans the reads of every device and proves each line, without any device. CoreError names what is out of range.
    """

def device_use(question: bytes) -> bytes:
    """What the core will ask of a device: core.v1.DeviceUseQuestion to core.v1.AdmissionDevice, without any device.

    CoreError: the table is wrong, or cannot command what the role demands.
    """

@type_check_only
class _Replay(TypedDict):
    entries: int
    bytes_sent: int
    output_digest: int
    image_digest: int
    mismatches: int
    first_mismatch: int | None
    is_whole: bool

def replay(config: bytes, path: str | PathLike[str]) -> _Replay:
    """Carry out what Poller.record wrote once more, in a poller of the same configuration and without sockets.

    entries: replayed; mismatches: entries at which other bytes were said, another thing was wanted of the link, or the
    image at the end was another one; first_mismatch: the first of them, from 0; is_whole: nothing is missing at the
    end. Raises CoreError for a file that is no log of this configuration.
    """

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
    def take_audit(self) -> bytes:
        """core.v1.AuditBatch: what became of the setpoints of PV and batteries since the last call; empty: nothing new.
        Bounded for a caller that does not come; what it cost is counted in `lost`."""
    def know(self, asset_index: int, learnt: bytes) -> None:
        """Before start(): core.v1.LearntDevice of an asset's device from an earlier start. The device is asked whether
        it is still the same, and walked through only if not. CoreError: not what a walk could have found."""
    def take_learnt(self) -> bytes:
        """core.v1.LearntBatch: what was found out of SunSpec devices since the last call; empty: nothing new."""
    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int:
        """Ask for a SunSpec model of an asset's device (0: only the chain of models); the ticket. It is read when
        nothing else of its line is due. CoreError: no such device, or too many questions wait."""
    def take_models(self) -> bytes:
        """core.v1.ModelBatch: questions that have ended since the last call, each once; empty: none."""
    def take_troubles(self) -> list[tuple[str, str | None]]:
        """Lines that could not be connected, with the reason, or are connected again (None), since the last call; told
        when it changes, not at every attempt."""
    def counters(self) -> dict[str, int]:
        """Monotonic counters and gauges by name (ticks_total, tick_overruns_total, modbus_requests_total,
        modbus_timeouts_total, modbus_bad_frames_total, writes_total, readbacks_total, readback_mismatch_total, ...).
        devices_uncontrolled: PV and batteries that are not relied on in the newest tick (an alarm above 0);
        control_lost_total: times that one of them was controlled before."""
    def lines(self) -> dict[str, dict[str, int]]:
        """How each Modbus line stands, by its endpoint, at most ten seconds old; nothing before the first tick.
        used_permille: of the last window, timeouts included; wanted_permille: what is asked for, at the measured cost;
        over_permille, over_us, unproved: why not every deadline can be kept (0: all can); write_wait_bound_us and
        write_wait_us_max: longest wait of a setpoint for the line, reckoned and seen; blocking_us; late_total,
        late_us_max: transactions done after their deadline; silent: devices that do not answer."""

@final
class Poller:
    """A fleet of Modbus devices whose registers one thread reads at their rates; Python reads a copy, never a device.

    Positions are those of the configuration: lines, devices over all lines, reads over all devices. After a fork every
    call but number(), text(), point() and point_row(), which look at the copy alone, raises CoreError in the child: the
    thread belongs to the process that started it.
    """

    def __new__(cls, config: bytes) -> Poller:
        """`config`: core.v1.PollerConfig. Nothing is connected before start()."""
    def start(self) -> None: ...
    def stop(self) -> None:
        """Ends the thread after writing nothing more; the copy stays as it is."""
    def record(self, path: str | PathLike[str], bytes_max: int = ...) -> None:
        """Before start(): write everything that happens to the lines, and digests of all they say, into a new file of
        at most `bytes_max` (1 GiB).
        Neither a full file nor a slow disk stops the poller: the recording ends (counters()["recording"] is 0)."""
    def fileno(self) -> int:
        """eventfd: readable when something is new since the last refresh(), which clears it."""
    def refresh(self) -> int:
        """Copy what changed, each device whole and of one time, and reckon all ages; how many devices that were."""
    def registers(self) -> memoryview:
        """Read-only view of the copy, format 'H': always the same view, it shows the newest refresh().
        Bits (coils, discrete inputs) take a register of 0 or 1 each. Indexing it allocates nothing."""
    def stamps(self) -> memoryview:
        """Read-only view of the copy, format 'q': rows in STAMP_COLUMNS order, one per read, as of the newest
        refresh(). What is older than its age_max_ms is STALE, whatever it was."""
    def changed(self) -> memoryview:
        """Devices that the newest refresh() copied, ascending, format 'I'."""
    def offset(self, device: int, read: int = 0) -> int:
        """Position in registers() of the first register of a device's read."""
    def row(self, device: int, read: int = 0) -> int:
        """Row in stamps() of a device's read."""
    def points(self, device: int) -> list[str]:
        """Names of the points of a device's map, in the order of the alphabet; none where its reads were given."""
    def point(self, device: int, name: str) -> int:
        """Position in registers() of the first register of a point of a device's map: for once, not for each value."""
    def point_row(self, device: int, name: str) -> int:
        """Row in stamps() of the read that brings a point."""
    def number(self, device: int, name: str, digits: int = 0) -> int | None:
        """A point's value as of the newest refresh(): type, word order, gain and the scale factor that came with it; in
        a unit `digits` (0..9) decimal digits finer than the point's, rounded half away from zero. None: its read is not
        GOOD (never, stale, failed), the registers or the scale factor say "not known", or it does not fit 64 bits."""
    def text(self, device: int, name: str) -> str | None:
        """A STRING point as of the newest refresh(). None: its read is not GOOD, or there is no text."""
    def reads(self) -> list[tuple[int, int, int, int, int]]:
        """(device, table, address, count, offset) of each row of stamps(); table: core.v1.RegisterTable number."""
    def write(self, device: int, address: int, registers: Buffer, deadline_ms: int) -> int:
        """Write registers (format 'H', 1 to 123) with function 16; the ticket. It waits for no queued read and is
        never sent after its deadline."""
    def request(self, device: int, pdu: bytes, deadline_ms: int) -> int:
        """Send one request given as its PDU (functions 1-6, 15, 16, 22, 23); the ticket."""
    def outcome(self, ticket: int) -> tuple[str, int | None, int | None, int, list[int]] | None:
        """How a request ended, told once; None while it has not. (state, exception code, sent_at_us, done_at_us,
        registers or bits of the answer). state: done, refused, timed_out, lost (the connection; it may have been
        carried out), malformed, expired (never sent)."""
    def lines(self) -> memoryview:
        """A copy of the counters of each line, at most 500 ms old: rows in LINE_COLUMNS order."""
    def counters(self) -> dict[str, int]:
        """Sums over lines() by name (the longest of late_us_max), `recording` and `running`: 0 or 1."""

@final
class Facade:
    """A Modbus TCP server: Python publishes its image and collects its writes. All facades of a process answer on one
    thread, which never waits for Python. A register that was never declared does not exist."""

    def __new__(cls, host: str, port: int, units: int, config: bytes | None = None) -> Facade:
        """Binds at once (OSError when the address is in use). Unit ids 1..units exist; others get exception 0x0B.
        config: FacadeConfig; its tls makes this Modbus/TCP Security and nothing else (CoreError when a file cannot be
        used), its write_roles may write, nobody else (exception 1)."""
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def port(self) -> int: ...
    def declare(self, unit: int, map: bytes) -> None:
        """Declare all points of a RegisterMap, or none: CoreError names points and addresses. New registers hold what
        means "not known" (the first of absent) or 0; fallbacks stand until a client writes. Exceptions to clients:
        1 role without the right, 2 not writable, 3 half a value or group, out of range, lease too long, sequence not
        newer, 6 too soon."""
    def define(self, unit: int, address: int, count: int) -> None:
        """Declare readable holding registers. Function 4 shows them too, until a map declares input registers."""
    def allow_write(self, unit: int, address: int, count: int, low: int, high: int, watchdog_s: int) -> None:
        """Declare one writable value of 1 or 2 registers with its inclusive range; only whole values are written
        (exception 3 otherwise). watchdog_s > 0: if not rewritten for that long the value returns to its fallback."""
    def set_fallback(self, unit: int, address: int, value: int, table: int = 1) -> None:
        """What a value returns to; acts at once where no client holds it. table: a RegisterTable, HOLDING or COIL."""
    def publish(self, unit: int, address: int, registers: bytes, table: int = 1) -> None:
        """Replace registers at once (big-endian words; a byte of 0 or 1 for each bit of a table of bits); a reader
        never sees half of it. table: a RegisterTable."""
    def take_writes(self) -> list[tuple[int, int, int, int, int, str | None, str | None]]:
        """(unit, address, value, age_ms, table, peer, role) of accepted writes and ended leases since the last call, in
        order. peer: "address:port" of the writer, None where a lease ended; role: of its certificate, if it has one."""
    def clients(self) -> list[tuple[str, str | None, int, int, int, int]]:
        """(peer, role, connected_ms, silent_ms, requests, exceptions) of every client that is connected."""
    def refresh_tls(self) -> bool:
        """Reads certificate, key and CA again if a file has changed; whether it did. Open connections stay open.
        CoreError when a file cannot be used: the old certificates stay in use."""
    def fileno(self) -> int:
        """eventfd: readable when take_writes() has something."""
    def counters(self) -> dict[str, int]: ...
