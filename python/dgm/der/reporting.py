"""What the utility is told of the plant beside responses, and what is kept of it here.

    WatchSite ──SiteView──> DERStatus, DERAvailability, DERCapability, DERSettings ──> Report
                        └─> Alarms ──> LogBook ──errands──> Report      limits ──> EventReports ──> LogBook, people

One device's part of the machine: no clock, no conversation. Its journal is below `log/` and `report/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.api.site.v1.site_pb2 import WatchSiteResponse
from dgm.der import plant
from dgm.der import resource as r
from dgm.der.alarms import Alarms
from dgm.der.availability import availability
from dgm.der.envelope import Bound
from dgm.der.event_report import EventReports, SeenPower
from dgm.der.letter import Errand, ErrandDone, Place
from dgm.der.log_events import LogBook
from dgm.der.orders import Damaged
from dgm.der.outbox import Report
from dgm.der.status import carried, der_status, of_edition
from dgm.machine import Now

LOG_ERRANDS_MAX = 20
"""LogEvents that the conversation holds at a time; the others wait in the book."""
LOG_KEY = "log:"


class Reporting:
    """Of one device. acts_on: control modes that have an effect here."""

    def __init__(self, config: DgmConfig, profile: UtilityProfile, acts_on: Iterable[str]) -> None:
        self._config = config.der
        self._profile = profile
        self._modes = self._bits(acts_on)
        self._storage = plant.storage_of(config)
        self._alarms = Alarms()
        self._settings: r.DERSettings | None = None
        self._status: r.DERStatus | None = None
        self.site = plant.SiteView(config)
        self.log = LogBook(config.der.pen if profile.vendor_log_events and config.der.pen else None)
        self.reports = EventReports()

    def act_on(self, acts_on: Iterable[str]) -> None:
        """These modes have an effect here from now on; the utility is told of those that its edition knows."""
        self._modes = self._bits(acts_on)

    def _bits(self, acts_on: Iterable[str]) -> plant.ModeBits:
        names = plant.modes_of_edition(acts_on, self._profile.edition)
        return plant.mode_bits(names, has_battery=bool(self._config.battery_charge_rating_w))

    def seen(self, update: WatchSiteResponse, now: Now, bounds: Callable[[], Mapping[str, Bound]]) -> None:
        """The site was seen. bounds: what rules now, asked for after the update is taken."""
        self.site.take(update)
        found = self.site.conditions()
        if found is not None:
            raised, cleared = self._alarms.observe(found, now.mono_ms)
            for condition in raised:
                self.log.tell(condition, is_raised=True, time_s=now.utc_ms // 1000)
            for condition in cleared:
                self.log.tell(condition, is_raised=False, time_s=now.utc_ms // 1000)
        self._follow(bounds(), self.site.seen(), now)

    def lost(self) -> None:
        """The site is not seen any more. What was raised stays so: nothing says that it is over."""
        self.site.forget()

    def follow(self, bounds: Mapping[str, Bound], now: Now) -> None:
        """What rules now, while nobody has looked at the site."""
        self._follow(bounds, None, now)

    def report(
        self,
        now: Now,
        *,
        gradient: int | None,
        is_stopped: bool,
        is_remote: bool,
        nmi: str,
        demand_response: int | None = None,
    ) -> Report:
        """Everything as of now. gradient: setGradW of the default in force. nmi: empty where it is not told."""
        time_s = now.utc_ms // 1000
        self._settle(gradient, time_s)
        fresh = der_status(
            self.site.plant_seen(),
            time_s,
            is_stopped=is_stopped,
            is_remote=is_remote,
            alarms=self._alarms.bitmap,
            demand_response=demand_response,
        )
        self._status = carried(self._status, of_edition(fresh, self._profile.edition))
        return Report(
            capability=plant.capability(self._config, self._modes, self._storage),
            settings=self._settings,
            status=self._status,
            availability=availability(
                self.site.stores(),
                time_s,
                max_w=self._config.site_rating_w,
                charge_w=self._config.battery_charge_rating_w,
                is_stopped=is_stopped,
            ),
            connection_point=r.ConnectionPoint(connection_point_id=nmi) if nmi else None,
            errands=self._errands(),
        )

    def done(self, event: ErrandDone) -> None:
        """A LogEvent was taken, or is refused for good; other errands are not ours."""
        if event.key.startswith(LOG_KEY):
            self.log.done(int(event.key.removeprefix(LOG_KEY)), is_taken=event.is_taken)

    def _follow(self, bounds: Mapping[str, Bound], seen: Mapping[int, SeenPower] | None, now: Now) -> None:
        for report in self.reports.observe(bounds, seen, now):
            if not report.is_kept:
                self.log.not_kept(report.mrid, worst_w=report.worst_w, time_s=now.utc_ms // 1000)

    def _errands(self) -> tuple[Errand, ...]:
        return tuple(
            Errand(key=f"{LOG_KEY}{item.serial}", method="POST", to=Place.LOG_EVENTS, body=item.event)
            for item in self.log.waiting(LOG_ERRANDS_MAX)
        )

    def _settle(self, gradient: int | None, time_s: int) -> None:
        fresh = plant.settings(
            self._config, self._modes, self._storage, gradient_permyriad_s=gradient, updated_s=time_s
        )
        if self._settings is None or replace(self._settings, updated_s=time_s) != fresh:
            self._settings = fresh

    # -- the journal ------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes | None]:
        """Journal entries to be stored (None: deleted) since the last call."""
        return self.log.changed() | self.reports.changed()

    def restore(self, stored: Mapping[str, bytes]) -> list[Damaged]:
        """Take over the journal; damaged entries are named and left out."""
        damaged = [*self.log.restore(stored), *self.reports.restore(stored)]
        self._alarms.raised = self.log.raised()
        return damaged
