"""The form of every judgement: what was measured against what bound, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the verdict. `measured` and `bound` are for people; `detail` names the first fault found."""

    name: str
    passed: bool
    measured: str
    bound: str
    detail: str = ""
