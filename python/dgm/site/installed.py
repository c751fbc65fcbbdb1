"""Rule C15 of `dgm check`: what is installed in the stations of a running site, against what site.yaml plans.

    fallback_ma of each EVSE (plan)  ──compare──  floor that the gateway has proved by reading it back (installed)

Without a running gateway nothing is known, and nothing is blamed: a file alone cannot say what a station holds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dgm.api.config.v1.config_pb2 import DgmConfig, EvseConfig
from dgm.site.finding import RuleRow, State, kilo

START = "start the site, let its stations connect, check again"
NAMES_MAX = 5


def installed_rows(config: DgmConfig, installed: Mapping[str, int | None] | None) -> Iterator[RuleRow]:
    """C15: each EVSE that differs; one row for those that are not proved, one for all that hold."""
    evses = [evse for station in config.stations for evse in station.evses]
    if not evses:
        return
    if installed is None:
        yield _row(State.UNSTATED, config.site.id, "no gateway of this site runs", "a running gateway", action=START)
        return
    unproved = [evse for evse in evses if installed.get(evse.id) is None]
    proved = [(evse, found) for evse in evses if (found := installed.get(evse.id)) is not None]
    for evse, found_ma in proved:
        if found_ma != evse.fallback_ma:
            yield _differs(evse, found_ma)
    if unproved:
        names = ", ".join(evse.id for evse in unproved[:NAMES_MAX])
        more = f" and {len(unproved) - NAMES_MAX} more" if len(unproved) > NAMES_MAX else ""
        action = "see `dgm stations` for their links and modes; each counts at its nameplate until then"
        expected = "a floor proved in each"
        yield _row(State.WARNING, f"{len(unproved)} EVSEs", f"not proved: {names}{more}", expected, action=action)
    elif all(found_ma == evse.fallback_ma for evse, found_ma in proved):
        yield _row(State.HOLDS, config.site.id, f"{len(proved)} floors proved as planned", "all of them")


def _differs(evse: EvseConfig, found_ma: int) -> RuleRow:
    """More than planned breaks the fallback proof, which counts on the plan; less is safe and still not the plan."""
    state = State.BROKEN if found_ma > evse.fallback_ma else State.WARNING
    action = "restart the gateway with this site.yaml: it installs and proves the floor anew"
    return _row(state, evse.id, kilo(found_ma, "mA"), f"{kilo(evse.fallback_ma, 'mA')} (fallback_ma)", action=action)


def _row(state: State, where: str, found: str, expected: str, *, action: str = "") -> RuleRow:
    return RuleRow(rule="C15", state=state, where=where, found=found, expected=expected, action=action)
