"""Which stand-in each station gets, and that books which cannot be used are named and left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from dgm import config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.ocpp.books import Message, PutFact, PutMessage
from dgm.ocpp.gateway import GatewayMetrics
from dgm.ocpp.outage_rules import Policy
from dgm.ocpp.service.outages import FILE_NAME, Outages

EXAMPLE = (Path(__file__).resolve().parents[2] / "deploy" / "site.example.yaml").read_text(encoding="utf-8")
LEFT = Message(sequence=1, message_id="m", action="StopTransaction", raw=b"[]", digest=b"d", answer=b"{}")


def site(outage: str, *, of_first: str = "") -> DgmConfig:
    document = yaml.safe_load(EXAMPLE)
    document["cpos"][0] |= {"outage": outage, "store_agreement": "contract 12"}
    if of_first:
        document["stations"][0]["outage"] = of_first
    return config.parse(yaml.safe_dump(document))


def opened(found: DgmConfig, state_dir: Path) -> tuple[Outages, CollectorRegistry]:
    registry = CollectorRegistry()
    return Outages(found, state_dir, lambda: "id", GatewayMetrics(registry)), registry


def policies(found: DgmConfig, outages: Outages) -> list[Policy | None]:
    made = [outages.of(station) for station in found.stations]
    return [None if outage is None else outage.policy for outage in made]


def test_a_station_follows_its_cpo_unless_it_has_a_policy_of_its_own(tmp_path: Path) -> None:
    found = site("store", of_first="strict")
    outages, registry = opened(found, tmp_path)
    assert policies(found, outages) == [None] + [Policy.STORE] * (len(found.stations) - 1)
    assert registry.get_sample_value("dgm_ocpp_books_good") == 1
    outages.close()


def test_where_all_is_strict_there_are_no_books(tmp_path: Path) -> None:
    found = site("strict")
    outages, registry = opened(found, tmp_path)
    assert set(policies(found, outages)) == {None}
    assert list(tmp_path.iterdir()) == []
    assert registry.get_sample_value("dgm_ocpp_books_good") == 1


def test_what_was_left_from_store_is_delivered_though_the_policy_is_strict_now(tmp_path: Path) -> None:
    outages, _ = opened(site("store"), tmp_path)
    assert outages.file is not None
    for change in (PutMessage(message=LEFT), PutFact(name="next", value=b"1900000002")):
        outages.file._apply("CP-1", change)
    outages.close()
    found = site("strict")
    outages, registry = opened(found, tmp_path)
    assert policies(found, outages)[0] is Policy.STRICT
    assert registry.get_sample_value("dgm_ocpp_books_waiting", {"cpo": "cpo-a"}) == 1
    outages.close()


@pytest.mark.parametrize("damage", ["whole", "page"])
def test_damaged_books_are_named_and_left_and_store_is_island(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, found = tmp_path / FILE_NAME, site("store")
    opened(found, tmp_path)[0].close()
    raw = path.read_bytes()
    path.write_bytes(b"not a database" * 500 if damage == "whole" else raw[:100] + b"\xff" * (len(raw) - 100))
    before = path.read_bytes()
    outages, registry = opened(found, tmp_path)
    assert outages.file is None
    assert registry.get_sample_value("dgm_ocpp_books_good") == 0
    outage = outages.of(found.stations[0])
    assert outage is not None
    assert not outage.does_store
    assert FILE_NAME in capsys.readouterr().out
    outages.start()
    outages.close()
    assert path.read_bytes() == before
