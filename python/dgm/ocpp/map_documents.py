"""What is published of the EVSE facade's map: the page that introduces it, and its two models."""

from __future__ import annotations

from dgm.maps.documents import Placed, Published
from dgm.maps.table import BASE, MODEL_AT, VALID_S_MAX, WRITE_BURST, WRITE_INTERVAL_MS
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.registers import EVSE_UNITS, MAP_VERSION

PREFACE = """\
# The EVSE facade, map version {version}

Generated from `python/dgm/ocpp/models.py`: `dgm map evse --format md`. The same is in `evse.csv`, and as SunSpec model
definitions in `model_64910.json` and `model_64911.json`. Model ids of 64000 and above are vendors' own: this map is
DGM's, no SunSpec model of an EVSE exists.

## How to find your way

- Unit 1 is the site, unit n + 1 is EVSE n (1-based, in the order of site.yaml). With more than {units} EVSEs a unit
  holds those of n, n + {units}, n + {twice} one after another, each under its own model header.
- Holding registers (the same as input registers) from {base}: `SunS`, common model 1, the model, end marker. Models
  begin at {model_at}; walk the headers, they say where the next one is.
- Big-endian, high word first. `sf` is a fixed power of ten: 15500 with sf -3 and A is 15.5 A.
- "Not known" is SunSpec's sentinel and never 0: all ones, for signed values the most negative number, for strings
  zeros. Ages have registers of their own: a frozen value can be told from a steady one.
- One request reads values of one moment; no value is ever half old and half new.

## How to write

- A group is written whole, by one request of function 16, or it is refused and nothing happens.
- Every group says how long it holds, 1 to {valid_s} s. Unless it is written again it ends: an EVSE in its fallback, the
  total in the sum of the fallbacks; the heartbeat takes every EVSE to its fallback. The server itself ends it: the
  register of a cap in A then shows the fallback, that of the time 0.
- A sequence number must be newer than the one held, by less than 32768; after 65534 comes 0. Once the limit is in force
  the number is echoed.
- Caps only lower: the limits of the site, the utility and the CPO hold besides.
- The heartbeat puts you in control. Release ends everything that was written, and DGM shares by its own limits.
- Where two clients write the same group the last one wins; it is counted, and logged with both names.

| exception | why |
|---|---|
| 1 | the role in the client's certificate may not write this |
| 2 | no such register, or it is read-only |
| 3 | part of a group or of a value, out of range, no time or too long a time, a sequence number that is not newer |
| 6 | too soon: per client and group {burst} at once, then one per {interval_ms} ms |
| 11 | no such unit |
"""

EVSE_MAP = Published(
    name="evse",
    preface=PREFACE.format(
        version=MAP_VERSION,
        units=EVSE_UNITS,
        twice=2 * EVSE_UNITS,
        base=BASE,
        model_at=MODEL_AT,
        valid_s=VALID_S_MAX,
        burst=WRITE_BURST,
        interval_ms=WRITE_INTERVAL_MS,
    ),
    placed=(
        Placed(model=SITE_MODEL, unit="1", address=MODEL_AT),
        Placed(model=EVSE_MODEL, unit="n + 1", address=MODEL_AT, greatest="of the EVSE"),
    ),
)
