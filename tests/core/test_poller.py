"""The poller against servers of our own and of another implementation: copies, stamps, one-off requests, limits."""

from __future__ import annotations

import array
import contextlib
import multiprocessing
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient
from threads import hold_interpreter

from dgm import _core
from dgm.api.core.v1.poller_pb2 import PollerConfig, PollerLine
from dgm.api.core.v1.registers_pb2 import PointType, RegisterTable, WordOrder
from dgm.api.site.v1.site_pb2 import Quality

HOST = "127.0.0.1"
UNITS, REGISTERS = 3, 125
DEADLINE_S = 10.0


def word(unit: int, address: int) -> int:
    """What a register holds."""
    return unit * 1000 + address


def served(units: int = UNITS) -> _core.Facade:
    """A running server; register n of unit u holds word(u, n)."""
    facade = _core.Facade(HOST, 0, units)
    for unit in range(1, units + 1):
        facade.define(unit, 0, REGISTERS)
        facade.publish(unit, 0, b"".join(word(unit, address).to_bytes(2, "big") for address in range(REGISTERS)))
        facade.allow_write(unit, 100, 1, 0, 1_000, 0)
    facade.start()
    return facade


@pytest.fixture
def facade() -> Iterator[_core.Facade]:
    facade = served()
    yield facade
    facade.stop()


def config_for(port: int, *, period_ms: int = 20, count: int = REGISTERS) -> PollerConfig:
    """Each unit behind a line of its own."""
    config = PollerConfig()
    for unit in range(1, UNITS + 1):
        line = config.lines.add(host=HOST, port=port, timeout_ms=300)
        line.devices.add(unit_id=unit).reads.add(table=RegisterTable.HOLDING, count=count, period_ms=period_ms)
    return config


@dataclass
class Running:
    """A started poller, and what is needed to wait for it."""

    poller: _core.Poller

    def stamp(self, row: int) -> dict[str, int]:
        """A row of stamps() by column."""
        width = len(_core.STAMP_COLUMNS)
        values = self.poller.stamps()[row * width : (row + 1) * width]
        return dict(zip(_core.STAMP_COLUMNS, values, strict=True))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for news, by the eventfd, until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.poller.refresh()
            if condition():
                return
            left = deadline - time.monotonic()
            assert left > 0, (self.poller.counters(), list(self.poller.stamps()))
            select.select([self.poller.fileno()], [], [], min(left, 0.1))

    def until_read(self, times: int = 1) -> None:
        """Wait until everything was read so often."""
        rows = range(len(self.poller.reads()))
        self.until(lambda: all(self.stamp(row)["sequence"] >= times for row in rows))

    def outcome(self, ticket: int) -> tuple[str, int | None, int | None, int, list[int]]:
        """How a request ended."""
        found: list[tuple[str, int | None, int | None, int, list[int]]] = []

        def is_found() -> bool:
            outcome = self.poller.outcome(ticket)
            found.extend([outcome] if outcome else [])
            return bool(found)

        self.until(is_found)
        return found[0]


@contextlib.contextmanager
def polling(config: PollerConfig) -> Iterator[Running]:
    """A started poller that is stopped at the end."""
    poller = _core.Poller(config.SerializeToString())
    poller.start()
    try:
        yield Running(poller)
    finally:
        poller.stop()


def test_every_register_is_what_another_implementation_reads(facade: _core.Facade) -> None:
    with polling(config_for(facade.port())) as running, ModbusTcpClient(HOST, port=facade.port()) as client:
        running.until_read()
        view = running.poller.registers()
        for device in range(UNITS):
            expected = client.read_holding_registers(0, count=REGISTERS, device_id=device + 1).registers
            start = running.poller.offset(device)
            assert list(view[start : start + REGISTERS]) == expected
        assert (view.format, view.readonly) == ("H", True)


def mapped(port: int) -> PollerConfig:
    """One device by its map: two values side by side with their scale factor, one far away."""
    config = PollerConfig()
    device = config.lines.add(host=HOST, port=port).devices.add(unit_id=2)
    device.map.name, device.map.period_ms = "meter", 20
    add = device.map.points.add
    add(name="power", table=RegisterTable.HOLDING, address=10, type=PointType.I32, scale_point="power_sf")
    add(name="current", table=RegisterTable.HOLDING, address=12, type=PointType.U16)
    add(name="power_sf", table=RegisterTable.HOLDING, address=14, type=PointType.I16)
    add(name="far", table=RegisterTable.INPUT, address=100, type=PointType.U16, period_ms=40)
    return config


def test_a_map_is_read_in_few_requests_and_its_points_are_found(facade: _core.Facade) -> None:
    with polling(mapped(facade.port())) as running:
        poller = running.poller
        running.until_read()
        spans = [read[1:4] for read in poller.reads()]
        assert spans == [(RegisterTable.HOLDING, 10, 5), (RegisterTable.INPUT, 100, 1)]
        view = poller.registers()
        found = {name: view[poller.point(0, name)] for name in ("power", "current", "power_sf", "far")}
    assert found == {"power": word(2, 10), "current": word(2, 12), "power_sf": word(2, 14), "far": word(2, 100)}
    with pytest.raises(_core.CoreError, match="nothing"):
        poller.point(0, "nothing")


def test_a_value_is_found_by_name_as_its_map_says(facade: _core.Facade) -> None:
    """Word order, sign, gain, the live scale factor, text and what means "not known"."""
    words = [0xFFFE, 0xFFFF, 0xFF85, 2, 0x8000, 0x4447, 0x4D00, 0x436A, 0x8000, 7]
    facade.publish(2, 20, b"".join(word.to_bytes(2, "big") for word in words))
    config = mapped(facade.port())
    add = config.lines[0].devices[0].map.points.add
    holding = RegisterTable.HOLDING
    add(name="energy", table=holding, address=20, type=PointType.I32, word_order=WordOrder.LOW_FIRST, multiplier=-3)
    add(name="real", table=holding, address=22, type=PointType.I16, scale_point="real_sf")
    add(name="real_sf", table=holding, address=23, type=PointType.I16)
    add(name="nothing", table=holding, address=24, type=PointType.I16, absent=[-32768])
    add(name="maker", table=holding, address=25, type=PointType.STRING, length=2)
    add(name="voltage", table=holding, address=27, type=PointType.F32)
    add(name="flag", table=holding, address=29, type=PointType.BIT, bit=2)
    with polling(config) as running:
        poller = running.poller
        assert poller.number(0, "real") is None
        running.until_read()
        names = ("energy", "real", "nothing", "voltage", "flag")
        assert [poller.number(0, name) for name in names] == [6, -12300, None, 235, 1]
        assert (poller.number(0, "voltage", 2), poller.text(0, "maker")) == (23450, "DGM")
        assert running.stamp(poller.point_row(0, "far"))["quality"] == Quality.QUALITY_GOOD
        assert set(names) < set(poller.points(0))


def test_a_value_that_is_not_there_is_refused_by_name_and_address(facade: _core.Facade) -> None:
    config = mapped(facade.port())
    config.lines[0].devices[0].map.points.add(
        name="maker", table=RegisterTable.HOLDING, address=25, type=PointType.STRING, length=2
    )
    poller = _core.Poller(config.SerializeToString())
    with pytest.raises(_core.CoreError, match=r"device 0: found maker at HOLDING 25..26; expected a number"):
        poller.number(0, "maker")
    with pytest.raises(_core.CoreError, match=r"device 0: found far at INPUT 100; expected a STRING"):
        poller.text(0, "far")
    with pytest.raises(_core.CoreError, match=r"device 0: found nothing; expected the name of a point"):
        poller.number(0, "nothing")
    with pytest.raises(_core.CoreError, match="digits"):
        poller.number(0, "far", 10)


def test_a_value_is_absent_while_its_device_is_silent(facade: _core.Facade) -> None:
    with polling(mapped(facade.port())) as running:
        running.until_read()
        assert running.poller.number(0, "current") == word(2, 12)
        facade.stop()
        running.until(lambda: running.stamp(0)["quality"] != Quality.QUALITY_GOOD)
        assert running.poller.number(0, "current") is None
        assert running.poller.registers()[running.poller.point(0, "current")] == word(2, 12)


def test_a_map_that_makes_no_sense_is_refused_by_its_point(facade: _core.Facade) -> None:
    config = mapped(facade.port())
    config.lines[0].devices[0].map.points[1].address = 11
    with pytest.raises(_core.CoreError, match=r"lines\[0\].devices\[0\].map.points\[1\]"):
        _core.Poller(config.SerializeToString())
    both = mapped(facade.port())
    both.lines[0].devices[0].reads.add(table=RegisterTable.HOLDING, count=1)
    with pytest.raises(_core.CoreError, match="beside reads"):
        _core.Poller(both.SerializeToString())


def test_a_view_shows_the_newest_copy_and_the_copy_only_what_refresh_brought(facade: _core.Facade) -> None:
    with polling(config_for(facade.port())) as running:
        running.until_read()
        view, place = running.poller.registers(), running.poller.offset(1) + 7
        facade.publish(2, 7, (4_242).to_bytes(2, "big"))
        before = running.stamp(1)["sequence"]
        while running.poller.counters()["readings_total"] < 3 * (before + 10):
            pass
        assert view[place] == word(2, 7)
        running.poller.refresh()
        assert view[place] == 4_242
        assert running.poller.registers() is view


def test_only_devices_that_changed_are_copied_and_they_are_named(facade: _core.Facade) -> None:
    config = config_for(facade.port())
    for slow in (0, 2):
        config.lines[slow].devices[0].reads[0].period_ms = 3_600_000
    with polling(config) as running:
        running.until_read()
        running.until(lambda: list(running.poller.changed()) == [1])
    assert running.poller.refresh() in (0, 1)
    assert running.poller.refresh() == 0
    assert list(running.poller.changed()) == []


def test_reads_of_one_period_are_stamped_with_the_same_slot_and_are_sent_in_it(facade: _core.Facade) -> None:
    with polling(config_for(facade.port(), period_ms=50)) as running:
        running.until_read(3)
        running.until(lambda: len({running.stamp(row)["due_at_us"] for row in range(UNITS)}) == 1)
        stamps = [running.stamp(row) for row in range(UNITS)]
    assert all(stamp["due_at_us"] % 50_000 == 0 for stamp in stamps)
    assert all(0 <= stamp["read_at_us"] - stamp["due_at_us"] < 50_000 for stamp in stamps)
    assert all(stamp["quality"] == Quality.QUALITY_GOOD for stamp in stamps)
    assert abs(stamps[0]["read_at_us"] / 1e6 - time.monotonic()) < 2, "the clock of both languages is the same"


def test_a_device_that_is_gone_ages_and_cannot_look_alive(facade: _core.Facade) -> None:
    config = config_for(facade.port())
    for line in config.lines:
        line.devices[0].reads[0].age_max_ms = 100
    with polling(config) as running:
        assert running.stamp(0)["quality"] == Quality.QUALITY_NEVER
        assert running.stamp(0)["age_ms"] == _core.ABSENT64
        running.until_read()
        facade.stop()
        running.until(lambda: running.stamp(0)["quality"] == Quality.QUALITY_STALE)
        assert running.stamp(0)["age_ms"] >= 100


def test_a_write_is_carried_out_and_its_end_is_told_once(facade: _core.Facade) -> None:
    with polling(config_for(facade.port())) as running:
        running.until_read()
        ticket = running.poller.write(1, 100, array.array("H", [77]), 1_000)
        state, exception, sent_us, done_us, answer = running.outcome(ticket)
        assert (state, exception, answer) == ("done", None, [])
        assert sent_us is not None
        assert sent_us <= done_us
        assert [write[:3] for write in facade.take_writes()] == [(2, 100, 77)]
        running.until(lambda: running.poller.registers()[running.poller.offset(1) + 100] == 77)
        with pytest.raises(_core.CoreError, match="ticket"):
            running.poller.outcome(ticket)


def test_a_request_tells_what_was_answered_or_refused(facade: _core.Facade) -> None:
    with polling(config_for(facade.port())) as running:
        read = running.poller.request(2, bytes([3, 0, 5, 0, 2]), 1_000)
        assert running.outcome(read)[4] == [word(3, 5), word(3, 6)]
        beyond = running.poller.request(2, bytes([3, 0xFF, 0, 0, 2]), 1_000)
        assert running.outcome(beyond)[:2] == ("refused", 2)


def test_a_request_that_cannot_be_sent_expires(facade: _core.Facade) -> None:
    config = config_for(facade.port())
    facade.stop()
    with polling(config) as running:
        state, _, sent_us, _, _ = running.outcome(running.poller.write(0, 100, array.array("H", [1]), 50))
    assert (state, sent_us) == ("expired", None)


def test_nothing_is_sent_after_stop(facade: _core.Facade) -> None:
    with polling(config_for(facade.port())) as running:
        running.until_read()
        running.poller.stop()
        asked = facade.counters()["modbus_requests_total"]
        ticket = running.poller.write(0, 100, array.array("H", [5]), 60_000)
        assert running.poller.counters()["running"] == 0
        assert running.poller.outcome(ticket) is None
        assert facade.counters()["modbus_requests_total"] == asked
        running.poller.stop()
        with pytest.raises(_core.CoreError, match="started before"):
            running.poller.start()


def test_a_fleet_is_read_while_python_holds_the_interpreter(facade: _core.Facade) -> None:
    """The thread never needs the interpreter: every slot of two held seconds is read."""
    with polling(config_for(facade.port(), period_ms=50)) as running:
        running.until_read(2)
        before = running.poller.counters()
        hold_interpreter(2.0)
        after = running.poller.counters()
    assert after["polls_missed_total"] == before["polls_missed_total"]
    assert after["readings_total"] - before["readings_total"] >= 3 * 28, (
        "120 were due; counters are shown each half second"
    )


def use_in_child(poller: _core.Poller, connection: int) -> None:
    """Tells how many calls were refused in a forked process."""
    refused = 0
    for call in (poller.refresh, poller.registers, poller.stop, poller.fileno, poller.counters):
        try:
            call()
        except _core.CoreError as error:
            refused += "fork" in str(error)
    os.write(connection, bytes([refused]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_refused_and_the_parent_goes_on(facade: _core.Facade) -> None:
    with polling(config_for(facade.port())) as running:
        running.until_read()
        reader, writer = os.pipe()
        child = multiprocessing.get_context("fork").Process(target=use_in_child, args=(running.poller, writer))
        child.start()
        child.join(DEADLINE_S)
        assert child.exitcode == 0
        assert os.read(reader, 1) == bytes([5])
        os.close(reader)
        os.close(writer)
        running.until_read(running.stamp(0)["sequence"] + 2)


def test_a_poller_that_nobody_holds_ends_its_thread(facade: _core.Facade) -> None:
    poller = _core.Poller(config_for(facade.port()).SerializeToString())
    poller.start()
    Running(poller).until_read()
    del poller
    # Its clients leave; each had one connection.
    deadline = time.monotonic() + DEADLINE_S
    while facade.counters()["connections"] and time.monotonic() < deadline:
        os.sched_yield()
    assert facade.counters()["connections"] == 0


def recorded(port: int, path: Path) -> PollerConfig:
    """A run with a write, a refusal and a lost server, recorded."""
    config = config_for(port, period_ms=5)
    poller = _core.Poller(config.SerializeToString())
    poller.record(path)
    poller.start()
    running = Running(poller)
    running.until_read(20)
    running.outcome(poller.write(1, 100, array.array("H", [7]), 1_000))
    running.outcome(poller.request(1, bytes([3, 0xFF, 0, 0, 2]), 1_000))
    poller.stop()
    return config


def test_a_recorded_run_replays_bit_for_bit(facade: _core.Facade, tmp_path: Path) -> None:
    config = recorded(facade.port(), tmp_path / "run")
    summary = _core.replay(config.SerializeToString(), tmp_path / "run")
    assert (summary["mismatches"], summary["first_mismatch"], summary["is_whole"]) == (0, None, True)
    # Each request of 12 bytes was answered.
    assert summary["bytes_sent"] >= 12 * UNITS * 20
    assert summary["entries"] >= 2 * UNITS * 20
    assert _core.replay(config.SerializeToString(), tmp_path / "run") == summary


def test_a_recording_that_was_changed_is_found_at_its_entry(facade: _core.Facade, tmp_path: Path) -> None:
    config = recorded(facade.port(), tmp_path / "run")
    log = bytearray((tmp_path / "run").read_bytes())
    # The ids of the first connection come from the seed, which stands behind magic and configuration.
    log[16] ^= 1
    (tmp_path / "changed").write_bytes(log)
    summary = _core.replay(config.SerializeToString(), tmp_path / "changed")
    assert summary["mismatches"] > 0
    assert summary["first_mismatch"] is not None
    assert summary["first_mismatch"] < 30


def test_a_recording_ends_at_its_size_and_the_poller_goes_on(facade: _core.Facade, tmp_path: Path) -> None:
    config = config_for(facade.port(), period_ms=5).SerializeToString()
    poller = _core.Poller(config)
    poller.record(tmp_path / "run", 20_000)
    poller.start()
    running = Running(poller)
    running.until(lambda: poller.counters()["recording"] == 0)
    running.until_read(running.stamp(0)["sequence"] + 5)
    poller.stop()
    assert (tmp_path / "run").stat().st_size < 20_100
    summary = _core.replay(config, tmp_path / "run")
    assert (summary["mismatches"], summary["is_whole"]) == (0, False)
    assert summary["entries"] > 100


def test_a_recording_is_refused_where_it_cannot_begin(facade: _core.Facade, tmp_path: Path) -> None:
    config = config_for(facade.port()).SerializeToString()
    poller = _core.Poller(config)
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(FileExistsError):
        poller.record(tmp_path / "taken")
    with pytest.raises(_core.CoreError, match="bytes_max"):
        poller.record(tmp_path / "run", 0)
    poller.start()
    with pytest.raises(_core.CoreError, match="before start"):
        poller.record(tmp_path / "run")
    poller.stop()
    (tmp_path / "other").write_bytes(b"x" * 100)
    with pytest.raises(_core.CoreError, match="no log"):
        _core.replay(config, tmp_path / "other")


def line(**fields: int | str) -> PollerLine:
    """A line with one device and one read, overridden field by field as `device.unit_id` and `read.count`."""
    found = PollerLine(host=HOST, port=502)
    device = found.devices.add(unit_id=1)
    read = device.reads.add(table=RegisterTable.HOLDING, count=1, period_ms=100)
    for name, value in fields.items():
        part, _, field = name.rpartition("__")
        setattr({"": found, "device": device, "read": read}[part], field, value)
    return found


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        (line(host=""), "lines[0].host"),
        (line(port=0), "lines[0].port"),
        (line(window_max=65), "lines[0].window_max"),
        (line(gap_us=-1), "lines[0].gap_us"),
        (line(timeout_ms=-1), "lines[0].timeout_ms"),
        (line(device__unit_id=256), "lines[0].devices[0].unit_id"),
        (line(read__table=0), "lines[0].devices[0].reads[0].table"),
        (line(read__address=65_536), "lines[0].devices[0].reads[0].address"),
        (line(read__count=126), "lines[0].devices[0].reads[0].count"),
        (line(read__address=65_535, read__count=2), "lines[0].devices[0].reads[0].count"),
        (line(read__period_ms=-1), "lines[0].devices[0].reads[0].period_ms"),
        (line(read__phase_ms=101), "lines[0].devices[0].reads[0].phase_ms"),
        (line(read__age_max_ms=-1), "lines[0].devices[0].reads[0].age_max_ms"),
    ],
)
def test_a_configuration_is_refused_by_the_place_of_its_fault(bad: PollerLine, place: str) -> None:
    with pytest.raises(_core.CoreError) as refused:
        _core.Poller(PollerConfig(lines=[bad]).SerializeToString())
    assert place in str(refused.value)
    assert "expected" in str(refused.value)


def test_what_does_not_exist_is_refused_by_number() -> None:
    poller = _core.Poller(PollerConfig(lines=[line()]).SerializeToString())
    with pytest.raises(_core.CoreError, match="device index: found 1"):
        poller.offset(1)
    with pytest.raises(_core.CoreError, match="read index: found 3"):
        poller.row(0, 3)
    with pytest.raises(_core.CoreError, match="pdu"):
        poller.request(0, b"\x63", 100)
    with pytest.raises(_core.CoreError, match="1 to 123"):
        poller.write(0, 0, array.array("H", [0] * 124), 100)
    with pytest.raises(_core.CoreError, match="deadline_ms"):
        poller.write(0, 0, array.array("H", [0]), 0)
    with pytest.raises(BufferError):
        poller.write(0, 0, array.array("q", [0]), 100)
    with pytest.raises(_core.CoreError, match="PollerConfig"):
        _core.Poller(b"\xff\xff\xff")
