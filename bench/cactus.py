"""Drive the DER gateway's conversation against a public CACTUS runner (or any 2030.5 utility) at a URL.

    bench/cactus.py URL --cert device.pem --key device.key --ca root.pem [--seconds 900]
    DerCore + UtilityClient ──mutual TLS──> the runner, which judges; every request is printed as a line of JSON

The procedure is chosen and started in the runner's own page; this is the client under test. No EMS stands behind it:
the site is a made-up plant that does at once what it is told, so it shows the conversation and not the control.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dgm import clock
from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der import resource as r
from dgm.der.aggregator import Aggregator, AggregatorEffect, KeepFor
from dgm.der.client import UtilityClient, device_lfdi, dialect_of, tls_context
from dgm.der.core import DerCore
from dgm.der.core_events import CoreEvent, Keep, SiteSeen
from dgm.der.discovery import Answer, NoAnswer, Notified, Request
from dgm.der.envelope import Bound
from dgm.der.profiles.loader import load, names
from dgm.der.service.listener import NotificationListener
from dgm.der.tls import listener_context
from dgm.machine import Now, Tick
from dgm.sim.utility.plant import SITE, SITE_STEP_MS, SitePlant

WAKE_S_MAX = 0.5


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="DeviceCapability of the runner, https")
    for name, what in (("cert", "device certificate and chain, PEM"), ("key", "its private key"), ("ca", "roots, PEM")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--pin", default="", help="6 digits; without it the PIN is not compared")
    parser.add_argument("--nmi", default="", help="connection point")
    parser.add_argument("--pen", type=int, default=0, help="private enterprise number, for mRIDs")
    parser.add_argument("--profile", choices=names(), default="csip-aus-1.2")
    parser.add_argument(
        "--notify-url", default="", help="https URL at which the runner reaches this client; subscribes"
    )
    parser.add_argument("--in-band", action="store_true", help="register in band")
    parser.add_argument("--generation-w", type=int, default=60_000, help="what the made-up plant could make")
    parser.add_argument("--load-w", type=int, default=0, help="and use")
    parser.add_argument("--seconds", type=float, default=900)
    return parser.parse_args()


@dataclass(slots=True, kw_only=True)
class Drive:
    """One run of the gateway: its configuration, the plant behind it, and what came of it."""

    config: DgmConfig
    profile: str
    plant: SitePlant
    log: Path | None = None
    """Requests as lines of JSON; None: to standard output."""
    answered: int = 0
    """Requests that were answered."""
    devices: tuple[str, ...] = ()
    """LFDIs of the EndDevices that an aggregator talks for, each with such a site; empty: the device itself talks."""


def config_of(given: argparse.Namespace) -> DgmConfig:
    """The made-up site behind the runner."""
    config = site_config.parse(SITE)
    der = config.der
    der.url, der.pin = given.url, given.pin
    der.certificate, der.private_key, der.ca = (str(path.resolve()) for path in (given.cert, given.key, given.ca))
    der.nmi, der.pen, der.in_band_registration = given.nmi, given.pen, given.in_band
    der.notify.url = given.notify_url
    return config


class Many:
    """An aggregator, driven like one device: what happens at the site happens at each of its EndDevices."""

    def __init__(self, state: Drive, own_lfdi: str, draw: Callable[[int], int], profile: UtilityProfile) -> None:
        own = DgmConfig()
        own.CopyFrom(state.config)
        own.der.in_band_registration = False
        devices = dict.fromkeys(state.devices, state.config)
        self._aggregator = Aggregator(own, own_lfdi, devices, draw, profile=profile)

    def handle(self, event: CoreEvent, now: Now) -> list[AggregatorEffect]:
        """Take one event; effects are to be executed in order."""
        match event:
            case Answer() | NoAnswer() | Notified() | Tick():
                return self._aggregator.handle(event, now)
            case SiteSeen():
                return [effect for lfdi in self._aggregator.cores for effect in self._aggregator.give(lfdi, event, now)]
            case _:
                return []

    def bounds(self, now: Now) -> dict[str, Bound]:
        """Of the first of them."""
        return next(iter(self._aggregator.cores.values())).bounds(now)

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that it holds."""
        return self._aggregator.is_ours(notification)


class One:
    """A device that talks for itself."""

    def __init__(self, state: Drive, lfdi: str, draw: Callable[[int], int], profile: UtilityProfile) -> None:
        self._core = DerCore(state.config, lfdi, draw, profile=profile)
        self.handle, self.bounds = self._core.handle, self._core.bounds

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that it holds."""
        return self._core.discovery.is_ours(notification)


async def drive(state: Drive, seconds: float) -> None:
    """Talk until the time is over."""
    der, profile, draws = state.config.der, load(state.profile), secrets.SystemRandom()
    kind = Many if state.devices else One
    core = kind(state, device_lfdi(der, Path.cwd()), lambda most: draws.randint(0, most), profile)
    client = UtilityClient(tls_context(der, Path.cwd()), dialect_of(profile))
    events: list[CoreEvent] = []
    listener = await _listener(core, state.config, events)
    try:
        await _talk(state, core, client, events, time.monotonic() + seconds)
    finally:
        await client.close()
        if listener is not None:
            await listener.stop()


async def _listener(core: One | Many, config: DgmConfig, events: list[CoreEvent]) -> NotificationListener | None:
    """Where the runner notifies, if the client subscribes: the port of der.notify.url."""
    der = config.der
    if not der.notify.url:
        return None

    def take(notification: r.Notification) -> bool:
        is_ours = core.is_ours(notification)
        if is_ours:
            events.append(Notified(notification=notification))
        return is_ours

    context = listener_context(ca=Path(der.ca), certificate=Path(der.certificate), private_key=Path(der.private_key))
    listener = NotificationListener(context, urlsplit(der.url).hostname or "", take)
    await listener.start("127.0.0.1", urlsplit(der.notify.url).port or 443)
    return listener


async def _talk(state: Drive, core: One | Many, client: UtilityClient, events: list[CoreEvent], end_s: float) -> None:
    step = 0
    while time.monotonic() < end_s:
        now = clock.now()
        if now.mono_ms >= step * SITE_STEP_MS:
            bounds = {mode: bound.power_w for mode, bound in core.bounds(now).items()}
            events.append(SiteSeen(update=state.plant.seen(bounds, step)))
            step = now.mono_ms // SITE_STEP_MS + 1
        effects = [effect for event in [*events, Tick()] for effect in core.handle(event, now)]
        events.clear()
        for effect in effects:
            match effect:
                case Request():
                    answer = await client.send(effect)
                    state.answered += isinstance(answer, Answer)
                    events.append(answer)
                    _show(state, effect, answer, client.last_error)
                case Keep() | KeepFor():
                    continue
        if not events:
            await asyncio.sleep(WAKE_S_MAX)


def _show(state: Drive, request: Request, answer: CoreEvent, error: str) -> None:
    code = answer.status if isinstance(answer, Answer) else error
    line = json.dumps({"utc_ms": clock.now().utc_ms, "method": request.method, "url": request.url, "code": code})
    if state.log is None:
        print(line, flush=True)
        return
    with state.log.open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")


def main() -> int:
    """Run; 0 if anything was answered."""
    given = arguments()
    plant = SitePlant(generation_w=given.generation_w, load_w=given.load_w)
    state = Drive(config=config_of(given), profile=given.profile, plant=plant)
    asyncio.run(drive(state, given.seconds))
    return 0 if state.answered else 1


if __name__ == "__main__":
    sys.exit(main())
