"""The sites that an aggregator talks for: what each is, from its own site.yaml, and where its EMS answers.

der.end_devices[i] + that site's site.yaml ──load()──> EndDevice: LFDI, DgmConfig with its `der` part, target
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc.aio

from dgm import config as site_config
from dgm import rpc
from dgm.api.config.v1.config_pb2 import DgmConfig, EndDeviceConfig
from dgm.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDevice:
    """lfdi: upper case. config: circuits and assets of the site, with the ratings that the utility is told."""

    lfdi: str
    config: DgmConfig
    socket: Path
    ems: str

    def channel(self, own: DgmConfig, base_dir: Path) -> grpc.aio.Channel:
        """To the EMS of the site; lazy, reconnects by itself."""
        if self.ems:
            return rpc.tls_channel(self.ems, own.api, base_dir)
        return rpc.channel(f"unix:{self.socket}")


def load(config: DgmConfig, base_dir: Path) -> list[EndDevice]:
    """Every site, in the order of the file. ConfigError: a site.yaml that cannot be read."""
    return [_load(item, base_dir) for item in config.der.end_devices]


def end_device_problems(config: DgmConfig, base_dir: Path) -> list[Problem]:
    """What would keep `load` from reading them, all at once."""
    return list(_problems(config, base_dir))


def _problems(config: DgmConfig, base_dir: Path) -> Iterator[Problem]:
    for index, item in enumerate(config.der.end_devices):
        path = f"der.end_devices[{index}].site"
        try:
            site = _site(base_dir / item.site)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            reason = str(error).splitlines()[0]
            yield Problem(path=path, found=f"{item.site}: {reason}"[:300], expected="a site.yaml without problems")
            continue
        if site.HasField("der"):
            found = f"{item.site} has a `der` part, and would talk for itself too"
            yield Problem(path=path, found=found, expected="a site without `der`")


def _load(item: EndDeviceConfig, base_dir: Path) -> EndDevice:
    path = (base_dir / item.site).resolve()
    try:
        site = _site(path)
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(path="der.end_devices", found=f"{path}: {error}", expected="a readable site.yaml")
        raise ConfigError([problem], source=str(path)) from error
    site.der.SetInParent()
    for name in ("pin", "site_rating_w", "battery_charge_rating_w", "nmi"):
        setattr(site.der, name, getattr(item, name))
    site.der.in_band_registration = item.in_band_registration
    socket = rpc.socket_path((path.parent / site.site.run_dir).resolve(), "ems")
    return EndDevice(lfdi=item.lfdi.upper(), config=site, socket=socket, ems=item.ems)


def _site(path: Path) -> DgmConfig:
    def beside(name: str) -> str:
        return (path.parent / name).read_text(encoding="utf-8-sig")

    return site_config.parse(path.read_text(encoding="utf-8"), source=str(path), read=partial(beside))
