"""When the CALLs of ours may begin on a connection: at an accepted boot, or when the station shows that it needs none.

    connected ──BOOT_WAIT_MS, a CALL of the station, an accepted boot──> started

Some stations drop a connection on which they are commanded before their boot.
"""

from __future__ import annotations

from dgm.machine import Now

BOOT_WAIT_MS = 5_000
"""A reconnecting station need not boot again: after this without any CALL we go on."""

BOOT_ANSWER_WAIT_MS = 30_000
"""After a boot that the CSMS has not accepted yet."""


class Begin:
    """Of one connection of one station. at_ms: when it is started without another sign; None: at an accepted boot."""

    def __init__(self) -> None:
        self.is_started = False
        self.at_ms: int | None = None
        self._is_booting = False

    def connected(self, now: Now, *, waits_for_boot: bool) -> None:
        """A new connection."""
        wait_ms = BOOT_ANSWER_WAIT_MS if waits_for_boot else BOOT_WAIT_MS
        self.is_started, self._is_booting, self.at_ms = False, False, now.mono_ms + wait_ms

    def booting(self, now: Now) -> None:
        """The station boots."""
        self.is_started, self._is_booting, self.at_ms = False, True, now.mono_ms + BOOT_ANSWER_WAIT_MS

    def rejected(self) -> None:
        """Silence both ways until the station boots again (OCPP 1.6, 4.2)."""
        self.at_ms = None

    @property
    def needs_no_boot(self) -> bool:
        """Any other CALL of the station shows that it goes on without one."""
        return not self.is_started and not self._is_booting

    def is_due(self, now: Now) -> bool:
        """Nothing has come for long enough."""
        return not self.is_started and self.at_ms is not None and self.at_ms <= now.mono_ms

    def start(self) -> None:
        """From now on."""
        self.is_started, self._is_booting, self.at_ms = True, False, None
