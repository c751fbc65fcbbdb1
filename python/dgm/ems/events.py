"""What the ems machine takes and what it asks to be done: requests, reports and decisions in; effects out, in order.

No behaviour stands here: `cycle` handles the events, the shell (`service.role`) runs the effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from dgm.api.ems.v1.ems_pb2 import (
    DeleteLimitRequest,
    DeleteTargetRequest,
    PutLimitRequest,
    PutTargetRequest,
    ReportOutcomesRequest,
)
from dgm.api.ems.v1.policy_pb2 import (
    ClearChargingNeedRequest,
    PutFlowBlocksRequest,
    PutPricesRequest,
    ReportGuardRequest,
    SetChargingNeedRequest,
)
from dgm.api.site.v1.site_pb2 import ReportSamplesRequest
from dgm.ems.limits import Forget, Keep
from dgm.ems.planner.problem import Plan, Problem
from dgm.machine import Tick
from dgm.site.refusal import Refusal
from dgm.site.state import Reading

Row = tuple[int | None, ...]
"""One row of a column block of the core; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreDecided:
    """The core has published a tick: core.v1.Decision bytes, and the newest readings of Modbus assets by index."""

    decision: bytes
    readings: Sequence[tuple[int, Reading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The process that solves has answered, or why it has not."""

    answer: Plan | str


@dataclass(frozen=True, slots=True)
class SubscriberHeard:
    """A subscriber of WatchSetpoints is there and takes what it is sent."""


Event = (
    PutLimitRequest
    | DeleteLimitRequest
    | PutTargetRequest
    | DeleteTargetRequest
    | ReportSamplesRequest
    | ReportOutcomesRequest
    | SetChargingNeedRequest
    | ClearChargingNeedRequest
    | ReportGuardRequest
    | PutPricesRequest
    | PutFlowBlocksRequest
    | CoreDecided
    | SubscriberHeard
    | Planned
    | Tick
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimits:
    """core.v1.LimitSet for the core: replaces all limits put before."""

    limits: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTargets:
    """Rows (want, weight, stratum, want_reason, keeps_on), one per asset."""

    rows: Sequence[Row]
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSamples:
    """Rows (asset_index, age_ms, plug_state, power_w, i1_ma, i2_ma, i3_ma, soc_permille, energy_wh)."""

    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcomes:
    """Rows (asset_index, sequence, state, value_ma, fallback_ma)."""

    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLink:
    """Whether the ocpp role is heard."""

    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvePlan:
    """A plan is wanted, off the cycle: the answer, or why there is none, comes back as Planned."""

    problem: Problem
    deadline_s: int


@dataclass(frozen=True, slots=True)
class PublishSetpoints:
    """Subscribers of WatchSetpoints have something to read."""


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """Watchers of WatchLimits have something to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer to the request of this event; comes after everything that must be durable first."""

    message: Message | Refusal


Effect = (
    Keep
    | Forget
    | SendLimits
    | SendTargets
    | SendSamples
    | SendOutcomes
    | SendLink
    | SolvePlan
    | PublishSetpoints
    | PublishLimits
    | Reply
)
