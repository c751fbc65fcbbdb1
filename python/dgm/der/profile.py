"""What a utility profile means for the events of each function set.

    UtilityProfile ──der_rules(), load_control_rules(), ...──> EventRules ──> EventEngine

S18 gives flow reservation no responses; 11 and 12 belong to messages alone; load control has a flag of its own for who
may opt out; prices and messages are not opted out of.
"""

from __future__ import annotations

from collections.abc import Iterable

from dgm.api.der.v1.profile_pb2 import OptOutRule, UtilityProfile
from dgm.der.resource import LIMIT_MODES
from dgm.der.rules import EVENT_CODES, Code, EventRules, OptOuts

STANDARD = UtilityProfile(
    name="2018",
    response_codes=sorted(int(code) for code in Code if code not in (Code.RESUMED, Code.REJECTED_UNSUPPORTED)),
    resumes=False,
    lists_modes=False,
    not_applicable_code=Code.REJECTED_NOT_APPLICABLE,
    opt_out=OptOutRule.OPT_OUT_RULE_UNPROTECTED,
    bridge_s=5,
)
"""The event rules of 2030.5-2018; the same as in profiles/2018.yaml."""

PROTECTED = frozenset({*LIMIT_MODES, "opModConnect", "opModEnergize", "opModGridConnectPermit", "opModIslandPermit"})
PROTECTED_FAMILY = "opModMaxLim"
"""opModMaxLimW of 2018 and every cap of 2023."""

_OPT_OUTS = {
    OptOutRule.OPT_OUT_RULE_NEVER: OptOuts.NEVER,
    OptOutRule.OPT_OUT_RULE_UNPROTECTED: OptOuts.UNPROTECTED,
    OptOutRule.OPT_OUT_RULE_ANY: OptOuts.ANY,
}


def protected(modes: Iterable[str]) -> frozenset[str]:
    """Those of some control modes that nobody on site may opt out of (SAFETY.md 5)."""
    return frozenset(name for name in modes if name in PROTECTED or name.startswith(PROTECTED_FAMILY))


def der_rules(profile: UtilityProfile, modes: Iterable[str]) -> EventRules:
    """DERControls; modes: those this device acts on."""
    return _rules(profile, "der", EVENT_CODES, _OPT_OUTS[profile.opt_out], protected(modes))


def load_control_rules(profile: UtilityProfile) -> EventRules:
    """EndDeviceControls: what is not mandatory may be overridden, where the utility takes the responses at all."""
    may = OptOuts.NEVER if profile.opt_out == OptOutRule.OPT_OUT_RULE_NEVER else OptOuts.ANY
    return _rules(profile, "load_control", EVENT_CODES, may)


def pricing_rules(profile: UtilityProfile) -> EventRules:
    """TimeTariffIntervals."""
    return _rules(profile, "pricing", EVENT_CODES, OptOuts.NEVER)


def messaging_rules(profile: UtilityProfile) -> EventRules:
    """TextMessages."""
    return _rules(profile, "messaging", frozenset(Code), OptOuts.NEVER)


def reservation_rules(profile: UtilityProfile) -> EventRules:
    """FlowReservationResponses: the standard has no response to them."""
    return _rules(profile, "reservation", frozenset(), OptOuts.NEVER)


def _rules(
    profile: UtilityProfile,
    name: str,
    codes: frozenset[Code],
    opt_out: OptOuts,
    protected_lanes: frozenset[str] = frozenset(),
) -> EventRules:
    return EventRules(
        name=name,
        codes=frozenset(profile.response_codes) & codes,
        resumes=profile.resumes,
        lists_modes=profile.lists_modes and name == "der",
        not_applicable=profile.not_applicable_code,
        opt_out=opt_out,
        protected=protected_lanes,
    )
