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
from pathlib import Path

from dgm import clock
from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.der.client import UtilityClient, device_lfdi, tls_context
from dgm.der.core import CoreEvent, DerCore, Keep, SiteSeen
from dgm.der.discovery import Answer, Request
from dgm.der.profiles.loader import load, names
from dgm.machine import Tick
from dgm.sim.utility.plant import SITE, SITE_STEP_MS, SitePlant

WAKE_S_MAX = 1.0


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
    parser.add_argument("--in-band", action="store_true", help="register in band")
    parser.add_argument("--generation-w", type=int, default=60_000, help="what the made-up plant could make")
    parser.add_argument("--load-w", type=int, default=0, help="and use")
    parser.add_argument("--seconds", type=float, default=900)
    return parser.parse_args()


def config_of(given: argparse.Namespace) -> DgmConfig:
    """The made-up site behind the runner."""
    config = site_config.parse(SITE)
    der = config.der
    der.url, der.pin = given.url, given.pin
    der.certificate, der.private_key, der.ca = (str(path.resolve()) for path in (given.cert, given.key, given.ca))
    der.nmi, der.pen, der.in_band_registration = given.nmi, given.pen, given.in_band
    return config


async def drive(given: argparse.Namespace) -> int:
    """Talk until the time is over; the number of requests that were answered."""
    config = config_of(given)
    draws = secrets.SystemRandom()
    lfdi = device_lfdi(config.der, Path.cwd())
    core = DerCore(config, lfdi, lambda most: draws.randint(0, most), profile=load(given.profile))
    client = UtilityClient(tls_context(config.der, Path.cwd()))
    plant = SitePlant(generation_w=given.generation_w, load_w=given.load_w)
    answered, step, end_s = 0, 0, time.monotonic() + given.seconds
    events: list[CoreEvent] = []
    try:
        while time.monotonic() < end_s:
            now = clock.now()
            if now.mono_ms >= step * SITE_STEP_MS:
                bounds = {mode: bound.power_w for mode, bound in core.bounds(now).items()}
                events.append(SiteSeen(update=plant.seen(bounds, step)))
                step = now.mono_ms // SITE_STEP_MS + 1
            effects = [effect for event in [*events, Tick()] for effect in core.handle(event, now)]
            events = []
            for effect in effects:
                match effect:
                    case Request():
                        answer = await client.send(effect)
                        answered += isinstance(answer, Answer)
                        events.append(answer)
                        _show(effect, answer, client.last_error)
                    case Keep():
                        continue
            if not events:
                await asyncio.sleep(WAKE_S_MAX)
    finally:
        await client.close()
    return answered


def _show(request: Request, answer: CoreEvent, error: str) -> None:
    code = answer.status if isinstance(answer, Answer) else error
    print(json.dumps({"utc_ms": clock.now().utc_ms, "method": request.method, "url": request.url, "code": code}))


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(drive(arguments())) else 1)
