"""Utility profiles: YAML to der.v1.UtilityProfile, checked; those that come with DGM are the files beside this one.

    der.profile in site.yaml ──> profiles/<name>.yaml ──document──> UtilityProfile ──rules──> problems by path and line

Reads package files and nothing else. What a profile means for events is `dgm.der.profile`; its TLS, rates and
identities are for the conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from dgm import shipped
from dgm.api.der.v1.profile_pb2 import OptOutRule, UtilityProfile
from dgm.der.rules import BY_USER, MESSAGE_ONLY, Code

PACKAGE = "dgm.der.profiles"
DEFAULT = "csip-aus-1.2"
BRIDGE_S_MAX = 30
"""A longer bridge would keep a limit in force that the utility has let end."""
ALWAYS = frozenset({Code.RECEIVED, Code.STARTED, Code.COMPLETED, Code.CANCELLED, Code.SUPERSEDED})


def names() -> tuple[str, ...]:
    """What site.yaml may say in der.profile."""
    return shipped.names(PACKAGE)


@cache
def load(name: str) -> UtilityProfile:
    """A profile that comes with DGM. ConfigError: there is none of this name, or its file is wrong."""
    return shipped.one(PACKAGE, name, parse, key="der.profile")


def parse(text: str, *, source: str = "utility profile") -> UtilityProfile:
    """A profile from YAML. ConfigError lists all that is wrong."""
    return shipped.parsed(text, UtilityProfile(), _problems, source=source)


def _problems(profile: UtilityProfile) -> Iterator[tuple[str, str, str]]:
    for name in ("name", "title"):
        if not getattr(profile, name):
            yield name, "nothing", "a text"
    choices = {
        "edition": "S18 or S23",
        "opt_out": "NEVER, UNPROTECTED or ANY",
        "pin": "REQUIRED or IF_SHOWN",
        "aggregated_lfdi": "CERTIFICATE or PEN",
    }
    for name, expected in choices.items():
        if not getattr(profile, name):
            yield name, "nothing", expected
    for name in ("resumes", "lists_modes", "bridge_s", "vendor_log_events", "stored_energy_readings"):
        if not profile.HasField(name):
            yield name, "nothing", "a value: no rule is guessed"
    yield from _code_problems(profile)
    for name, low, high in (("bridge_s", 0, BRIDGE_S_MAX), ("poll_s", 10, 86_400), ("post_s", 10, 86_400)):
        if not low <= getattr(profile, name) <= high:
            yield name, f"{getattr(profile, name)}", f"{low}..{high} s"
    if not profile.ciphers:
        yield "ciphers", "nothing", "at least one TLS 1.2 suite, as OpenSSL names it"


def _code_problems(profile: UtilityProfile) -> Iterator[tuple[str, str, str]]:
    codes = set(profile.response_codes)
    unknown = sorted(codes - set(Code))
    if unknown:
        yield "response_codes", f"{unknown[0]}", "codes of S18 table 27 or S23 table 31"
    missing = sorted(ALWAYS - codes)
    if missing:
        yield "response_codes", f"no {int(missing[0])}", "at least 1, 2, 3, 6 and 7"
    if profile.not_applicable_code not in (251, 252):
        yield "not_applicable_code", str(profile.not_applicable_code), "252, or 251 (2030.5-2023)"
    untold = sorted((BY_USER - MESSAGE_ONLY) - codes)
    if profile.opt_out != OptOutRule.OPT_OUT_RULE_NEVER and untold:
        yield "opt_out", f"allowed, but response {int(untold[0])} is not", "NEVER, or 4, 5, 8, 9 and 10 among the codes"
    if profile.resumes and Code.RESUMED not in codes:
        yield "resumes", "true, but response 15 is not taken", "false, or 15 among the codes"
