"""`dgm sim utility`: the simulated utility alone, playing a script, for trying a 2030.5 client of any make against it.

SCRIPT.yaml ──> server on 127.0.0.1, with a test PKI in --out ──> utility.jsonl, utility.json
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from dgm.errors import ConfigError, Problem
from dgm.sim.utility.script import ScriptError, steps_of

KEYS = {"title", "poll_s", "post_s", "pin", "in_band", "subscribable", "steps"}


def utility(
    script: Annotated[Path, typer.Option(help="what it does and when (YAML)", show_default=False)],
    out: Annotated[Path, typer.Option(help="test PKI, record and result")] = Path("utility"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="stop after this long")] = 3600,
) -> None:
    """Run the simulated 2030.5 utility with a script, until interrupted."""
    from dgm.sim.live import pki
    from dgm.sim.live import utility as live

    document = read_script(script)
    registered = not document.get("in_band", False)
    keys = pki.write_pki(out)
    typer.echo(f"certificate: {keys.device_certificate}\nprivate_key: {keys.device_key}\nca: {keys.root_certificate}")
    config = {
        "out_dir": str(out),
        "max_seconds": seconds,
        "port": port,
        "certificate": str(keys.server_certificate),
        "private_key": str(keys.server_key),
        "ca": str(keys.root_certificate),
        "devices": [{"lfdi": keys.device_lfdi, "pin": int(document.get("pin", 111115))}] if registered else [],
        "poll_s": int(document.get("poll_s", 60)),
        "post_s": int(document.get("post_s", 60)),
        "in_band": not registered,
        "subscribable": bool(document.get("subscribable", False)),
        "script": document["steps"],
    }
    asyncio.run(live.main(config))


def read_script(path: Path) -> dict[str, Any]:
    """A script file, checked. ConfigError for one that cannot be read or played."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.keys() - KEYS or not isinstance(document.get("steps"), list):
            raise ScriptError(f"expected steps and, optionally, {', '.join(sorted(KEYS - {'steps'}))}")
        steps_of(document["steps"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ScriptError) as error:
        problem = Problem(path="script", found=str(error), expected="a script as in deploy/examples/utility.yaml")
        raise ConfigError([problem], source=str(path)) from error
    return document
