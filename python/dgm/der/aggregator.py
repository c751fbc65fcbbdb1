"""Many EndDevices behind one client certificate: a DerCore for each, one conversation with the server for all.

    HTTP answers, Tick ──> Aggregator ──> Conversation ──> programs, responses taken ──> DerCore of that EndDevice
    give(LFDI, SiteSeen, OptOut, ...) ──────────────────────────────────────────────────────┘
                             └──> Keep (journal of that EndDevice), Request (HTTP)

Schedules, randomisation, responses, reports and limits are those of each EndDevice alone and are not told apart from
those of a gateway that talks for itself; what is shared is what the server is asked. The aggregator's own EndDevice is
a member without a plant: subscriptions are made below it, a wrong PIN of it is told, its programs rule nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.der.v1.profile_pb2 import PinRule, UtilityProfile
from dgm.der import resource as r
from dgm.der.agenda import Agenda
from dgm.der.conversation import Conversation, Told
from dgm.der.core import DerCore
from dgm.der.core_events import CoreEffect, FlowEvent, Keep, SiteLost, SiteSeen
from dgm.der.exchange import Answer, DiscoveryEffect, NoAnswer, Notified, Request
from dgm.der.identity import sfdi_of
from dgm.der.member import Member
from dgm.der.orders import OptIn, OptOut
from dgm.der.profile import STANDARD
from dgm.der.walk import Identity
from dgm.machine import Now, Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepFor:
    """Store durably in the journal of one EndDevice, before the next effect."""

    lfdi: str
    keep: Keep


AggregatorEvent = Answer | NoAnswer | Notified | Tick
DeviceEvent = SiteSeen | SiteLost | OptOut | OptIn | FlowEvent | Tick
AggregatorEffect = Request | KeepFor


class Aggregator:
    """own: the `der` part of the aggregator itself. devices: a configuration for each EndDevice, by LFDI.

    Of a device's `der` part the PIN, the ratings, NMI and in-band registration count; server and rates are `own`'s.
    """

    def __init__(
        self,
        own: DgmConfig,
        own_lfdi: str,
        devices: Mapping[str, DgmConfig],
        draw: Callable[[int], int],
        *,
        profile: UtilityProfile = STANDARD,
    ) -> None:
        der = own.der
        self.conversation = Conversation(der.url, draw, poll_s=der.poll_s, notification_url=der.notify.url or None)
        self._own = self.conversation.add(
            Identity(
                url=der.url,
                lfdi=own_lfdi,
                sfdi=sfdi_of(own_lfdi),
                pin=int(der.pin) if der.pin else None,
                poll_s=der.poll_s,
                is_pin_required=profile.pin == PinRule.PIN_RULE_REQUIRED,
                subscribes=bool(der.notify.url),
            ),
            in_band=der.in_band_registration,
        )
        self.cores = {
            lfdi: DerCore(_of_device(own, config), lfdi, draw, profile=profile, conversation=self.conversation)
            for lfdi, config in devices.items()
        }
        self._lfdis: dict[Member, str] = {core.discovery.member: lfdi for lfdi, core in self.cores.items()}
        self._wakes: Agenda[str] = Agenda()
        self._own.hears_all = False
        self.touched: set[str] = set()
        """Devices for which the EMS may have to hold something else, since somebody cleared this."""
        self._revisions: dict[str, int] = {}

    @property
    def own(self) -> Member:
        """The aggregator's own EndDevice: how far the conversation has come, and what is wrong with it."""
        return self._own

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that we hold."""
        return self.conversation.is_ours(notification)

    # -- the machine ------------------------------------------------------------------------------------------------

    def restore(self, stored: Mapping[str, Mapping[str, bytes]], now: Now) -> list[AggregatorEffect]:
        """Take over the journals, by LFDI, and say again what the server has not taken."""
        effects: list[AggregatorEffect] = []
        for lfdi, core in self.cores.items():
            effects += self._of(lfdi, core.restore(stored.get(lfdi, {}), now), now)
        return effects

    def handle(self, event: AggregatorEvent, now: Now) -> list[AggregatorEffect]:
        """Take what the server said, or let time pass; effects are to be executed in order."""
        effects = self._dispatch(self.conversation.handle(event, now), now)
        for lfdi in self._wakes.take_until(now.mono_ms):
            effects += self._of(lfdi, self.cores[lfdi].handle(Tick(), now), now)
        return effects

    def give(self, lfdi: str, event: DeviceEvent, now: Now) -> list[AggregatorEffect]:
        """Take what happened at one EndDevice. KeyError: there is no such."""
        return self._of(lfdi, self.cores[lfdi].handle(event, now), now)

    def wake_time(self) -> int | None:
        """Monotonic ms of the next thing to do."""
        first = self._wakes.first()
        times = (self.conversation.wake_time(), None if first is None else first[0])
        return min((time for time in times if time is not None), default=None)

    def _dispatch(self, told: Iterable[Told], now: Now) -> list[AggregatorEffect]:
        """Everybody takes what is theirs; what they keep comes before the request that is sent."""
        effects, requests = list[AggregatorEffect](), list[AggregatorEffect]()
        waiting = deque([told])
        while waiting:
            of_members: dict[Member, list[DiscoveryEffect]] = {}
            for member, effect in waiting.popleft():
                if isinstance(effect, Request):
                    requests.append(effect)
                elif member is not None:
                    of_members.setdefault(member, []).append(effect)
            for member, own in of_members.items():
                lfdi = self._lfdis.get(member)
                if lfdi is None:
                    continue  # of the aggregator's own EndDevice
                effects += self._labelled(lfdi, self.cores[lfdi].told(own, now))
                self.touched.add(lfdi)
                waiting.append(self._settled(lfdi))
        return [*effects, *requests]

    def _of(self, lfdi: str, found: Iterable[CoreEffect], now: Now) -> list[AggregatorEffect]:
        effects = self._labelled(lfdi, found)
        others = self._settled(lfdi)
        return [*effects, *self._dispatch(others, now)] if others else effects

    def _settled(self, lfdi: str) -> list[Told]:
        """A core has worked: when it wants to again, and what came of it for others."""
        core = self.cores[lfdi]
        if self._revisions.get(lfdi) != core.scheduler.revision:
            self._revisions[lfdi] = core.scheduler.revision
            self.touched.add(lfdi)
        wake_ms = core.wake_time()
        if wake_ms is None:
            self._wakes.drop(lfdi)
        else:
            self._wakes.set(lfdi, wake_ms)
        # A listing that has not changed is of interest only where something did not fit before.
        core.discovery.member.hears_all = bool(core.scheduler.refused)
        others, core.discovery.for_others = core.discovery.for_others, []
        return others

    def _labelled(self, lfdi: str, found: Iterable[CoreEffect]) -> list[AggregatorEffect]:
        return [KeepFor(lfdi=lfdi, keep=effect) if isinstance(effect, Keep) else effect for effect in found]


def _of_device(own: DgmConfig, device: DgmConfig) -> DgmConfig:
    """The site of a device with the server and the rates of the aggregator."""
    config = DgmConfig()
    config.CopyFrom(device)
    for name in ("url", "poll_s", "pen", "profile", "demand_response_modes"):
        setattr(config.der, name, getattr(own.der, name))
    config.der.ClearField("notify")
    return config
