"""Stations come from a CSV file too: read completely, and every problem is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm import config
from dgm.api.site.v1.site_pb2 import Phase
from dgm.app import examine
from dgm.stations_csv import read_stations

EXAMPLE = (Path(__file__).resolve().parents[2] / "deploy" / "site.example.yaml").read_text(encoding="utf-8")
HEAD = "station,cpo,evse,connector_id,circuit,phases,current_max_ma,fallback_ma\n"
GOOD = HEAD + "CP-8,cpo-a,evse-8,1,garage,L1 L2 L3,16000,6000\nCP-8,,evse-9,2,garage,l2,32000,\n\n"


def problems(text: str) -> list[str]:
    _, found = config.examine(EXAMPLE + "\nstations_csv: list.csv\n", read={"list.csv": text}.__getitem__)
    return [str(problem) for problem in found]


@pytest.mark.parametrize("text", [GOOD, GOOD.replace(",", ";"), "\ufeff" + GOOD.replace("\n", "\r\n")])
def test_stations_of_the_file_stand_behind_those_of_site_yaml(text: str) -> None:
    assert problems(text) == []
    site = config.parse(EXAMPLE + "\nstations_csv: list.csv\n", read=lambda _: text)
    station = site.stations[-1]
    assert (station.id, station.cpo, len(station.evses)) == ("CP-8", "cpo-a", 2)
    assert [evse.connector_id for evse in station.evses] == [1, 2]
    assert station.evses[1].phases == [Phase.PHASE_L2]
    assert (station.evses[1].fallback_ma, station.evses[1].current_min_ma) == (0, 6000)


def test_the_outage_policy_is_a_column_like_any_other() -> None:
    text = GOOD.replace("fallback_ma\n", "fallback_ma,outage\n").replace("16000,6000\n", "16000,6000,strict\n")
    text = text.replace("32000,\n", "32000,,\n")
    assert config.parse(EXAMPLE + "\nstations_csv: list.csv\n", read=lambda _: text).stations[-1].outage == "strict"
    found = "\n".join(problems(text.replace("strict", "store")))
    assert "stations_csv.outage (line 2): found store without the CPO's agreement" in found


def test_everything_that_is_wrong_is_told_with_its_line() -> None:
    rows = [
        "CP-8,cpo-a,evse-8,1,garage,L1 L2 L3,16 A,6000",
        "CP-8,cpo-b,evse-8,2,garage,L4,16000,6000",
        "CP-1,cpo-a,evse-20,1,attic,L1,16000,6000",
        "CP-21,cpo-a,evse-21,1",
    ]
    found = "\n".join(problems(HEAD + "\n".join(rows) + "\n"))
    assert "stations_csv.current_max_ma (line 2): found '16 A'" in found
    assert "stations_csv.cpo (line 3): found 'cpo-b' for 'CP-8'; expected 'cpo-a' as in line 2" in found
    assert "stations_csv.phases (line 3): found 'L4'" in found
    assert "stations_csv.id (line 3): found duplicate id 'evse-8'" in found
    assert "stations_csv.id (line 4): found duplicate id 'CP-1', first at stations[0].id" in found
    assert "stations_csv.circuit (line 4): found 'attic'" in found
    assert "stations_csv (line 5): found 4 values; expected 8" in found


def test_a_header_must_have_the_columns_that_are_needed_and_none_that_is_unknown() -> None:
    found = "\n".join(problems("station,cpo,evse,evse,colour\n"))
    assert "stations_csv.circuit (line 1): found no such column" in found
    assert "found column 'colour'; expected one of station, evse" in found
    assert "stations_csv.evse (line 1): found the column a second time" in found


def test_a_file_that_is_not_there_is_a_problem_of_its_own(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(EXAMPLE + "\nstations_csv: nowhere.csv\n", encoding="utf-8")
    (found,) = [problem for problem in examine(site).problems if problem.path == "stations_csv"]
    assert "nowhere.csv: No such file" in str(found)
    (tmp_path / "nowhere.csv").write_text(GOOD, encoding="utf-8")
    assert not [problem for problem in examine(site).problems if problem.path.startswith("stations")]


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=300))
def test_any_text_is_read_or_told_and_never_raises(text: str) -> None:
    read_stations(text)
    read_stations(HEAD + text)
