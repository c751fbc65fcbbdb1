"""Every SunSpec model decoded as an independent library decodes it; the layouts as the published files have them."""

from __future__ import annotations

import random
import runpy
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sunspec2.device as sunspec
import sunspec2.mb as sunspec_types

from dgm import _core

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "dgm_core" / "tables"
MODELS = sorted(int(path.stem.removeprefix("model_")) for path in Path(sunspec.models_dir, "json").glob("model_*.json"))
IMAGES = 6
"""Register images for each model."""


def test_the_layouts_are_those_of_the_published_models() -> None:
    script = runpy.run_path(str(TABLES / "sunspec.py"))
    for render, target in (("render", "TARGET"), ("render_units", "UNITS_TARGET")):
        assert script[render]() == script[target].read_text(encoding="utf-8"), "run dgm_core/tables/sunspec.py"
    assert len(MODELS) == 112


def counts_of(group: Mapping[str, Any]) -> Iterator[str]:
    """Names of the points that say how often a group stands."""
    for child in group.get("groups", []):
        if isinstance(child.get("count"), str):
            yield child["count"]
        yield from counts_of(child)


def random_point(point: Mapping[str, Any], dice: random.Random) -> bytes:
    """Registers of a point: often a value, sometimes "not implemented", sometimes an end of its range."""
    kind, size = point["type"], 2 * point["size"]
    if dice.random() < 0.15:
        return bytes(sunspec_types.create_unimpl_value(kind, len=size)).ljust(size, b"\0")[:size]
    match kind:
        case "string":
            length = dice.randint(1, size)
            return bytes(dice.randint(0x20, 0x7E) for _ in range(length)).ljust(size, b"\0")
        case "sunssf":
            return struct.pack(">h", dice.randint(-10, 10))
        case "float32":
            return struct.pack(">f", dice.choice([0.0, -1.5, 230.25, 1e9, dice.uniform(-1e6, 1e6)]))
        case "float64":
            return struct.pack(">d", dice.uniform(-1e12, 1e12))
        case "eui48":
            return b"\0\0" + dice.randbytes(6)
        case _:
            return dice.choice([dice.randbytes(size), b"\0" * size, b"\xff" * size, b"\x7f" + b"\xff" * (size - 1)])


def image(group: Mapping[str, Any], counts: Mapping[str, int], dice: random.Random) -> bytes:
    """Registers of a group with the given counts."""
    data = b""
    for point in group.get("points", []):
        value = counts.get(point["name"])
        data += random_point(point, dice) if value is None else value.to_bytes(2, "big")
    for child in group.get("groups", []):
        count = child.get("count", 1)
        times = counts[count] if isinstance(count, str) else dice.randint(0, 4) if count == 0 else count
        data += b"".join(image(child, counts, dice) for _ in range(times))
    return data


def model_image(model_id: int, dice: random.Random) -> bytes:
    """Registers of a whole model with its header. Counts begin at 1: the oracle takes 0 for a count not said."""
    group = sunspec.get_model_def(model_id)["group"]
    counts = {name: dice.randint(1, 3) for name in counts_of(group)}
    body = image({**group, "points": group["points"][2:]}, counts, dice)
    return model_id.to_bytes(2, "big") + (len(body) // 2).to_bytes(2, "big") + body


def raw_values(found: Mapping[str, object]) -> dict[str, object]:
    """What the core decoded, without scale factors."""
    plain: dict[str, object] = {}
    for name, value in found.items():
        match value:
            case tuple():
                plain[name] = value[0]
            case dict():
                plain[name] = raw_values(value)
            case list():
                plain[name] = [raw_values(item) for item in value]
            case _:
                plain[name] = value
    return plain


def oracle_values(group: sunspec.Group) -> dict[str, object]:
    """What pysunspec2 decoded: no filler, no header, absent lists as empty ones."""
    plain: dict[str, object] = {}
    for name, point in group.points.items():
        if point.pdef["type"] != "pad" and not (group is group.model and name in ("ID", "L")):
            plain[name] = point.value
    for child in group.gdef.get("groups", []):
        found = group.groups.get(child["name"], [])
        items = [oracle_values(item) for item in found] if isinstance(found, list) else oracle_values(found)
        plain[child["name"]] = items
    return plain


@pytest.mark.parametrize("model_id", MODELS)
def test_a_model_is_decoded_as_an_independent_library_decodes_it(model_id: int) -> None:
    for seed in range(IMAGES):
        data = model_image(model_id, random.Random(1000 * model_id + seed))
        oracle = sunspec.Model(model_id=model_id, model_len=len(data) // 2 - 2, data=data)
        assert not oracle.error_info, f"seed {seed}: {oracle.error_info}"
        assert raw_values(_core.sunspec_decode(model_id, data)) == oracle_values(oracle), f"seed {seed}"


@pytest.mark.parametrize("model_id", MODELS)
def test_scale_factors_are_taken_from_the_same_registers(model_id: int) -> None:
    data = model_image(model_id, random.Random(model_id))
    oracle = sunspec.Model(model_id=model_id, model_len=len(data) // 2 - 2, data=data)
    found = _core.sunspec_decode(model_id, data)
    for name, point in oracle.points.items():
        pair = found.get(name)
        if not point.sf_required or not isinstance(pair, tuple):
            continue
        raw, exponent = pair
        if exponent is None:
            assert point.sf is not None
            assert oracle.points[point.sf].value is None, name
        else:
            assert raw * 10.0**exponent == pytest.approx(point.cvalue, rel=1e-9), name


@pytest.mark.parametrize("model_id", [1, 103, 124, 203, 213, 701, 704, 705, 714, 802])
def test_a_truncated_model_decodes_to_what_is_there(model_id: int) -> None:
    data = model_image(model_id, random.Random(model_id))
    whole = raw_values(_core.sunspec_decode(model_id, data))
    for length in range(0, len(data), 2):
        for name, value in raw_values(_core.sunspec_decode(model_id, data[:length])).items():
            assert isinstance(value, dict | list) or value in (None, whole[name])


def test_what_cannot_be_decoded_says_what_is_wrong() -> None:
    with pytest.raises(_core.CoreError, match="found model 65;"):
        _core.sunspec_decode(65, b"")
    with pytest.raises(_core.CoreError, match="found 3 bytes"):
        _core.sunspec_decode(1, b"abc")
