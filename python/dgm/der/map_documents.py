"""What is published of the DER facade's map: the page that introduces it, and its own two models.

SunSpec's models are listed by where they stand; their definitions are the SunSpec Alliance's own.
"""

from __future__ import annotations

from dgm.der.models import CONTROLLER_LEASE_S, GATEWAY_MODEL, KINDS, LIMIT_MODEL, MAP_VERSION, STANDARD
from dgm.der.registers import PLACES, UNIT, place
from dgm.maps.documents import Placed, Published
from dgm.maps.table import BASE, VALID_S_MAX, WRITE_BURST, WRITE_INTERVAL_MS

SAYS = {
    701: "the plant (PV and batteries) as measured; output is positive",
    702: "its ratings and settings, and which controls have an effect here",
    703: "whether it may be in service (Connect, Energize), and the default control's enter-service settings",
    704: "what the utility asks: limit of the output with what comes after it as revert, target, var, power factor",
    705: "volt-var curve, where one rules and is known",
    706: "volt-watt curve, likewise",
    711: "frequency droop, where one rules",
    712: "watt-var curve, likewise",
    713: "the batteries as one",
    715: f"heartbeats: DERHb is ours; ControllerHb counts as a heartbeat of {CONTROLLER_LEASE_S} s at every write",
    GATEWAY_MODEL.id: "see below",
    LIMIT_MODEL.id: "see below",
}

PREFACE = """\
# The DER facade, map version {version}

Generated from `python/dgm/der/models.py`: `dgm map der --format md`. The same is in `der.csv`, and as SunSpec model
definitions in `model_64912.json` and `model_64913.json`. Model ids of 64000 and above are vendors' own: these two are
DGM's. The others are the SunSpec Alliance's.

## How to find your way

- Unit {unit}, holding registers (the same as input registers) from {base}: `SunS`, common model 1, the models in this
  order, end marker. Walk the headers, they say where the next one is.

| address | model | what it says |
|---|---|---|
{chain}

- Big-endian, high word first. `sf` is a fixed power of ten: 15500 with sf -3 and s is 15.5 s. The scale factors of
  SunSpec's models stand still too.
- "Not known" is SunSpec's sentinel and never 0: all ones, for signed values the most negative number, for strings
  zeros. A limit of 0 W is a limit.
- One request reads values of one moment; no value is ever half old and half new. Model 701 is longer than a request.
- In DGM's own models power is positive into the plant; in SunSpec's what the plant puts out is positive.
- SunSpec's models are to be read: what stands in 704 and its like is what the utility asks. Writes get exception 2.

## What to do with a limit

- Hold `limit_w` of each of the {kinds} limits, by `ramp_left_ms` from now where there is a ramp. It is the tightest of
  the utility's control, its default and the connection agreement; `origin` says which. `agreement_w` holds always.
- `left_s` says until when, `next_in_s` and `next_w` what comes then: plan with them. Where a next step is known and
  its limit is not, nothing limits then.
- `state` NOT_TOLD: the utility has not told its schedule yet. Do not take a missing limit for freedom: hold what you
  know, or what the site's agreement says. NOT_LIMITED is said only where the utility's schedule is known.
- `updates` of model 64912 stands still for more than 10 s: the gateway is gone. Keep the tightest limit that you saw,
  then its default, then the agreement.
- Say what you do: a heartbeat first, then `ack` with the `sequence` of the limit. It counts for that very limit, while
  the heartbeat lives. The utility's responses follow its own clock and not this word.
- In a site with an EVSE facade the EVSEs are held under these limits by DGM whatever you write there.

## How to write

- A group is written whole, by one request of function 16, or it is refused and nothing happens.
- Heartbeat and availability say how long they hold, 1 to {valid_s} s, and end unless they are written again. The server
  itself ends them: the register of the time then shows 0.
- A lost heartbeat is told (`control` LOST, log, metric), the acknowledgements are gone with it, and nothing that was
  said of the plant's reserve is passed on once its own time is over. No limit ends or changes by it.
- The availability is what the utility is told of the plant's reserve, as far as the gateway reports it.
- Release says that you leave by your own will.
- Where two clients write the same group the last one wins; it is counted, and logged with both names.

| exception | why |
|---|---|
| 1 | the role in the client's certificate may not write this |
| 2 | no such register, or it is read-only |
| 3 | part of a group or of a value, out of range, no time or too long a time |
| 6 | too soon: per client and group {burst} at once, then one per {interval_ms} ms |
| 11 | no such unit |
"""


def _chain() -> str:
    lines = []
    for model, index, address in PLACES:
        says = SAYS[model.id] if index is None else f"the limit of {KINDS[index]}"
        name = model.label if model.id in STANDARD else f"{model.label} (own)"
        lines.append(f"| {address} | {model.id} {name} | {says} |")
    return "\n".join(lines)


DER_MAP = Published(
    name="der",
    preface=PREFACE.format(
        version=MAP_VERSION,
        unit=UNIT,
        base=BASE,
        chain=_chain(),
        kinds=len(KINDS),
        valid_s=VALID_S_MAX,
        burst=WRITE_BURST,
        interval_ms=WRITE_INTERVAL_MS,
    ),
    placed=(
        Placed(model=GATEWAY_MODEL, unit=str(UNIT), address=place(GATEWAY_MODEL).address),
        Placed(model=LIMIT_MODEL, unit=str(UNIT), address=place(LIMIT_MODEL, 0).address),
    ),
)
