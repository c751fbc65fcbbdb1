"""M20: what it costs to import the core, and how large a wheel with it is."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from modbus_bars import Figure
from modbus_processes import ROOT, Absent

PACKAGE = ROOT / "python" / "dgm"


def figures(rounds: int) -> list[Figure]:
    """Both of them, and what an empty interpreter imports anyway."""
    ours = [import_ms("dgm._core") for _ in range(2 * rounds)]
    beside = f"asyncio in the same way {min(import_ms('asyncio') for _ in range(rounds)):.1f} ms"
    return [Figure(name="M20 import", unit="ms", samples=ours, beside=beside), wheel()]


def import_ms(module: str) -> float:
    """One import in a fresh interpreter, with everything it pulls in."""
    code = f"import time; t = time.perf_counter(); import {module}; print((time.perf_counter() - t) * 1e3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    return float(done.stdout)


def wheel() -> Figure:
    """The package zipped as a wheel is: compressed, the core stripped of symbols."""
    try:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(PACKAGE.rglob("*.py*")):
                if path.suffix in {".py", ".pyi"}:
                    archive.write(path, path.relative_to(PACKAGE.parent))
            core = stripped()
            archive.writestr("dgm/_core.abi3.so", core)
    except Absent as reason:
        return Figure(name="M20 wheel", unit="MB", absent=str(reason))
    size_mb = len(packed.getvalue()) / 1e6
    return Figure(
        name="M20 wheel", unit="MB", value=size_mb, beside=f"the core alone, unpacked: {len(core) / 1e6:.2f} MB"
    )


def stripped() -> bytes:
    """The core without symbols."""
    found = sorted(PACKAGE.glob("_core*.so"))
    if not found or not shutil.which("strip"):
        raise Absent("no built core, or no strip")
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "core.so"
        subprocess.run(["strip", "-o", str(copy), str(found[0])], check=True)
        return copy.read_bytes()
