"""Flow reservation at the simulated utility: what a script grants, as events in a list, and requests that change.

    - {when: {post: frq}, do: [{grant: {name: g, request: 1, power_w: 20000, energy_wh: 5000, duration_s: 900}}]}
    - {when: {after_s: 60}, do: [{cancel: {control: g}}]}          or supersede, as with controls

`request` counts what the client has asked for, from 1; absent: the newest. Positive charges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dgm.sim.utility.xml import active_power, element, nest

if TYPE_CHECKING:
    from dgm.sim.utility.state import State

LISTED_AFTER_END_S = 60


@dataclass(slots=True, kw_only=True)
class Grant:
    """One FlowReservationResponse. cancel_status: 2 or 3; superseded_s: when it became 4."""

    mrid: str
    subject: str
    creation_s: int
    start_s: int
    duration_s: int
    power_w: int
    energy_wh: int
    cancel_s: int | None = None
    cancel_status: int = 2
    superseded_s: int | None = None

    def status(self, now_s: int) -> int:
        """EventStatus.currentStatus."""
        if self.cancel_s is not None:
            return self.cancel_status
        return 4 if self.superseded_s is not None else int(now_s >= self.start_s)

    def is_listed(self, now_s: int) -> bool:
        """From its creation to a while after its end."""
        return self.creation_s <= now_s < self.start_s + self.duration_s + LISTED_AFTER_END_S


def items(grants: Mapping[str, Grant], now_s: int) -> list[str]:
    """The list of grants."""
    listed = sorted((grant for grant in grants.values() if grant.is_listed(now_s)), key=lambda grant: grant.start_s)
    return [_item(grant, now_s) for grant in listed]


def _item(grant: Grant, now_s: int) -> str:
    return nest(
        "FlowReservationResponse",
        element("mRID", grant.mrid),
        element("creationTime", grant.creation_s),
        nest(
            "EventStatus",
            element("currentStatus", grant.status(now_s)),
            element("dateTime", grant.cancel_s or grant.superseded_s or grant.creation_s),
            element("potentiallySuperseded", "false"),
        ),
        nest("interval", element("duration", grant.duration_s), element("start", grant.start_s)),
        active_power("energyAvailable", grant.energy_wh),
        active_power("powerAvailable", grant.power_w),
        element("subject", grant.subject),
        href=f"/grant/{grant.mrid}",
    )


def grant(state: State, now_s: int, mrid: str, item: Mapping[str, Any]) -> Grant:
    """What a script grants. IndexError, KeyError: it grants what was not asked for, or lacks something."""
    subject = state.requests[int(item.get("request", 0)) - 1]
    return Grant(
        mrid=mrid,
        subject=subject,
        creation_s=now_s,
        start_s=now_s + int(item.get("start_in_s", 0)),
        duration_s=int(item["duration_s"]),
        power_w=int(item["power_w"]),
        energy_wh=int(item["energy_wh"]),
    )
