"""Transformers of a site: what may hang below one, and what its lines carry at worst with nobody alive.

    EVSE on two phases: line to line; on one or three: line to neutral ──> currents of L1 to L3 towards the circuit
    ──> towards the grid: the same over turns (wye), differences of two of them over turns (delta)

Currents are u + v x (1 at +120 degrees) per mA, as in dgm_core/src/arbiter/transformer.rs, which decides by them while
the site runs; this is the same reckoning for `dgm check`. What it does not do: anything in force, anything measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import isqrt

from dgm.api.config.v1.config_pb2 import CircuitConfig, DgmConfig, EvseConfig, TransformerConfig, Winding
from dgm.api.site.v1.site_pb2 import AssetType, Phase

LIMIT_MA_MAX = 20_000_000
TURNS_PERMILLE_MAX = 200_000
TURNS_PERMILLE = 1_000
PHASES = (Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3)
ANGLES = ((1, 0), (-1, -1), (0, 1))
"""u, v of L1, L2, L3, and of L1 L2, L2 L3, L3 L1 where all are between lines."""
ROOT_3_PPM = 1_732_051

Phasor = tuple[int, int]
Finding = tuple[str, str, str]


def findings(config: DgmConfig, circuit: CircuitConfig, below: set[str], path: str) -> Iterator[Finding]:
    """What is wrong with the transformer of a circuit; `below`: ids of the circuits at or under it."""
    transformer = circuit.transformer
    if transformer.supply not in (Winding.WINDING_DELTA, Winding.WINDING_WYE):
        yield f"{path}.supply", "nothing", "DELTA or WYE, the winding towards the grid"
    limits = [name for name in ("load_limit_ma", "supply_limit_ma") if transformer.HasField(name)]
    if not limits:
        yield f"{path}.load_limit_ma", "nothing", "mA per line: load_limit_ma, supply_limit_ma or both"
    for name in limits:
        if not 0 < getattr(transformer, name) <= LIMIT_MA_MAX:
            yield f"{path}.{name}", str(getattr(transformer, name)), f"1..{LIMIT_MA_MAX} mA"
    if not 0 <= transformer.turns_permille <= TURNS_PERMILLE_MAX:
        yield f"{path}.turns_permille", str(transformer.turns_permille), f"1..{TURNS_PERMILLE_MAX}"
    if not circuit.HasField("max_uncontrolled_w"):
        yield f"{path}", "no max_uncontrolled_w", "W of load below it that nobody controls, 0 if there is none"
    yield from _below(config, below, path)


def without(config: DgmConfig, fed: set[str]) -> Iterator[Finding]:
    """EVSEs between two lines that no transformer is configured for; `fed`: circuits that one feeds."""
    for at, station in enumerate(config.stations):
        for index, evse in enumerate(station.evses):
            if len(evse.phases) == 2 and evse.circuit not in fed:
                path = f"stations[{at}].evses[{index}].phases"
                yield path, "two phases", "one phase or three; two (line to line) only below a transformer"


def _below(config: DgmConfig, below: set[str], path: str) -> Iterator[Finding]:
    kinds = {AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY}
    for asset in config.assets:
        if asset.circuit in below and asset.type in kinds:
            yield path, f"{asset.id} below it", "no PV and no battery below a transformer"
    evses = [evse for station in config.stations for evse in station.evses if evse.circuit in below]
    yield from ((path, f"{e.id} below it", "no V2X EVSE below a transformer") for e in evses if e.discharge_max_ma > 0)
    between = [evse for evse in evses if len(evse.phases) == 2]
    if between and len(between) < len(evses):
        other = next(evse for evse in evses if len(evse.phases) != 2)
        yield (
            path,
            f"{between[0].id} on two phases and {other.id} on {len(other.phases) or 3}",
            "below one transformer EVSEs on two phases (line to line) or others (line to neutral), not both",
        )


def sides(transformer: TransformerConfig) -> Iterator[tuple[str, int, int, bool]]:
    """Side, limit in mA, turns x 1000 between it and the circuit, whether its lines are differences of two."""
    turns = transformer.turns_permille or TURNS_PERMILLE
    if transformer.HasField("load_limit_ma"):
        yield "load", transformer.load_limit_ma, 1_000, False
    if transformer.HasField("supply_limit_ma"):
        yield "supply", transformer.supply_limit_ma, turns, transformer.supply == Winding.WINDING_DELTA


def load_ma(load_w: int, volts_mv: int, *, turns: int, is_difference: bool) -> int:
    """mA of a line by balanced load of so many W, rounded up."""
    per_phase = -(-load_w * 1_000_000 // (3 * volts_mv))
    taken = -(-per_phase * ROOT_3_PPM // 1_000_000) if is_difference else per_phase
    return -(-taken * 1_000 // turns)


def worst_ma(evses: Iterable[tuple[EvseConfig, int]], slot: int, *, turns: int, is_difference: bool) -> int:
    """The most that EVSEs at or below these currents draw from line `slot` (0..2), mA, rounded up."""
    totals: dict[Phasor, int] = {}
    for evse, current_ma in evses:
        currents = _contribution(evse)
        u, v = currents[slot]
        if is_difference:
            before = currents[(slot + 2) % 3]
            u, v = u - before[0], v - before[1]
        if (u, v) != (0, 0):
            totals[u, v] = totals.get((u, v), 0) + current_ma
    squares = [_square(totals, drawn) for drawn in product((0, 1), repeat=len(totals))]
    most = max(squares)
    root = isqrt(most)
    return -(-(root + (root * root < most)) * 1_000 // turns)


def _square(totals: dict[Phasor, int], drawn: tuple[int, ...]) -> int:
    along = sum(u * total * on for ((u, _), total), on in zip(totals.items(), drawn, strict=True))
    across = sum(v * total * on for ((_, v), total), on in zip(totals.items(), drawn, strict=True))
    return along * along - along * across + across * across


def _contribution(evse: EvseConfig) -> list[Phasor]:
    """Of 1 mA to the currents of L1 to L3 towards the circuit."""
    wired = [not evse.phases or phase in evse.phases for phase in PHASES]
    if sum(wired) != 2:
        return [angle if on else (0, 0) for angle, on in zip(ANGLES, wired, strict=True)]
    first = next(slot for slot in range(3) if wired[slot] and wired[(slot + 1) % 3])
    currents: list[Phasor] = [(0, 0)] * 3
    currents[first] = ANGLES[first]
    currents[(first + 1) % 3] = (-ANGLES[first][0], -ANGLES[first][1])
    return currents
