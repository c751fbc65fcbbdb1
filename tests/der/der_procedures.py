"""The public client procedures as data, how each is run, and what the judge says of it.

procedures.yaml ──> Procedure ──der_joined──> records ──judge──> faults (empty: passed)
runner.yaml ──what the public runner said──┴──> table() ──> procedures/TABLE.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from der_joined import ZERO_MS, Joined, SitePlant, joined

from dgm.sim.utility import judge

HERE = Path(__file__).parent / "procedures"
TABLE = HERE / "TABLE.md"
IDS = 86
READ = ("steps", "expect", "minutes", "programs", "not_done")
"""Keys of the file that are not taken over as they are."""

HEAD = """# The public CACTUS client procedures and DGM

CACTUS test definitions 1.18.2 hold 86 client procedures. "by vector": its steps, in our own words in
`procedures.yaml`, were played by the simulated utility against the gateway's core in virtual time, and what the client
sent was judged (the conversation, its bodies against the schemas, and what the EMS was told to hold; the plant obeys at
once, so how inverters follow is not judged here). "fails": there is a vector, and the part named is missing. "not run":
there is no vector. "by runner": the public CACTUS runner itself, with its reference server, played the procedure
against the gateway's conversation in real time over mutual TLS (`bench/cactus_rig.py`) and passed it; `runner.yaml`
says in which versions, and what it did not pass. Written by `tests/der/der_procedures.py`; do not edit.

| id | procedure | state | why, or what the vector leaves out |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """One procedure. fails: what is missing for it; not_run: why there is no vector."""

    name: str
    title: str
    steps: tuple[Mapping[str, Any], ...] = ()
    expect: tuple[Mapping[str, Any], ...] = ()
    for_s: int = 0
    rate_s: int = 60
    plant: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    restart: Mapping[str, int] | None = None
    not_done: tuple[int, ...] = ()
    fails: str = ""
    not_run: str = ""
    note: str = ""


@cache
def procedures() -> tuple[Procedure, ...]:
    """All of them, in the order of the file."""
    items = yaml.safe_load((HERE / "procedures.yaml").read_text(encoding="utf-8"))["procedures"]
    return tuple(_procedure(name, item, items) for name, item in items.items())


def _procedure(name: str, item: Mapping[str, Any], items: Mapping[str, Any]) -> Procedure:
    if "like" in item:
        model = _replaced(items[item["like"]], item["replace"])
        return _procedure(name, {**model, "title": item["title"]}, items)
    more = {
        key: value for key, value in item.items() if key not in ("steps", "expect", "minutes", "programs", "not_done")
    }
    steps = [step for part in item.get("steps", ()) for step in part]
    steps = [*_programs(item.get("programs", {})), *steps]
    expect = list(item.get("expect", ()))
    if "minutes" in item:
        steps, expect = _schedule(item["minutes"], steps, expect)
    return Procedure(
        name=name, steps=tuple(steps), expect=tuple(expect), not_done=tuple(item.get("not_done", ())), **more
    )


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    """The same with other names, of modes for example."""
    if isinstance(value, Mapping):
        return {names.get(key, key): _replaced(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def _programs(groups: Mapping[str, Mapping[str, int]]) -> Iterator[Mapping[str, Any]]:
    number, made = 0, []
    for fsa, group in groups.items():
        for _ in range(group["count"]):
            number += 1
            made.append({"program": {"name": str(number), "primacy": group["primacy"], "fsa": fsa}})
    if made:
        yield {"do": made}


def _schedule(percents: list[int], steps: list[Any], expect: list[Any]) -> tuple[list[Any], list[Any]]:
    """A control of a minute for each number, each that part of what the plant can do; the first step makes them."""
    made = []
    for index, percent in enumerate(percents):
        modes = {"opModExpLimW": percent * 1000, "opModImpLimW": percent * 1000}
        item = {"name": f"m{index}", "program": "1", "start_in_s": 60 * index, "duration_s": 60, "modes": modes}
        made.append({"control": item})
        expect.append({"held": {"step": 1, "after_s": 60 * index + 30, "modes": modes}})
    expect.append({"responses": {f"m{index}": [1, 2, 3] for index in range(len(percents))}})
    first = {**steps[0], "do": [*steps[0]["do"], *made]}
    return [first, *steps[1:]], expect


def run(procedure: Procedure) -> Joined:
    """Play a procedure to its end."""
    powers = {key: tuple(value) if isinstance(value, list) else value for key, value in procedure.plant.items()}
    plant = SitePlant(**powers)
    world = joined([dict(step) for step in procedure.steps], plant=plant, rate_s=procedure.rate_s, **procedure.options)
    if procedure.restart is not None:
        world.run(procedure.restart["at_s"])
        world.cut = True
        world.restart()
        world.run(procedure.restart["at_s"] + procedure.restart["cut_s"])
        world.cut = False
    return world.run(procedure.for_s)


def verdict(procedure: Procedure, world: Joined) -> list[str]:
    """Everything that is wrong with a run; empty: passed."""
    director = world.server.director
    wanted = len(procedure.steps) - len(procedure.not_done)
    found = list(world.xml_faults[:5]) + judge.valid(world.server.records)
    if director.done < wanted:
        found.append(f"step {director.done + 1} was never reached: {procedure.steps[director.done].get('when')}")
        return found
    for item in procedure.expect:
        for kind, wish in item.items():
            found += _CHECKS[kind](world, wish)
    return found


def _step_s(world: Joined, step: int) -> float:
    """When a step was done, s since the start; step 0: the start."""
    return (world.server.director.times_ms[step - 1] - ZERO_MS) / 1000 if step else 0


def _window(world: Joined, wish: Mapping[str, Any]) -> dict[str, int]:
    begin_ms = ZERO_MS + round(_step_s(world, wish.get("step", 0)) * 1000)
    return {"from_ms": begin_ms, "to_ms": begin_ms + wish["to_s"] * 1000}


def _polls(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    window = _window(world, wish)
    records, every_s = world.server.records, wish["every_s"]
    return [fault for name in wish["names"] for fault in judge.polls(records, name, every_s=every_s, **window)]


def _held(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    at_s = _step_s(world, wish["step"]) + wish["after_s"]
    held = world.held_at(at_s)
    if wish["modes"] and all(held.get(mode) == power_w for mode, power_w in wish["modes"].items()):
        return []
    return [] if held == wish["modes"] else [f"held at {at_s} s: {held}; expected {wish['modes']}"]


def _within(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    begin_s = ZERO_MS // 1000 + _step_s(world, wish["step"])
    times = {"start_s": int(begin_s + wish["from_s"]), "end_s": int(begin_s + wish["to_s"])}
    return judge.within(world.server.records, wish["name"], low=wish["low"], high=wish["high"], **times)


def _requests(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    window = _window(world, {**wish, "to_s": 10**7})
    names = (wish["name"], f"gone {wish['name']}")
    count = sum(len(judge.asked(world.server.records, name, **window)) for name in names)
    least, most = wish.get("least", 0), wish["most"]
    return [] if least <= count <= most else [f"{wish['name']}: {count} requests; expected {least}..{most}"]


def _ramp(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    wanted = {"mode": wish["mode"], "ms": wish["ms"]}
    return [] if wanted in world.ramps else [f"ramps {world.ramps}; expected {wanted}"]


def _gapless(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    begin_ms = _step_s(world, wish["step"]) * 1000 + 1000
    end_ms = begin_ms + wish["until_s"] * 1000
    seen = [bounds.get(wish["mode"]) for at_ms, bounds in world.held if begin_ms < at_ms < end_ms]
    return [f"{wish['mode']}: {seen} between events"] if wish["not_w"] in seen or None in seen else []


def _prices(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    """What each component costs, in millionths by block; at_s since the start, else at any time."""
    wanted = {
        world.server.state.groups["t"].components[name]["mrid"]: blocks
        for name, blocks in wish.items()
        if name != "at_s"
    }
    seen = world.prices
    if "at_s" in wish:
        seen = [(at_ms, prices) for at_ms, prices in seen if at_ms <= wish["at_s"] * 1000][-1:]
    return [] if any(prices == wanted for _, prices in seen) else [f"prices {seen}; expected {wanted}"]


def _wanted(world: Joined, wish: Mapping[str, Any]) -> list[str]:
    at_ms = (_step_s(world, wish["step"]) + wish["after_s"]) * 1000
    modes = next((modes for since_ms, modes in reversed(world.wanted) if since_ms <= at_ms), ())
    return [] if wish["mode"] in modes else [f"targets of {modes} at {at_ms / 1000} s; expected {wish['mode']}"]


_CHECKS = {
    "responses": lambda world, wish: judge.responses(world.server.records, wish),
    "before": lambda world, wish: judge.is_before(world.server.records, tuple(wish[0]), tuple(wish[1])),
    "put": lambda world, wish: judge.contents(world.server.records, *wish),
    "readings": lambda world, wish: judge.readings(world.server.records, **wish),
    "polls": _polls,
    "held": _held,
    "within": _within,
    "requests": _requests,
    "ramp": _ramp,
    "gapless": _gapless,
    "prices": _prices,
    "wanted": _wanted,
}


def by_runner() -> dict[str, dict[str, str]]:
    """What the public runner said: `passed`: version of CSIP-AUS by procedure; `failed`: why, by procedure."""
    found: dict[str, dict[str, str]] = yaml.safe_load((HERE / "runner.yaml").read_text(encoding="utf-8"))
    return found


def table() -> str:
    """TABLE.md."""
    passed, failed = by_runner()["passed"], by_runner()["failed"]
    rows = []
    for item in procedures():
        remarks = [item.fails or item.not_run or item.note]
        remarks += [f"runner: {failed[item.name]}"] if item.name in failed else []
        state = _state(item) + (f", by runner ({passed[item.name]})" if item.name in passed else "")
        rows.append(f"| {item.name} | {item.title} | {state} | {'; '.join(filter(None, remarks))} |")
    counts = [sum(_state(item) == state for item in procedures()) for state in ("by vector", "fails", "not run")]
    total = f"\nBy vector {counts[0]}, fails {counts[1]}, not run {counts[2]}; by runner {len(passed)}.\n"
    return HEAD + "\n".join(rows) + "\n" + total


def _state(item: Procedure) -> str:
    return "not run" if item.not_run else "fails" if item.fails else "by vector"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
