"""What simulated stations do differently from the standard, as stations in the field do.

    StationPlan.quirks ──> refusal of a profile, empty composite schedules, profiles that are forgotten

Each is one flag; a station may have several. Knows nothing of the product.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from dgm.sim.profiles import MAX, Profile

SMALL_ID_MAX = 20


class Quirk(StrEnum):
    """One way to be different."""

    REFUSES_MAX = "refuses_max"
    """ChargePointMaxProfile is not supported."""
    WATTS_ONLY = "watts_only"
    AMPS_ONLY = "amps_only"
    RELATIVE_ONLY = "relative_only"
    ONE_LEVEL = "one_level"
    """stackLevel must be 0."""
    SMALL_IDS = "small_ids"
    """chargingProfileId must not exceed the number of profiles."""
    EMPTY_COMPOSITE = "empty_composite"
    """GetCompositeSchedule is accepted and says nothing."""
    FORGETS = "forgets"
    """Profiles are gone when the connection is."""


def refusal(quirks: Collection[str], profile: Profile, kind: str) -> str | None:
    """The status with which a station of these quirks refuses a profile; None: it does not mind."""
    if Quirk.REFUSES_MAX in quirks and profile.purpose == MAX:
        return "NotSupported"
    refuses = (
        (Quirk.WATTS_ONLY in quirks and not profile.in_watts)
        or (Quirk.AMPS_ONLY in quirks and profile.in_watts)
        or (Quirk.RELATIVE_ONLY in quirks and kind != "Relative")
        or (Quirk.ONE_LEVEL in quirks and profile.stack_level > 0)
        or (Quirk.SMALL_IDS in quirks and profile.profile_id > SMALL_ID_MAX)
    )
    return "Rejected" if refuses else None
