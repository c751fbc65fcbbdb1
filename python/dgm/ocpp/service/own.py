"""The gateway's own identities towards CSMSs, and what each is told: the site's limit for the stations of its CPO.

    evses of a CPO ──every SUM_S──> Limited (W allowed, W of their plates) ──> OwnLine ──> CSMS

What an EVSE is allowed is its setpoint, or its fallback when there is none. Only for CPOs for which site.yaml names an
identity; never on a station's own connection.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from dgm import __version__
from dgm.api.config.v1.config_pb2 import CpoConfig, DgmConfig
from dgm.api.ocpp.v1 import ocpp_pb2
from dgm.ocpp.evse import Evse
from dgm.ocpp.gateway.own import OwnLine, OwnMetrics, run_all
from dgm.ocpp.gateway.security import own_authorization, own_tls
from dgm.ocpp.notice import Limited
from dgm.ocpp.own_identity import OwnIdentity
from dgm.ocpp.session import Session

SUM_S = 1.0


class OwnIdentities:
    """See the module; with none configured it has nothing to do."""

    def __init__(
        self, config: DgmConfig, base_dir: Path, registry: CollectorRegistry, sessions: Iterable[Session]
    ) -> None:
        metrics = OwnMetrics(registry)
        self._lines = {cpo.id: _line(cpo, base_dir, metrics) for cpo in config.cpos if cpo.HasField("own")}
        self._evses: dict[str, list[Evse]] = {cpo_id: [] for cpo_id in self._lines}
        for session in sessions:
            if session.settings.cpo_id in self._evses:
                self._evses[session.settings.cpo_id] += session.evses

    def describe(self) -> list[ocpp_pb2.OwnIdentity]:
        """Each of them as the OCPP service shows it."""
        return [line.machine.describe() for line in self._lines.values()]

    async def run(self) -> None:
        """Connect and tell until cancelled."""
        if not self._lines:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(run_all(self._lines.values()))
            group.create_task(self._sum_up())

    async def _sum_up(self) -> None:
        while True:
            for cpo_id, line in self._lines.items():
                line.put(limited_of(self._evses[cpo_id]))
            await asyncio.sleep(SUM_S)


def limited_of(evses: Iterable[Evse]) -> Limited:
    """All EVSEs of a CPO together, at nominal voltage; what is allowed rounds down."""
    limit_mw = nameplate_mw = 0
    for evse in evses:
        settings = evse.settings
        mw_per_ma = len(settings.phases) * settings.nominal_voltage_mv // 1000
        limit_mw += min(evse.enforcer.wanted_ma, settings.current_max_ma) * mw_per_ma
        nameplate_mw += settings.current_max_ma * mw_per_ma
    return Limited(limit_w=limit_mw // 1000, nameplate_w=nameplate_mw // 1000)


def _line(cpo: CpoConfig, base_dir: Path, metrics: OwnMetrics) -> OwnLine:
    own = cpo.own
    machine = OwnIdentity(
        cpo_id=cpo.id,
        identity=own.id,
        ids=lambda: str(uuid.uuid4()),
        firmware=__version__,
        significance_percent=own.significance_percent,
    )
    return OwnLine(
        machine,
        own.url or cpo.url,
        metrics=metrics,
        authorization=own_authorization(own, base_dir),
        tls=partial(own_tls, cpo, base_dir),
    )
