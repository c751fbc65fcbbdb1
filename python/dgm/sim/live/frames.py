"""The frame log of one OCPP peer: for each frame sent or received its hash, so that both ends can be compared.

    exact bytes ──sha256──> {"utc_ms", "station", "dir": "tx"|"rx", "sha256", "type", "id", "action"(, "cause")}

`cause` stands with a reading that a TriggerMessage asked for: the id of that CALL. Payloads are not kept.
"""

from __future__ import annotations

import hashlib
import json

from dgm.sim.live.process import LineFile, utc_ms


class FrameLog:
    """Writes one line per frame, at the moment it is handed to or taken from the socket."""

    def __init__(self, file: LineFile) -> None:
        self.sent = 0
        self.received = 0
        self._file = file

    def sent_frame(
        self, station: str, text: str, *, message_type: int, message_id: str, action: str, cause: str | None = None
    ) -> None:
        """A frame of ours whose head is known."""
        self.sent += 1
        self._write(station, "tx", text.encode(), (message_type, message_id, action), cause)

    def sent_text(self, station: str, text: str) -> None:
        """A frame of ours, head to be read."""
        self.sent += 1
        self._write(station, "tx", text.encode(), head_of(text), None)

    def received_frame(self, station: str, raw: bytes) -> None:
        """A frame of the peer."""
        self.received += 1
        self._write(station, "rx", raw, head_of(raw), None)

    def _write(self, station: str, direction: str, raw: bytes, head: tuple[int, str, str], cause: str | None) -> None:
        line: dict[str, object] = {
            "utc_ms": utc_ms(),
            "station": station,
            "dir": direction,
            "sha256": hashlib.sha256(raw).hexdigest(),
            "type": head[0],
            "id": head[1],
            "action": head[2],
        }
        if cause is not None:
            line["cause"] = cause
        self._file.write(json.dumps(line))


def head_of(text: str | bytes) -> tuple[int, str, str]:
    """Type, id and action of a frame; (0, "", "") for what is none. The action of an answer is not in it."""
    try:
        frame = json.loads(text)
    except ValueError:
        return 0, "", ""
    match frame:
        case [2 | 6 as message_type, str(message_id), str(action), *_]:
            return message_type, message_id, action
        case [3 | 4 | 5 as message_type, str(message_id), *_]:
            return message_type, message_id, ""
    return 0, "", ""
