"""The points of the DER facade: SunSpec's models of a DER, and two of DGM's own, as data.

    STANDARD       read: 701 measured, 702 ratings, 703 enter service, 704 what is asked of P and Q, 705, 706, 711, 712
                   curves and droop, 713 storage, 715 heartbeats         write: the controller's heartbeat in 715
    GATEWAY_MODEL  read: the link to the utility, targets, who is alive  write: heartbeat, availability, release
    LIMIT_MODEL    read: one limit, its end, what comes next, its origin write: the acknowledgement

What the kinds mean is dgm/maps/table.py, where the models stand registers.py; who fills them register_values.py and
sunspec_values.py.
"""

from __future__ import annotations

from dgm.maps.sunspec import standard
from dgm.maps.table import VALID_S_MAX, Group, Kind, Model, Point, Range, head, with_length

MAP_VERSION = 3
GATEWAY_MODEL_ID, LIMIT_MODEL_ID = 64_912, 64_913
U16, U32, I32, ENUM, TEXT = Kind.U16, Kind.U32, Kind.I32, Kind.ENUM, Kind.TEXT

MRID_REGISTERS = 16
MODE_REGISTERS = 12
POWER_MAX_W = 1_000_000_000
PERMYRIAD_MAX = 10_000
CONTROLLER_LEASE_S = 10
"""How long a count in 715's ControllerHb says that the EMS lives: SunSpec has it grow every second."""

CURVE_POINTS = 10
"""Of each curve: IEEE 2030.5 knows no more (S18 DERCurve)."""

_COUNTS = {"NCrv": 1, "NPt": CURVE_POINTS, "NCtl": 1}
_WRITES = {"ControllerHb": Range(low=0, high=0xFFFF_FFFE, expired=0, lease_s=CONTROLLER_LEASE_S)}
STANDARD = {
    model_id: standard(model_id, _COUNTS, writes=_WRITES)
    for model_id in (701, 702, 703, 704, 705, 706, 711, 712, 713, 715)
}
"""SunSpec's models by number. They say what is measured of the plant and what the utility asks of it."""

KINDS = ("IMPORT", "EXPORT", "GENERATION", "LOAD", "OUTPUT")
"""Of the limits, in the order in which they stand."""

LINK = ((0, "CONNECTING"), (1, "REGISTERED"), (2, "READY"), (3, "LOST"))
SCHEDULE = ((0, "NOT_TOLD"), (1, "TOLD"))
CONTROL = ((0, "NOBODY"), (1, "EMS"), (2, "LOST"))
LEASE_STATES = ((0, "NONE"), (1, "IN_FORCE"), (2, "EXPIRED"))
STATES = ((0, "NOT_TOLD"), (1, "NOT_LIMITED"), (2, "LIMITED"))
ORIGINS = ((0, "NONE"), (1, "AGREEMENT"), (2, "DEFAULT"), (3, "EVENT"))
ACKS = ((0, "NONE"), (1, "RECEIVED"), (2, "HELD"), (3, "CANNOT"))
TARGETS = ((0, "NONE"), (1, "FIXED_W"), (2, "TARGET_W"))
NO_YES = ((0, "NO"), (1, "YES"))

NO_END = "not known: it has no end"


def _w(name: str, label: str, text: str, kind: Kind = U32) -> Point:
    return Point(name=name, label=label, kind=kind, units="W", text=text)


def _s(name: str, label: str, text: str) -> Point:
    return Point(name=name, label=label, kind=U32, units="s", text=text)


def _ms(name: str, label: str, text: str) -> Point:
    return Point(name=name, label=label, kind=U32, units="s", sf=-3, text=text)


def _enum(name: str, label: str, symbols: tuple[tuple[int, str], ...], text: str) -> Point:
    return Point(name=name, label=label, kind=ENUM, symbols=symbols, text=text)


def _mrid(name: str, label: str, text: str) -> Point:
    return Point(name=name, label=label, kind=TEXT, length=MRID_REGISTERS, text=text)


def _said(
    name: str, label: str, text: str, *, units: str = "W", kind: Kind = U32, low: int = 0, high: int = POWER_MAX_W
) -> Point:
    sf = -2 if units == "Pct" else None
    write = Range(low=low, high=high, absent=True)
    return Point(
        name=name, label=label, kind=kind, units=units, sf=sf, text=f"{text}; not known: not said", write=write
    )


def _valid_s(name: str, label: str, text: str) -> Point:
    write = Range(low=0, high=VALID_S_MAX, expired=0)
    return Point(name=name, label=label, kind=U16, units="s", text=text, write=write)


AVAILABILITY = (
    _said("available_w", "WAval", "what the plant could put out now"),
    _said("absorb_available_w", "WAvalAbs", "what it could take now"),
    _said("available_var", "VarAval", "what it could inject now", units="Var"),
    _said("absorb_available_var", "VarAvalAbs", "what it could absorb now", units="Var"),
    _said("reserve_permyriad", "RsvPct", "of the rated output, kept in reserve", units="Pct", high=PERMYRIAD_MAX),
    _said("reserve_charge_permyriad", "RsvChaPct", "of the rated charge, likewise", units="Pct", high=PERMYRIAD_MAX),
    _said("availability_s", "AvalTms", "how long the reserve lasts", units="s", high=0xFFFF_FFFE),
    _said("max_charge_s", "ChaTms", "how long it could charge at its rate", units="s", high=0xFFFF_FFFE),
)

GATEWAY_MODEL = with_length(
    Model(
        id=GATEWAY_MODEL_ID,
        name="dgm_der",
        label="DGM DER gateway",
        text="The link to the utility, what it asks beside limits, and what an EMS says of the plant",
        points=(
            *head(GATEWAY_MODEL_ID),
            Point(name="map_version", label="MapVer", kind=U16, text="of this map", fixed=MAP_VERSION),
            Point(
                name="updates",
                label="Upd",
                kind=U16,
                text="grows with every update, once a second or sooner; it stands still when the gateway does",
            ),
            _enum("link", "Link", LINK, "to the utility's server"),
            _enum("schedule", "Sched", SCHEDULE, "whether the utility has told its controls, now or before a restart"),
            _ms("link_age_ms", "LinkAge", "since its last good answer"),
            _s("clock_s", "Clk", "the utility's clock, UTC; begins, ends and next steps are on it"),
            _enum("control", "Ctl", CONTROL, "whether an EMS says that it lives; LOST: it did, and was not released"),
            _ms("heartbeat_left_ms", "HbLeft", "until the heartbeat is lost; not known: there is none"),
            _enum("availability_state", "AvalSt", LEASE_STATES, "of the written availability"),
            _ms("availability_left_ms", "AvalLeft", "until it ends; not known: there is none"),
            Point(name="contended", label="Cont", kind=U32, text="writes over what another connected client holds"),
            _enum("energize", "Energize", NO_YES, "NO: nothing may come out of PV, batteries and V2X"),
            _enum("connect", "Connect", NO_YES, "NO: the same, and disconnect if you can"),
            _w("rating_w", "WMax", "setMaxW of the plant"),
            _w("charge_rating_w", "WMaxCha", "setMaxChargeRateW; not known: no storage"),
            Point(
                name="gradient_permyriad_s",
                label="WGra",
                kind=U16,
                units="Pct",
                sf=-2,
                text="setGradW, of setMaxW per second; 0: no ramp limit",
            ),
            _enum("target", "Tgt", TARGETS, "which target of PV and batteries together rules"),
            _w("target_w", "WTgt", "that target at the end of its ramp, positive into the plant", I32),
            _s("target_end_s", "TgtEnd", f"when it ends, the utility's clock; {NO_END}"),
            _s("target_left_s", "TgtLeft", f"until then; {NO_END}"),
            _w("storage_target_w", "WTgtSto", "target of the batteries alone, positive: charging", I32),
            _s("storage_target_end_s", "TgtStoEnd", f"when it ends, the utility's clock; {NO_END}"),
            _s("storage_target_left_s", "TgtStoLft", f"until then; {NO_END}"),
            Point(
                name="heartbeat",
                label="Hb",
                kind=U16,
                text="any number, for people",
                write=Range(low=0, high=0xFFFF, expired=0),
            ),
            _valid_s("heartbeat_valid_s", "HbVld", "how long the heartbeat lives; 0: lost"),
            *AVAILABILITY,
            _valid_s("available_valid_s", "AvalVld", "how long all this holds; after it nothing is said; 0: expired"),
            Point(
                name="release",
                label="Rel",
                kind=U16,
                text="write 1: the EMS is gone by its own will; all that was written ends",
                write=Range(low=1, high=1),
            ),
        ),
        groups=(
            Group(name="heartbeat", points=("heartbeat", "heartbeat_valid_s"), lease="heartbeat_valid_s"),
            Group(
                name="availability",
                points=(*(point.name for point in AVAILABILITY), "available_valid_s"),
                lease="available_valid_s",
            ),
        ),
    )
)

LIMIT_MODEL = with_length(
    Model(
        id=LIMIT_MODEL_ID,
        name="dgm_limit",
        label="DGM limit",
        text=(
            "One limit of the site: IMPORT and EXPORT bind at the connection point's meter, GENERATION (PV, battery "
            "and V2X discharge) and LOAD (EVSEs and battery charge) at the devices, OUTPUT what PV and batteries "
            "put out net"
        ),
        points=(
            *head(LIMIT_MODEL_ID),
            _enum("kind", "Kind", tuple(enumerate(KINDS)), "which limit this is"),
            Point(
                name="sequence",
                label="Seq",
                kind=U16,
                text="changes when the limit in force, its origin, its control or its end does",
            ),
            _enum(
                "state",
                "St",
                STATES,
                "NOT_TOLD: the utility has not told yet, hold what you know; NOT_LIMITED: by rule, nothing limits",
            ),
            _w("limit_w", "WLim", "to be held, at the end of its ramp; not known: see state"),
            _ms("ramp_left_ms", "RmpLeft", "until the end of the ramp; 0: there is none"),
            _enum("origin", "Src", ORIGINS, "whose it is: the site's own agreement, a default control, an event"),
            Point(name="mode", label="Mod", kind=TEXT, length=MODE_REGISTERS, text="control mode that states it"),
            _mrid("mrid", "MRID", "of the control that states it"),
            _s("began_s", "Beg", "when that control began, the utility's clock"),
            _s("end_s", "End", f"when it ends, the utility's clock; {NO_END}"),
            _s("left_s", "Left", f"until then; {NO_END}"),
            _enum("next_origin", "NxtSrc", ORIGINS, "whose the next step is; NONE: nothing limits then, or no step"),
            _w("next_w", "NxtWLim", "limit of the next step; not known: nothing limits then, or no step is known"),
            _s("next_s", "NxtBeg", "when it begins, the utility's clock; not known: no step is known"),
            _s("next_in_s", "NxtIn", "until then"),
            _s("next_end_s", "NxtEnd", f"when it ends; {NO_END}, or no step is known"),
            _mrid("next_mrid", "NxtMRID", "of the control that states the next step"),
            _w("default_w", "WDef", "of the stored default control; not known: there is none"),
            _w("agreement_w", "WAgr", "of the connection agreement, always in force; not known: site.yaml states none"),
            _enum("acknowledged", "Acked", ACKS, "what the EMS has said of this very limit, while its heartbeat lives"),
            Point(
                name="ack_sequence",
                label="AckSeq",
                kind=U16,
                text="sequence of the limit that is acknowledged; one that is over counts for nothing",
                write=Range(low=0, high=0xFFFE),
            ),
            Point(
                name="ack",
                label="Ack",
                kind=ENUM,
                symbols=ACKS[1:],
                text="seen, held by the plant, or cannot be held",
                write=Range(low=1, high=len(ACKS) - 1),
            ),
        ),
        groups=(Group(name="acknowledgement", points=("ack_sequence", "ack")),),
    )
)
