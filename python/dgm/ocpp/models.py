"""The points of the EVSE facade: the site model and the EVSE model, as data.

    SITE_MODEL   read: counts, who is in control, limits and their source, connection point      write: heartbeat, total
    EVSE_MODEL   read: state, phases, energies, the limit and why, obedience, ages               write: the leased cap

What the kinds mean is dgm/maps/table.py, where the models stand registers.py; who fills them is register_values.py.
"""

from __future__ import annotations

from dgm.maps.table import VALID_S_MAX, Group, Kind, Model, Point, Range, head, with_length
from dgm.ocpp.registers import EVSE_MODEL_ID, MAP_VERSION, SITE_MODEL_ID

U16, U32, I32, ENUM, BITS, TEXT = Kind.U16, Kind.U32, Kind.I32, Kind.ENUM, Kind.BITS, Kind.TEXT

WEIGHT_MAX = 1000
LIMIT_ID_REGISTERS = 24
ASSET_ID_REGISTERS = 24

PLUG = (
    (0, "AVAILABLE"),
    (1, "PREPARING"),
    (2, "CHARGING"),
    (3, "SUSPENDED_EV"),
    (4, "SUSPENDED_EVSE"),
    (5, "FINISHING"),
    (6, "RESERVED"),
    (7, "UNAVAILABLE"),
    (8, "FAULTED"),
    (9, "OFFLINE"),
)
SOURCES = ((0, "NONE"), (1, "SITE"), (2, "UTILITY"), (3, "CPO"), (4, "EMS_FACADE"), (5, "OTHER"), (6, "FALLBACK"))
PROVED = ((0, "NOTHING"), (1, "ACCEPTED"), (2, "READ_BACK"), (3, "MEASURED"))
OBEDIENCE = ((0, "OBEYS"), (1, "PENDING"), (2, "ABOVE"))
CAP_STATES = ((0, "NONE"), (1, "IN_FORCE"), (2, "EXPIRED"), (3, "REFUSED"))
CONTROL = ((0, "DGM"), (1, "EMS"), (2, "LOST"))
NO_YES = ((0, "NO"), (1, "YES"))


def _ma(name: str, label: str, text: str) -> Point:
    return Point(name=name, label=label, kind=U32, units="A", sf=-3, text=text)


def _mv(name: str, label: str, text: str) -> Point:
    return Point(name=name, label=label, kind=U32, units="V", sf=-3, text=text)


def _w(name: str, label: str, text: str, kind: Kind = U32) -> Point:
    return Point(name=name, label=label, kind=kind, units="W", text=text)


def _ms(name: str, label: str, text: str) -> Point:
    return Point(name=name, label=label, kind=U32, units="s", sf=-3, text=text)


SITE_MODEL = with_length(
    Model(
        id=SITE_MODEL_ID,
        name="dgm_site",
        label="DGM site",
        text="The site as an EMS sees and controls it",
        points=(
            *head(SITE_MODEL_ID),
            Point(name="map_version", label="MapVer", kind=U16, text="of this map", fixed=MAP_VERSION),
            Point(name="evses", label="Evses", kind=U16, text="number of EVSEs; EVSE n stands in unit n + 1"),
            Point(name="connected", label="Conn", kind=U16, text="EVSEs whose station is connected"),
            Point(name="plugged", label="Plug", kind=U16, text="EVSEs with a car"),
            Point(name="charging", label="Chg", kind=U16, text="EVSEs that say they charge"),
            Point(
                name="updates",
                label="Upd",
                kind=U16,
                text="grows with every update; it stands still when the gateway does",
            ),
            Point(
                name="control",
                label="Ctl",
                kind=ENUM,
                symbols=CONTROL,
                text="who is in control: DGM alone, the EMS whose heartbeat lives, or nobody since it was lost",
            ),
            _ms("heartbeat_left_ms", "HbLeft", "until the heartbeat is lost; not known: there is none"),
            Point(name="total_state", label="TotSt", kind=ENUM, symbols=CAP_STATES, text="of the written total cap"),
            _ms("total_left_ms", "TotLeft", "until the total cap ends; not known: there is none"),
            Point(name="total_in_force", label="TotSeqIf", kind=U16, text="sequence of the total cap in force"),
            Point(name="contended", label="Cont", kind=U32, text="writes over what another connected client holds"),
            _w("fallback_w", "WFb", "what the fallbacks of all EVSEs come to at nominal voltage"),
            _w("net_power_w", "W", "connection point, positive: import", I32),
            _ma("current_l1_ma", "AphA", "connection point, magnitude"),
            _ma("current_l2_ma", "AphB", "connection point, magnitude"),
            _ma("current_l3_ma", "AphC", "connection point, magnitude"),
            _mv("voltage_l1_mv", "PhVphA", "connection point, phase to neutral"),
            _mv("voltage_l2_mv", "PhVphB", "connection point, phase to neutral"),
            _mv("voltage_l3_mv", "PhVphC", "connection point, phase to neutral"),
            _ms("meter_age_ms", "MtrAge", "of these readings"),
            Point(name="meter_lost", label="MtrLost", kind=ENUM, symbols=NO_YES, text="the limits are at worst case"),
            _w("import_limit_w", "WImpLim", "tightest import limit in force at the connection point"),
            _w("export_limit_w", "WExpLim", "tightest export limit in force at the connection point"),
            _ma("current_limit_ma", "ALim", "tightest current limit in force at the connection point, per phase"),
            Point(
                name="import_limit_source",
                label="WImpSrc",
                kind=ENUM,
                symbols=SOURCES,
                text="whose the import limit is",
            ),
            Point(
                name="import_limit_id",
                label="WImpId",
                kind=TEXT,
                length=LIMIT_ID_REGISTERS,
                text="id of the import limit",
            ),
            _w("uncontrolled_w", "WUnctl", "load that nobody controls, as counted", I32),
            _w(
                "evse_power_w", "WEvse", "measured draw of all EVSEs; not known while one that charges is not seen", I32
            ),
            _w("evse_counted_w", "WEvseCnt", "what all EVSEs count for under the limits (SAFETY.md 2)"),
            _w("shortfall_w", "WShort", "by how much the limits cannot be met; 0: they are met"),
            Point(
                name="heartbeat",
                label="Hb",
                kind=U16,
                text="any number, for people",
                write=Range(low=0, high=0xFFFF, expired=0),
            ),
            Point(
                name="heartbeat_valid_s",
                label="HbVld",
                kind=U16,
                units="s",
                text="how long the heartbeat lives; after it every EVSE goes to its fallback; 0: lost",
                write=Range(low=0, high=VALID_S_MAX, expired=0),
            ),
            Point(
                name="total_sequence",
                label="TotSeq",
                kind=U16,
                text="newer than the one in force, by less than 32768",
                write=Range(low=0, high=0xFFFE),
            ),
            Point(
                name="total_cap_w",
                label="WTotCap",
                kind=U32,
                units="W",
                text="cap of all EVSEs, and of a battery that DGM charges, together; not known: none is asked",
                write=Range(low=0, high=1_000_000_000, absent=True),
            ),
            Point(
                name="total_valid_s",
                label="TotVld",
                kind=U16,
                units="s",
                text="how long it holds; after it the fallbacks of all EVSEs are the cap; 0: expired",
                write=Range(low=0, high=VALID_S_MAX, expired=0),
            ),
            Point(
                name="release",
                label="Rel",
                kind=U16,
                text="write 1: all that was written ends, DGM shares by its own limits",
                write=Range(low=1, high=1),
            ),
        ),
        groups=(
            Group(name="heartbeat", points=("heartbeat", "heartbeat_valid_s"), lease="heartbeat_valid_s"),
            Group(
                name="total",
                points=("total_sequence", "total_cap_w", "total_valid_s"),
                lease="total_valid_s",
                sequence="total_sequence",
            ),
        ),
    )
)

EVSE_MODEL = with_length(
    Model(
        id=EVSE_MODEL_ID,
        name="dgm_evse",
        label="DGM EVSE",
        text="One EVSE: what it does, what it may do and why, and the cap that an EMS gives it",
        points=(
            *head(EVSE_MODEL_ID),
            Point(name="number", label="Num", kind=U16, text="1-based, order of site.yaml"),
            Point(name="asset_id", label="AssetId", kind=TEXT, length=ASSET_ID_REGISTERS, text="id in site.yaml"),
            Point(name="plug_state", label="St", kind=ENUM, symbols=PLUG, text="what the station says of its plug"),
            Point(
                name="links",
                label="Link",
                kind=BITS,
                symbols=((0, "STATION"), (1, "CPO"), (2, "FLOOR_PROVED")),
                text="station connected, its CPO connected, fallback proved installed",
            ),
            Point(
                name="phases",
                label="Ph",
                kind=BITS,
                symbols=((0, "L1"), (1, "L2"), (2, "L3")),
                text="wired conductors of the site",
            ),
            _ma("current_l1_ma", "AphA", "on the site's L1"),
            _ma("current_l2_ma", "AphB", "on the site's L2"),
            _ma("current_l3_ma", "AphC", "on the site's L3"),
            _mv("voltage_l1_mv", "PhVphA", "phase to neutral"),
            _mv("voltage_l2_mv", "PhVphB", "phase to neutral"),
            _mv("voltage_l3_mv", "PhVphC", "phase to neutral"),
            _w("power_l1_w", "WphA", "on the site's L1, as far as the station tells it by phase", I32),
            _w("power_l2_w", "WphB", "on the site's L2, as far as the station tells it by phase", I32),
            _w("power_l3_w", "WphC", "on the site's L3, as far as the station tells it by phase", I32),
            _w("power_w", "W", "positive: into the EVSE", I32),
            Point(name="energy_wh", label="WhTot", kind=U32, units="Wh", text="import register of the EVSE"),
            Point(
                name="session_wh",
                label="WhSes",
                kind=U32,
                units="Wh",
                text="taken since the first reading of this transaction that the gateway saw",
            ),
            Point(name="soc_permille", label="SoC", kind=U16, units="Pct", sf=-1, text="where the car tells it"),
            _ma("limit_ma", "ALim", "effective limit per phase: the newest setpoint, or the fallback"),
            _w("limit_w", "WLim", "the same at nominal voltage on all wired phases"),
            Point(name="limit_source", label="LimSrc", kind=ENUM, symbols=SOURCES, text="whose limit bound it"),
            Point(name="limit_id", label="LimId", kind=TEXT, length=LIMIT_ID_REGISTERS, text="id of that limit"),
            _ma("proved_ma", "AProved", "limit proved in the station"),
            Point(name="proved_by", label="ProvedBy", kind=ENUM, symbols=PROVED, text="how far it is proved"),
            Point(
                name="obedience",
                label="Obed",
                kind=ENUM,
                symbols=OBEDIENCE,
                text="keeps the limit; a lower limit is not proved yet; draws clearly more than it was allowed",
            ),
            _ma("fallback_ma", "AFb", "what holds when nobody is alive"),
            _ms("reading_age_ms", "RdAge", "of currents, voltages, powers, energies"),
            _ms("plug_age_ms", "StAge", "of plug_state"),
            Point(name="cap_state", label="CapSt", kind=ENUM, symbols=CAP_STATES, text="of the written cap"),
            _ms("cap_left_ms", "CapLeft", "until the written cap ends; not known: there is none"),
            Point(name="in_force", label="CapSeqIf", kind=U16, text="sequence of the written cap in force"),
            Point(
                name="sequence",
                label="CapSeq",
                kind=U16,
                text="newer than the one in force, by less than 32768",
                write=Range(low=0, high=0xFFFE),
            ),
            Point(
                name="cap_ma",
                label="ACap",
                kind=U32,
                units="A",
                sf=-3,
                text="cap per phase, up to the EVSE's maximum; not known: none in A. Expired: the fallback",
                write=Range(low=0, high=None, absent=True),
            ),
            Point(
                name="cap_w",
                label="WCap",
                kind=U32,
                units="W",
                text="cap in W, turned into A as it is written; not known: none in W. Of the two the tighter one holds",
                write=Range(low=0, high=None, absent=True),
            ),
            Point(
                name="priority",
                label="Pri",
                kind=U16,
                text="share weight, 1..1000; not known: as in site.yaml",
                write=Range(low=1, high=WEIGHT_MAX, absent=True),
            ),
            Point(
                name="may_pause",
                label="MayPause",
                kind=ENUM,
                symbols=NO_YES,
                text="whether it may be paused in favour of others; not known: yes",
                write=Range(low=0, high=1, absent=True),
            ),
            Point(
                name="cap_valid_s",
                label="CapVld",
                kind=U16,
                units="s",
                text="how long all this holds; after it the EVSE goes to its fallback; 0: expired",
                write=Range(low=0, high=VALID_S_MAX, expired=0),
            ),
        ),
        groups=(
            Group(
                name="cap",
                points=("sequence", "cap_ma", "cap_w", "priority", "may_pause", "cap_valid_s"),
                lease="cap_valid_s",
                sequence="sequence",
            ),
        ),
    )
)
