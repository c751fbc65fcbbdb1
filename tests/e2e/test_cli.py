"""The commands that a person types against a running site, each as its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from e2e_live import Live
from e2e_waiting import eventually

COMMAND_S = 20.0

pytestmark = pytest.mark.parametrize("live", ["run"], indirect=True)


def dgm(live: Live, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "dgm.cli.main", *words, "--site", str(live.world.site_file)],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def output(live: Live, *words: str) -> str:
    """Standard output of a command that ends well."""
    done = dgm(live, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stations_are_listed_for_people_and_for_programs(live: Live) -> None:
    listed = json.loads(output(live, "stations", "--json"))["stations"]
    by_id = {station["id"]: station for station in listed}
    assert set(live.world.station_ids) < set(by_id)
    for name in live.world.station_ids:
        assert by_id[name]["south"] == by_id[name]["north"] == "LINK_STATE_UP"
        assert by_id[name]["evses"][0]["plugState"] == "PLUG_STATE_CHARGING"
    table = output(live, "stations")
    assert all(name in table for name in live.world.station_ids)


def test_a_limit_is_put_listed_and_deleted(live: Live) -> None:
    words = ("--circuit", "grid", "--import-kw", "60.5", "--seconds", "120", "--reason", "by hand")
    assert "accepted cli-1" in output(live, "limit", "put", "cli-1", *words)
    listed = json.loads(output(live, "limit", "list", "--json"))["limits"]
    mine = next(status for status in listed if status["limit"]["id"] == "cli-1")
    assert mine["limit"]["powerW"] == "60500"
    assert mine["limit"]["source"] == "api:cli"
    assert 100_000 < int(mine["remainingMs"]) <= 120_000
    assert output(live, "limit", "delete", "cli-1").strip() == "deleted"
    assert "no such limit" in output(live, "limit", "delete", "cli-1")


def test_a_limit_of_one_evse_is_explained(live: Live) -> None:
    evse = live.world.evse_ids[0]
    assert "accepted cli-2" in output(live, "limit", "put", "cli-2", "--evse", evse, "--current-a", "9")
    try:
        eventually("the EVSE is lowered", lambda: live.client.setpoints_ma()[evse] == 9000)
        said = output(live, "explain", evse)
        assert said.startswith(f"{evse} is granted 9 A of 16 A wanted: limit cli-2 from api:cli")
        assert "origin   [cli] operator or program cli at the API" in said
        answer = json.loads(output(live, "explain", evse, "--json"))
        assert answer["bindingLimit"]["id"] == "cli-2"
        kinds = [cause["kind"].removeprefix("CAUSE_KIND_").lower() for cause in answer["chain"]]
        assert kinds[0] == "grant"
        assert kinds[-3:] == ["message", "proof", "effect"]
    finally:
        live.client.delete_limit("cli-2", source="api:cli")


def test_what_the_site_could_do_is_told_and_that_it_has_no_planner(live: Live) -> None:
    assert "import now: " in output(live, "flex")
    answer = json.loads(output(live, "flex", "--json"))
    assert [int(offer["durationMs"]) for offer in answer["offers"]][:2] == [300_000, 900_000]
    assert {part["assetId"] for part in answer["parts"]} >= {"battery", *live.world.evse_ids}
    assert output(live, "plan").startswith("no plan is in force: site.yaml lists no policy `planner`")


def test_the_site_is_watched_line_by_line(live: Live) -> None:
    updates = first_updates(live, 3)
    assert [update.get("snapshot", False) for update in updates] == [True, False, False]
    assert {sample["assetId"] for sample in updates[0]["samples"]} >= {"meter", "battery", *live.world.evse_ids}
    assert [int(update["sequence"]) for update in updates] == [1, 2, 3]


def first_updates(live: Live, count: int) -> list[dict[str, Any]]:
    """The first lines of `dgm watch --json`, which would go on for ever."""
    words = [sys.executable, "-m", "dgm.cli.main", "watch", "--json", "--site", str(live.world.site_file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            return [json.loads(process.stdout.readline()) for _ in range(count)]
        finally:
            process.kill()


def test_a_refused_request_and_an_unknown_evse_are_said_in_one_line(live: Live) -> None:
    for words in (("explain", "evse-999"), ("limit", "put", "cli-3", "--circuit", "nowhere", "--import-kw", "1")):
        done = dgm(live, *words)
        assert done.returncode == 3
        assert done.stderr.startswith("dgm: NOT_FOUND: ")
        assert len(done.stderr.splitlines()) == 1
