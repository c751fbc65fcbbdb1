"""How `make bench` shows the micro benchmarks: few columns, half a second each; in a group the fastest stands first.

The figure in brackets behind each time is its multiple of the fastest of its group.
"""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Runs before the benchmark session reads its options."""
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    config.option.benchmark_max_time = "0.5"
    config.option.benchmark_sort = "median"
