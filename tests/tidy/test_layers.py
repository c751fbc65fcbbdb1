"""The layers of ARCHITECTURE.md section 5, enforced on every import of the package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "dgm"

L0 = ("api", "errors", "_core")
# Whatever is not named as a codec or a shell in these packages is a pure core.
L1 = ("machine", "maps", "site", "ems", "der", "ocpp")
L2 = (
    "der.codec",
    "der.profiles",
    "ocpp.codec",
    "config",
    "document",
    "devices",
    "links",
    "stations_csv",
    "zone",
    "packs",
    "shipped",
)
L3 = (
    "site.service",
    "ems.service",
    "ems.field",
    "der.service",
    "der.client",
    "der.tls",
    "der.certificates",
    "ocpp.service",
    "ocpp.gateway",
    "runner",
    "facade",
    "rpc",
    "role",
    "clock",
    "journal",
    "auth",
    "metrics",
    "log",
    "trail",
    "sim.live",
)
L4 = ("cli", "app", "supervisor", "console")
FORBIDDEN_IN_L1 = {"asyncio", "grpc", "socket", "time", "datetime", "random", "logging", "structlog", "threading", "os"}
GATEWAYS = ("der", "ocpp", "ems")


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if path.name != "__init__.py" and not name.startswith("api."):
            found[name] = path
    return found


def matches(name: str, entry: str) -> bool:
    return name == entry or name.startswith(entry + ".")


def layer(name: str) -> int:
    for level, entries in ((0, L0), (3, L3), (2, L2), (1, L1), (4, L4)):
        if any(matches(name, entry) for entry in entries):
            return level
    if matches(name, "sim"):
        return 2
    raise AssertionError(f"{name}: no layer; give it a line in ARCHITECTURE.md section 5 and in this test")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(path: Path) -> set[str]:
    known = modules()
    names = {name.removeprefix("dgm.") for name in imports(path) if name.startswith("dgm.")}
    return {name for name in names if name in known}


@pytest.mark.parametrize("name", modules())
def test_every_import_goes_down(name: str) -> None:
    wrong = {other for other in own_imports(modules()[name]) if layer(other) > layer(name)}
    assert not wrong, f"dgm.{name} (layer {layer(name)}) imports upward: {sorted(wrong)}"


@pytest.mark.parametrize("name", [name for name in modules() if layer(name) == 1])
def test_a_pure_core_names_no_world(name: str) -> None:
    wrong = {found.split(".")[0] for found in imports(modules()[name])} & FORBIDDEN_IN_L1
    assert not wrong, f"dgm.{name} is a pure core and names {sorted(wrong)}"


@pytest.mark.parametrize("name", [name for name in modules() if name.split(".")[0] in GATEWAYS])
def test_the_roles_never_import_each_other(name: str) -> None:
    own = name.split(".")[0]
    wrong = {
        other for other in own_imports(modules()[name]) if other.split(".")[0] in GATEWAYS and not matches(other, own)
    }
    assert not wrong, f"dgm.{name} imports another role: {sorted(wrong)}; they meet only through dgm.api"


@pytest.mark.parametrize("name", [name for name in modules() if matches(name, "sim") and not matches(name, "sim.live")])
def test_the_simulator_needs_no_shell_and_no_world(name: str) -> None:
    path = modules()[name]
    wrong = {other for other in own_imports(path) if layer(other) > 2}
    world = {found.split(".")[0] for found in imports(path)} & FORBIDDEN_IN_L1
    assert not wrong, f"dgm.{name} imports shells: {sorted(wrong)}"
    assert not world, f"dgm.{name} names {sorted(world)}"


def rust_files() -> list[Path]:
    return sorted((ROOT / "dgm_core" / "src").rglob("*.rs"))


def inside(path: Path, *parts: str) -> bool:
    relative = path.relative_to(ROOT / "dgm_core" / "src").as_posix()
    return any(relative == part or relative.startswith(part + "/") for part in parts)


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"\bpyo3\b", ("py.rs", "py")),
        (r"\bprost\b", ("wire",)),
        (r"\bcrate::wire\b", ("wire", "py.rs", "py")),
        (r"\bcrate::reactor\b", ("reactor", "py.rs", "py")),
        (r"\b(mio|std::net|std::thread|libc)\b", ("reactor", "py")),
        (r"\bunsafe\b", ("py/copy.rs",)),
    ],
)
def test_rust_names_the_world_only_where_it_may(pattern: str, allowed: tuple[str, ...]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in rust_files()
        if not inside(path, *allowed)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line.split("//")[0])
    ]
    assert not wrong, f"{pattern} outside {allowed}: {wrong}"
