"""The utility of a scenario: the simulated 2030.5 server and the real DerCore in virtual time, and what the EMS hears.

    actions ──> Server <──XML── DerCore ──bounds(), wanted()──> PutLimit, DeleteLimit, PutTarget ──> EMS of the world
                                   └──Keep──> journal, the only thing that a death of the der role leaves

It stands where the world's own utility does: `limits` by mode, `responses` by name of the control. The link can be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import (
    DeleteLimitRequest,
    DeleteTargetRequest,
    PutLimitRequest,
    PutTargetRequest,
    Target,
)
from dgm.api.site.v1.site_pb2 import AssetType, CircuitState, Quality, Sample, WatchSiteResponse
from dgm.der.codec import Dialect, decode, encode
from dgm.der.core import CoreEvent, DerCore, Keep, SiteLost, SiteSeen
from dgm.der.discovery import Answer, NoAnswer, Request
from dgm.der.envelope import LIMITED, SOURCE, Bound, limit_of, renew_after_ms
from dgm.der.nodes import Document
from dgm.der.profiles.loader import load
from dgm.machine import Now, Tick
from dgm.sim.plant import Reading
from dgm.sim.utility.actions import ACTIONS
from dgm.sim.utility.records import Received
from dgm.sim.utility.server import Server
from dgm.sim.utility.state import Rates, State, mrid_of

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
PIN = 111115
PROFILE = "csip-aus-1.2"
SITE_MS = 1000
TARGET_MS = 1000
TARGET_LEASE_MS, TARGET_RENEW_MS, TARGET_PRIORITY = 60_000, 20_000, 1000
REQUESTS_AT_ONCE_MAX = 500
IMPORT, EXPORT = "opModImpLimW", "opModExpLimW"
EmsRequest = PutLimitRequest | DeleteLimitRequest | PutTargetRequest | DeleteTargetRequest
Draw = Callable[[int], int]


class Utility:
    """One utility and the gateway's der role. tick() gives what the EMS is to be told; now is the gateway's clock.

    seen: the connection point and its parts as the EMS shows them; None: it is away.
    """

    def __init__(
        self, config: DgmConfig, *, poll_s: int, now: Now, draw: Draw, seen: Callable[[], Reading | None]
    ) -> None:
        rates = Rates(dcap=poll_s, edev=poll_s, fsa=poll_s, derp=poll_s, der=poll_s, mup=poll_s, post=60, mup_post=60)
        self.state = State(start_s=now.utc_ms // 1000, devices={LFDI: PIN}, rates=rates)
        self.server = Server(self.state, now.utc_ms)
        self.is_cut = False
        self.names: dict[str, str] = {}
        """Controls by mRID."""
        self._config, self._draw, self._seen = config, draw, seen
        self._circuit_id = config.circuits[0].id
        self._journal: dict[str, bytes] = {}
        self._told: dict[str, tuple[Bound | None, int | None]] = {}
        self._wanted: dict[str, tuple[int, int]] = {}
        self._site_ms = self._target_ms = now.mono_ms
        self.core: DerCore | None = None
        self.start(now)

    # The utility's side

    def act(self, action: str, arguments: Mapping[str, Any], now: Now) -> None:
        """One action of the server's script language. ValueError, LookupError: it does not fit."""
        self.server.advance(now.utc_ms)
        ACTIONS[action](self.state, now.utc_ms, arguments)
        if action == "control":
            self.names[mrid_of("control", str(arguments["name"]))] = str(arguments["name"])

    @property
    def responses(self) -> dict[str, list[int]]:
        """Codes by control, in the order in which the server took them."""
        found: dict[str, list[int]] = {}
        for item in self.server.records.responses:
            found.setdefault(self.names.get(item["mrid"], item["mrid"]), []).append(item["status"])
        return found

    def taken(self, name: str, status: int) -> list[dict[str, Any]]:
        """Every response of a kind to a control, in order: utc_ms when the server took it, created_s as it says."""
        mrid = mrid_of("control", name)
        return [one for one in self.server.records.responses if (one["mrid"], one["status"]) == (mrid, status)]

    # What the world's own utility shows

    @property
    def in_force(self) -> dict[str, int]:
        """W by mode, as the der role holds them."""
        return {mode: bound.power_w for mode, (bound, _) in self._told.items() if bound is not None}

    @property
    def limits(self) -> dict[str, int]:
        """Of import, by mode: what the invariants hold the connection point against."""
        return {mode: watts for mode, watts in self.in_force.items() if mode == IMPORT}

    @property
    def of_import(self) -> list[int]:
        """Limits of import in force."""
        return list(self.limits.values())

    @property
    def of_export(self) -> list[int]:
        """Limits of export in force."""
        return [watts for mode, watts in self.in_force.items() if mode == EXPORT]

    # The der role

    def kill(self) -> None:
        """The der role dies; the server and the journal stay."""
        self.core = None
        self._told.clear()
        self._wanted.clear()

    def start(self, now: Now) -> None:
        """The der role starts, from its journal."""
        self.core = DerCore(self._config, LFDI, self._draw, profile=load(PROFILE))
        self._execute(self.core, self.core.restore(self._journal, now), now)

    def standing(self, now: Now) -> list[EmsRequest]:
        """The EMS was away: it is told everything again."""
        self._told.clear()
        self._wanted.clear()
        return self.tick(now)

    def tick(self, now: Now) -> list[EmsRequest]:
        """Time went by: what the EMS is to be told now."""
        self.server.advance(now.utc_ms)
        if self.core is None:
            return []
        if now.mono_ms >= self._site_ms:
            self._site_ms += SITE_MS
            reading = self._seen()
            event = SiteLost() if reading is None else SiteSeen(update=self._update(reading))
            self._give(self.core, event, now)
        wake_ms = self.core.wake_time()
        if wake_ms is not None and wake_ms <= now.mono_ms:
            self._give(self.core, Tick(), now)
        return [*self._limits(self.core, now), *self._targets(self.core, now)]

    def _limits(self, core: DerCore, now: Now) -> list[EmsRequest]:
        found: list[EmsRequest] = []
        wanted = core.bounds(now)
        server_ms = now.utc_ms + core.offset_ms
        for mode in LIMITED:
            bound = wanted.get(mode)
            held = self._told.get(mode)
            if bound is not None and (held is None or held[0] != bound or (held[1] or now.mono_ms + 1) <= now.mono_ms):
                renew = renew_after_ms(bound, server_ms)
                self._told[mode] = (bound, None if renew is None else now.mono_ms + renew)
                found.append(PutLimitRequest(limit=limit_of(bound, self._circuit_id, server_ms)))
            elif bound is None and core.is_informed and held != (None, None):
                self._told[mode] = (None, None)
                found.append(DeleteLimitRequest(id=f"utility:{mode}", source=SOURCE))
        return found

    def _targets(self, core: DerCore, now: Now) -> list[EmsRequest]:
        if now.mono_ms < self._target_ms:
            return []
        self._target_ms = now.mono_ms + TARGET_MS
        wanted = core.wanted(now)
        found: list[EmsRequest] = []
        for asset_id, want in wanted.items():
            held = self._wanted.get(asset_id)
            if held is not None and held[0] == want.want_w and now.mono_ms - held[1] < TARGET_RENEW_MS:
                continue
            left_ms = TARGET_LEASE_MS if want.end_ms is None else want.end_ms - now.utc_ms - core.offset_ms
            target = Target(
                id=f"utility:{asset_id}",
                source=SOURCE,
                asset_id=asset_id,
                want_w=want.want_w,
                priority=TARGET_PRIORITY,
                ttl_ms=min(max(left_ms, 1000), TARGET_LEASE_MS),
            )
            self._wanted[asset_id] = (want.want_w, now.mono_ms)
            found.append(PutTargetRequest(target=target))
        for asset_id in [one for one in self._wanted if one not in wanted]:
            del self._wanted[asset_id]
            found.append(DeleteTargetRequest(id=f"utility:{asset_id}", source=SOURCE))
        return found

    # The conversation

    def _give(self, core: DerCore, event: CoreEvent, now: Now) -> None:
        self._execute(core, core.handle(event, now), now)

    def _execute(self, core: DerCore, effects: list[Request | Keep], now: Now) -> None:
        queue = list(effects)
        for _ in range(REQUESTS_AT_ONCE_MAX):
            if not queue:
                return
            effect = queue.pop(0)
            if isinstance(effect, Request):
                queue += core.handle(self._send(effect, now), now)
            else:
                self._keep(effect)
        raise AssertionError(f"the der role makes more than {REQUESTS_AT_ONCE_MAX} requests at once")

    def _keep(self, keep: Keep) -> None:
        for key, value in keep.entries:
            if value is None:
                self._journal.pop(key, None)
            else:
                self._journal[key] = value

    def _send(self, request: Request, now: Now) -> Answer | NoAnswer:
        if self.is_cut:
            return NoAnswer(tag=request.tag)
        url = urlsplit(request.url)
        body = b"" if request.body is None else encode(request.body, Dialect(aus_namespace=self.state.aus))
        received = Received(
            method=request.method, path=url.path, query=dict(parse_qsl(url.query)), body=body, lfdi=LFDI
        )
        reply = self.server.handle(received, now.utc_ms)
        resource: Document | None = decode(reply.body) if reply.status < 300 and reply.body else None
        return Answer(
            tag=request.tag,
            status=reply.status,
            resource=resource,
            location=reply.headers.get("Location"),
            retry_after_s=None,
        )

    def _update(self, reading: Reading) -> WatchSiteResponse:
        inverters = iter(reading.pv_w)
        samples = []
        for asset in self._config.assets:
            if asset.id == self._config.circuits[0].meter:
                samples.append(_sample(asset.id, reading.net_w))
            elif asset.type == AssetType.ASSET_TYPE_PV:
                samples.append(_sample(asset.id, -next(inverters)))
            elif asset.type == AssetType.ASSET_TYPE_BATTERY:
                samples.append(_sample(asset.id, reading.battery_w, reading.soc_permille))
        root = CircuitState(circuit_id=self._circuit_id, net_power_w=round(reading.net_w))
        return WatchSiteResponse(snapshot=True, samples=samples, circuits=[root])


def _sample(asset_id: str, power_w: float, soc_permille: int | None = None) -> Sample:
    return Sample(
        asset_id=asset_id,
        quality=Quality.QUALITY_GOOD,
        power_w=round(power_w),
        reactive_var=0,
        soc_permille=soc_permille,
    )
