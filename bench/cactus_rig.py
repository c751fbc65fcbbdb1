"""Judge the DER gateway by the public CACTUS runner itself, started here on loopback with its reference server.

    cactus_rig.py ALL-01 ALL-18 ... --runner-python VENV/bin/python --version v1.2 --lanes 4 --out results.json
    DerCore + UtilityClient ──mutual TLS──> Lane (cactus_stack): the runner, which plays a procedure and judges it

The venv is the user's own: it holds cactus-runner, envoy and cactus-test-definitions, which are no part of DGM. Needed
besides: PostgreSQL's initdb and pg_ctl. Procedures run in real time; lanes run side by side. What is judged and when a
procedure is over is the runner's; the site is a made-up plant that does at once what it is told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import re
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import aiohttp

from cactus import Drive, config_of, drive
from cactus_stack import PEN, Lane, Stack, database, free_port, run
from dgm.der.nodes import VERSIONS_PATH
from dgm.sim.live.pki import write_pki
from dgm.sim.utility.plant import SitePlant

START_S_MAX = 300
LOOK_S = 10
AFTER_S_MAX = 780
"""After its last step a procedure may want responses of controls that run for ten minutes."""
PIN = "111115"
WITH_PIN = ("ALL-01", "ALL-03-REJ", "ALL-04")
"""Where the device is registered out of band; elsewhere the server draws a PIN that nobody is told."""
SUBSCRIBING = frozenset(
    {*(f"ALL-{number}" for number in range(14, 18)), *(f"{kind}-0{n}" for kind in ("GEN", "LOA") for n in range(5, 9))}
)
"""Procedures that want notifications; in the others the client polls."""
OF_REPORT = ("resource-requests", "all-polls-at-correct-time")
"""Criteria that the runner judges in its report only: the summary is made without the requests."""
PLANT_W = 40_000
"""Between 50 and 105 % of what the runner takes for the most: setMaxDischargeRateW and setMaxChargeRateW, 50 kW."""
LOADED = ("ALL-07", "ALL-08", "ALL-11", "ALL-12", "ALL-26", "ALL-27")
"""Where the plant has a load to feed, for the default of these procedures lets nothing out."""
DEVICES = tuple(f"{number:032X}{PEN:08d}" for number in (0xA6676, 0xB6676))
"""LFDIs of EndDevices behind an aggregator: the last 8 digits are the PEN in decimal."""
PAIRS = ("P-01",)
"""Where there are two of them."""
PLANTS = {"ALL-06": 37_500, "ALL-29": 15_000, "DRG-01": 45_000}
"""W of generation where a procedure asks for another part of the rating."""
RUN_REQUEST = """
import sys
from cactus_schema.runner import RunGroup, RunRequest, TestCertificates, TestConfig, TestDefinition, TestUser
from cactus_test_definitions import CSIPAusVersion
from cactus_test_definitions.client import TestProcedureId
from cactus_test_definitions.client.test_procedures import get_yaml_contents
name, version, kind, pen = sys.argv[1:]
procedure = TestProcedureId(name)
certificates = {"aggregator": None, "device": None} | {kind: sys.stdin.read()}
print(RunRequest(
    run_id="1",
    test_definition=TestDefinition(test_procedure_id=procedure, yaml_definition=get_yaml_contents(procedure)),
    run_group=RunGroup(run_group_id="1", name="dgm", csip_aus_version=CSIPAusVersion(version),
                       test_certificates=TestCertificates(**certificates)),
    test_config=TestConfig(pen=int(pen), subscription_domain="localhost", is_static_url=False),
    test_user=TestUser(user_id="1", name="dgm"),
).to_json())
"""


async def judge(lane: Lane, name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Play one procedure; the runner's verdict."""
    stack = lane.stack
    arguments = (name, given.version, given.kind, str(PEN))
    certificate = stack.pki.device_certificate.read_text()
    request = await run(str(stack.python), "-c", RUN_REQUEST, *arguments, env=stack.environment("x"), given=certificate)
    headers = {"Content-Type": "application/json"}
    async with lane.session.post(f"{lane.runner}/initialise", data=request, headers=headers) as answer:
        text = await answer.text()
    if answer.status != 201:
        return {"name": name, "passed": False, "why": f"initialise: {answer.status} {text[:300]}"}
    state = state_of(lane, name, given)
    gateway = asyncio.create_task(drive(state, given.seconds + START_S_MAX))
    try:
        why = "" if _snake(json.loads(text))["is_started"] else await _start(lane, gateway)
        why = why or await _watch(lane, given.seconds, gateway, _operator(name, state.plant))
    finally:
        gateway.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gateway
    async with lane.session.post(f"{lane.runner}/finalize") as answer:
        archive = await answer.read()
    (lane.stack.folder / f"{name}.zip").write_bytes(archive)
    return {"name": name, **verdict(archive, why), "requests": state.answered}


def state_of(lane: Lane, name: str, given: argparse.Namespace) -> Drive:
    """The gateway for one procedure: its journal empty, its plant as the procedure wants it."""
    config = config_of(given)
    config.der.url = lane.url + (VERSIONS_PATH if name.startswith("SDVN") else "/dcap")
    config.der.pin = PIN if name in WITH_PIN else ""
    config.der.demand_response_modes = name.startswith(("DRA", "DRG", "DRL"))
    config.der.notify.url = f"https://localhost:{free_port()}/notify" if name in SUBSCRIBING else ""
    is_load = name.startswith(("LOA", "ALT-LOA", "DRL"))
    plant = SitePlant(load_w=PLANT_W) if is_load else SitePlant(generation_w=PLANTS.get(name, PLANT_W))
    plant.load_w = max(plant.load_w, PLANT_W if name in LOADED else 0)
    log = lane.stack.folder / f"{name}.jsonl"
    devices = DEVICES[: 2 if name in PAIRS else 1] if given.kind == "aggregator" else ()
    return Drive(config=config, profile=given.profile, plant=plant, log=log, devices=devices)


async def _start(lane: Lane, gateway: asyncio.Task[None]) -> str:
    """Ask until the runner starts the procedure: until the client has put in place what it wants first."""
    text = ""
    for _ in range(START_S_MAX // LOOK_S):
        if gateway.done():
            return f"gateway: {gateway.exception()!r}"
        async with lane.session.post(f"{lane.runner}/start") as answer:
            text = await answer.text()
            if answer.status == 200:
                return ""
        await asyncio.sleep(LOOK_S)
    return f"not started: {text[:300]}"


def _operator(name: str, plant: SitePlant) -> Callable[[Collection[str]], None]:
    """What a person does to the plant when the runner asks for it: open the switch, or take the source away."""

    def act(active: Collection[str]) -> None:
        is_off = any(step.startswith("PUT-DERSTATUS-DISCONNECT") for step in active)
        if name == "ALL-07":
            plant.is_connected = not is_off
        elif name == "ALL-08":
            plant.generation_w = 0 if is_off else PLANT_W

    return act


async def _watch(
    lane: Lane, seconds: float, gateway: asyncio.Task[None], operate: Callable[[Collection[str]], None]
) -> str:
    """Wait for the end; do and say what a person would. Controls may still run when the last step is done."""
    since_s: float | None = None
    for _ in range(int(seconds // LOOK_S)):
        await asyncio.sleep(LOOK_S)
        if gateway.done():
            return f"gateway: {gateway.exception()!r}"
        async with lane.session.get(f"{lane.runner}/status") as answer:
            status = _snake(await answer.json()) if answer.status == 200 else {}
        steps = status.get("step_status") or {}
        if status.get("timestamp_start") and _is_finished(status):
            since_s = asyncio.get_running_loop().time() if since_s is None else since_s
            if _is_content(status) or asyncio.get_running_loop().time() - since_s > AFTER_S_MAX:
                return ""
        operate([name for name, item in steps.items() if _is_active(item)])
        if any(name.startswith("PROCEED") and _is_active(item) for name, item in steps.items()):
            async with lane.session.get(f"{lane.runner}/proceed") as answer:
                await answer.read()
    return "time is over"


def _is_active(step: dict[str, Any]) -> bool:
    return bool(step.get("started_at")) and not step.get("completed_at")


def _is_content(status: dict[str, Any]) -> bool:
    """Nothing that can be told before the report is missing."""
    found = [item for item in status.get("criteria") or [] if item["type"] not in OF_REPORT]
    return all(item.get("success") is not False for item in found)


def _is_finished(status: dict[str, Any]) -> bool:
    """Nothing is waited for any more: a step that fails the test if it comes stays open."""
    steps = status.get("step_status") or {}
    active = [name for name, item in steps.items() if _is_active(item)]
    return all(name.startswith("FAIL") for name in active) and any(item.get("completed_at") for item in steps.values())


def verdict(content: bytes, why: str) -> dict[str, Any]:
    """What the runner says of a procedure, from its archive."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        summary, report = _document(archive, "CactusTestProcedureSummary"), _document(archive, "ReportingData")
    except (zipfile.BadZipFile, StopIteration):
        return {"passed": False, "why": f"{why} no summary: {content[:300]!r}"}
    criteria = [item for item in summary.get("criteria", []) if item["type"] not in OF_REPORT]
    failed = [f"{item['type']}: {item['details']}"[:400] for item in criteria if item.get("success") is False]
    checks = report.get("check_results") or {}
    failed += [f"{key}: {item.get('description')}"[:400] for key, item in checks.items() if not item["passed"]]
    xml = {fault for item in summary.get("request_history") or [] for fault in item.get("body_xml_errors") or []}
    warnings = [f"{item['type']}: {item['message']}"[:400] for item in summary.get("warnings", [])]
    steps = summary.get("step_status") or {}
    return {
        "passed": bool(criteria or checks) and not failed and not xml and not why,
        "why": why,
        "failed": failed,
        "open_steps": [key for key, item in steps.items() if not item.get("completed_at")],
        "xml": sorted(xml)[:5],
        "warnings": warnings,
    }


def _document(archive: zipfile.ZipFile, start: str) -> dict[str, Any]:
    name = next(item for item in archive.namelist() if item.startswith(start))
    found: dict[str, Any] = _snake(json.loads(archive.read(name)))
    return found


def _snake(value: Any) -> Any:
    """Keys as the runner's classes name them: its JSON writes them with humps. Names of steps have none."""
    if isinstance(value, list):
        return [_snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"(?<=[a-z])([A-Z])", _lowered, key): _snake(item) for key, item in value.items()}


def _lowered(found: re.Match[str]) -> str:
    return "_" + found[1].lower()


async def work(lane: Lane, queue: list[str], results: list[dict[str, Any]], given: argparse.Namespace) -> None:
    """One lane: take procedures from the queue until it is empty."""
    await lane.open()
    while queue:
        name = queue.pop(0)
        try:
            result = await judge(lane, name, given)
        except (RuntimeError, aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError) as error:
            result = {"name": name, "passed": False, "why": f"{type(error).__name__}: {error}"[:500]}
        results.append(result)
        print(json.dumps(result), flush=True)
        if given.out:
            given.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


async def play(given: argparse.Namespace, stack: Stack) -> int:
    """Every procedure once; 0 if all passed."""
    queue, results = list(given.procedures), list[dict[str, Any]]()
    async with database(stack), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        lanes = [Lane(stack=stack, number=number, session=session) for number in range(given.lanes)]
        try:
            await asyncio.gather(*(work(lane, queue, results, given) for lane in lanes))
        finally:
            await stack.stop()
    return 0 if all(item["passed"] for item in results) else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("procedures", nargs="+", help="their ids, ALL-01")
    parser.add_argument("--runner-python", type=Path, required=True, help="of the venv with cactus-runner and envoy")
    parser.add_argument("--postgres", type=Path, default=Path("/usr/lib/postgresql/15/bin"), help="initdb and pg_ctl")
    parser.add_argument("--version", default="v1.2", help="CSIP-AUS version that the runner takes: v1.2, v1.3")
    parser.add_argument("--profile", default="csip-aus-1.2", help="of the gateway")
    parser.add_argument("--kind", choices=("device", "aggregator"), default="device", help="whose certificate")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1800, help="of one procedure at most")
    parser.add_argument("--nmi", default="1234567890")
    parser.add_argument("--out", type=Path)
    parser.set_defaults(pen=PEN, pin="", in_band=True, url="", notify_url="")
    return parser.parse_args()


def main() -> int:
    """Run."""
    given = arguments()
    # Told to end, it still ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="cactus-rig-"))
    # The database runs as another user when this runs as root.
    folder.chmod(0o755)
    pki = write_pki(folder / "pki")
    given.cert, given.key, given.ca = pki.device_certificate, pki.device_key, pki.root_certificate
    print(f"logs: {folder}", flush=True)
    stack = Stack(python=given.runner_python, postgres=given.postgres, folder=folder, pki=pki)
    return asyncio.run(play(given, stack))


if __name__ == "__main__":
    sys.exit(main())
