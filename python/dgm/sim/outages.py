"""CSMSs that go away and come back in the virtual world, and what must be true of the bills then.

    gone ──> LegDown(NORTH), frames on the way are lost ──> back ──> dialled again ──> LegUp(NORTH)
    Bills: what a station sent and was answered, against what its CSMS booked

Each station has policy island or store, drawn from the seed; the disk takes a while, and now and then refuses.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from dgm.machine import Now
from dgm.ocpp import events as ocpp
from dgm.ocpp.ledger import NO_TRANSACTION
from dgm.ocpp.outage_rules import BILLING, Policy, Stage

if TYPE_CHECKING:
    from dgm.sim.line import Line
    from dgm.sim.world import World

MEAN_MS = 700_000
AWAY_MS = (2_000.0, 180_000.0)
REDIAL_MS = (500.0, 30_000.0)
DISK_MS = (1.0, 40.0)
DISK_FAILS_ONE_IN = 200

POLICIES = (Policy.ISLAND, Policy.STORE)


class Bills:
    """What one station told of its transactions, and what became of it. A message is known by what it says."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answered: set[str] = set()
        self._open: dict[str, str] = {}

    def station_sent(self, raw: bytes) -> None:
        """A frame of the station."""
        match json.loads(raw):
            case [2, message_id, action, payload] if action in BILLING and not is_asked_for(payload):
                self._open[message_id] = content(action, payload)
                self.sent.append(self._open[message_id])

    def station_got(self, raw: bytes) -> None:
        """A frame for the station."""
        match json.loads(raw):
            case [3, message_id, _] if message_id in self._open:
                self.answered.add(self._open.pop(message_id))

    def faults(self, booked: list[tuple[str, dict[str, object]]]) -> list[str]:
        """What is wrong with what the CSMS booked in the end."""
        found = [content(action, payload) for action, payload in booked if not is_asked_for(payload)]
        sent, counts = Counter(self.sent), Counter(found)
        lost = [one for one in self.answered if one not in counts]
        invented = [one for one in counts if counts[one] > sent[one]]
        order = list(dict.fromkeys(found))
        wanted = [one for one in dict.fromkeys(self.sent) if one in counts]
        faults = [f"answered and never booked: {one}" for one in lost[:1]]
        faults += [f"booked {counts[one]} times and sent {sent[one]}: {one}" for one in invented[:1]]
        return faults + (["booked in another order"] if order != wanted else [])


def is_asked_for(payload: dict[str, object]) -> bool:
    """A reading that a TriggerMessage has caused, and perhaps ours: nobody bills by it."""
    return '"Trigger"' in json.dumps(payload)


def content(action: str, payload: dict[str, object]) -> str:
    """What a billing message says, whatever the transaction's id on this side, and whether it had to wait."""
    said = {name: value for name, value in payload.items() if name not in ("transactionId", "offline")}
    return f"{action} {json.dumps(said, sort_keys=True)}"


class CsmsOutages:
    """Plans and carries out the outages of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def plan(self) -> None:
        """Each CSMS goes away now and then; they differ, for a CPO's stations do not notice at the same time."""
        for line in self._world.lines:
            self._world.at_random(MEAN_MS, partial(self._drawn, line))

    def _drawn(self, line: Line) -> None:
        if line.is_csms_there:
            self._world.count("csms outages")
            self.goes(line, self._world.draw.uniform(*AWAY_MS))

    def goes(self, line: Line, for_ms: float | None) -> None:
        """A CSMS is gone; it comes back after for_ms, None: not by itself."""
        if not line.is_csms_there:
            return
        world = self._world
        world.note(f"the CSMS of {line.id} is away")
        line.is_csms_there = False
        self.cut_north(line)
        if line.is_up:
            world.fleet.tell(line, ocpp.LegDown(leg=ocpp.Leg.NORTH))
        if for_ms is not None:
            world.after(for_ms, partial(self.comes, line))

    def cut_north(self, line: Line) -> None:
        """What is between gateway and CSMS is lost."""
        line.north_epoch += 1
        line.due_south.clear()

    def comes(self, line: Line) -> None:
        """A CSMS is there again; it is dialled a while later."""
        if line.is_csms_there:
            return
        line.is_csms_there = True
        self._world.note(f"the CSMS of {line.id} is back")
        self._world.after(self._world.draw.uniform(*REDIAL_MS), partial(self._dialled, line, line.north_epoch))

    def _dialled(self, line: Line, north_epoch: int) -> None:
        if line.is_up and line.is_csms_there and line.north_epoch == north_epoch and not line.session.has_csms:
            self._world.fleet.tell(line, ocpp.LegUp(leg=ocpp.Leg.NORTH))

    def write(self, line: Line, effect: ocpp.WriteBooks) -> None:
        """The disk, which takes changes in their order."""
        world = self._world
        is_good = world.is_healing or world.draw.randrange(DISK_FAILS_ONE_IN) != 0
        world.count("disk writes" if is_good else "disk failures")
        line.disk_ms = max(line.disk_ms, world.now.mono_ms + round(world.draw.uniform(*DISK_MS)))
        done = partial(self._written, line, effect, world.fleet.life, is_good)
        world.after(line.disk_ms - world.now.mono_ms, done)

    def _written(self, line: Line, effect: ocpp.WriteBooks, life: int, is_good: bool) -> None:
        """The disk has done it, and it stays; the role that asked may have died meanwhile."""
        if life != self._world.fleet.life:
            return
        if is_good:
            for change in effect.changes:
                line.disk.apply(change)
        self._world.fleet.tell(line, ocpp.BooksWritten(token=effect.token, is_good=is_good))

    def faults(self, line: Line, now: Now) -> list[str]:
        """What must be over when the world has healed."""
        outage = line.session.outage
        assert outage is not None, "made by us"
        found = [] if line.session.has_csms else ["its CSMS is not back"]
        if outage.stage is not Stage.LIVE or outage.books.messages:
            found.append(f"{outage.stage.value} with {len(outage.books.messages)} messages at {now.mono_ms}")
        named = {payload["transactionId"] for _, payload in line.csms.booked if "transactionId" in payload}
        strange = named - line.csms.given - {NO_TRANSACTION}
        found += [f"transactions that the CSMS never gave: {strange}"] if strange else []
        return found + line.bills.faults(line.csms.booked)
