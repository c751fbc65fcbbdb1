"""Modbus lines as series and in the log: by line, in Prometheus' units, told once when one is over and once after."""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from dgm.ems.service.lines import HELP, LinesCollector, LineWatch


def figures(**given: int) -> dict[str, int]:
    return dict.fromkeys(HELP, 0) | given


def test_every_figure_is_a_series_of_its_line_in_the_units_of_prometheus() -> None:
    registry = CollectorRegistry()
    lines = {"/dev/ttyS0 at 9600 baud": figures(used_permille=915, late_total=7, write_wait_us_max=289_000, silent=1)}
    registry.register(LinesCollector(lambda: lines))
    label = {"line": "/dev/ttyS0 at 9600 baud"}
    assert registry.get_sample_value("dgm_line_used_ratio", label) == 0.915
    assert registry.get_sample_value("dgm_line_late_total", label) == 7
    assert registry.get_sample_value("dgm_line_write_wait_seconds_max", label) == 0.289
    assert registry.get_sample_value("dgm_line_silent", label) == 1


def test_a_core_that_has_not_ticked_yet_has_no_series() -> None:
    registry = CollectorRegistry()
    registry.register(LinesCollector(dict))
    assert registry.get_sample_value("dgm_line_used_ratio", {"line": "a"}) is None


def test_a_line_that_is_over_is_told_once_and_once_when_it_is_no_more() -> None:
    with capture_logs() as logs:
        watch = LineWatch(structlog.get_logger())
        looks = [{}, {"over_permille": 52}, {"over_permille": 60}, {"over_us": 3_500}, {}, {}, {"unproved": 1}]
        for look in looks:
            watch.look({"a": figures(**look), "b": figures()})
    told = [(entry["log_level"], entry["line"], entry.get("over")) for entry in logs]
    full = "unknown, so close to full that nothing is proved"
    assert told == [("warning", "a", "5.2 % of the line"), ("info", "a", None), ("warning", "a", full)]
