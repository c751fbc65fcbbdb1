"""The documents of the conversation by what they are and where they are.

    Kind, URL ──> Node ──fetched──> Document (of the class EXPECTED of its kind)

Pure, and below the walk: what is fetched when is `walk` and `discovery`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from dgm.der import resource as r

VERSIONS_PATH = "/.well-known/csipaus"
"""Where `der.url` may point instead of a DeviceCapability: the list of entry points by version (CSIP-AUS v1.3)."""
POLL_S_MIN = 1
POLL_S_MAX = 86_400
"""A server's pollRate is followed within these bounds; 0 would be a busy loop, more than a day deaf."""

LINKS_MAX = 16_384
"""Links whose absolute URL is remembered: a walk follows the same ones again and again."""


class Kind(Enum):
    """What a wanted document is. Hashed as the singleton it is: a walk looks up thousands of Nodes."""

    __hash__ = object.__hash__

    VERSIONS = "versions"
    CAPABILITY = "dcap"
    TIME = "tm"
    END_DEVICES = "edev"
    SUBSCRIPTIONS = "sub"
    REGISTRATION = "rg"
    ASSIGNMENTS = "fsa"
    PROGRAMS = "derp"
    CONTROLS = "derc"
    DEFAULT = "dderc"
    DERS = "der"
    MIRRORS = "mup"
    LOAD_PROGRAMS = "dr"
    LOAD_CONTROLS = "edc"
    TARIFFS = "tp"
    COMPONENTS = "rc"
    READING_TYPE = "rt"
    INTERVALS = "tti"
    PRICES = "cti"
    MESSAGE_PROGRAMS = "msg"
    MESSAGES = "txt"
    GRANTS = "frp"
    CURVE = "dc"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """What the version document says: where to begin, and the CSIP-AUS namespace to send from then on."""

    path: str
    namespace: str


EXPECTED: Mapping[Kind, type] = {
    Kind.VERSIONS: EntryPoint,
    Kind.CAPABILITY: r.DeviceCapability,
    Kind.TIME: r.Time,
    Kind.END_DEVICES: r.EndDeviceList,
    Kind.SUBSCRIPTIONS: r.SubscriptionList,
    Kind.REGISTRATION: r.Registration,
    Kind.ASSIGNMENTS: r.FunctionSetAssignmentsList,
    Kind.PROGRAMS: r.DERProgramList,
    Kind.CONTROLS: r.DERControlList,
    Kind.DEFAULT: r.DefaultDERControl,
    Kind.DERS: r.DERList,
    Kind.MIRRORS: r.MirrorUsagePointList,
    Kind.LOAD_PROGRAMS: r.DemandResponseProgramList,
    Kind.LOAD_CONTROLS: r.EndDeviceControlList,
    Kind.TARIFFS: r.TariffProfileList,
    Kind.COMPONENTS: r.RateComponentList,
    Kind.READING_TYPE: r.ReadingType,
    Kind.INTERVALS: r.TimeTariffIntervalList,
    Kind.PRICES: r.ConsumptionTariffIntervalList,
    Kind.MESSAGE_PROGRAMS: r.MessagingProgramList,
    Kind.MESSAGES: r.TextMessageList,
    Kind.GRANTS: r.FlowReservationResponseList,
    Kind.CURVE: r.DERCurve,
}


DISPENSABLE = frozenset({Kind.SUBSCRIPTIONS, Kind.READING_TYPE})
"""What many servers do not serve: without it more is asked or less is known, and nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One document by what it is and where it is."""

    kind: Kind
    url: str


Document = r.Resource | EntryPoint
Documents = Mapping[Node, Document]


def poll_s_of(stated: int | None, default_s: int) -> int:
    """The interval to poll at."""
    return min(max(default_s if stated is None else stated, POLL_S_MIN), POLL_S_MAX)


@lru_cache(maxsize=LINKS_MAX)
def resolve(base: str, href: str) -> str | None:
    """The absolute https URL of a link; None for one that is not a URL or leaves TLS."""
    try:
        url = urljoin(base, href)
        return url if urlsplit(url).scheme == "https" and urlsplit(url).hostname else None
    except ValueError:
        return None
