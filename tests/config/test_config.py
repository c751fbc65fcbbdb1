"""site.yaml is parsed strictly, completely, and with every problem at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm import config
from dgm.api.site.v1.site_pb2 import Phase
from dgm.errors import ConfigError

EXAMPLE = (Path(__file__).resolve().parents[2] / "deploy" / "site.example.yaml").read_text(encoding="utf-8")


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    return [str(problem) for problem in caught.value.problems]


def changed(**changes: object) -> str:
    """The example with top-level sections replaced."""
    document = yaml.safe_load(EXAMPLE)
    document.update(changes)
    return yaml.safe_dump(document)


def test_the_annotated_example_is_accepted_and_gets_its_defaults() -> None:
    site = config.parse(EXAMPLE)
    assert site.ems.tick_ms == 100
    assert site.stations[1].evses[0].phases == [Phase.PHASE_L2, Phase.PHASE_L3, Phase.PHASE_L1]
    assert site.stations[0].evses[0].current_min_ma == 6000
    assert site.assets[2].charge_max_w == 30_000
    assert site.circuits[1].HasField("max_uncontrolled_w")
    assert not site.circuits[1].HasField("import_limit_w")


def test_unknown_and_duplicate_keys_and_wrong_types_are_listed_together_with_lines() -> None:
    text = EXAMPLE.replace("import_limit_w: 100000", "import_limit_kw: 100").replace(
        "  id: office-1\n", "  id: office-1\n  id: office-2\n"
    )
    text = text.replace("power_max_w: 30000\n    revert_w", "power_max_w: 30 kW\n    revert_w")
    found = "\n".join(problems_of(text))
    assert "circuits[0].import_limit_kw (line 21): found unknown key" in found
    assert "site.id (line 5): found the key 'id' a second time" in found
    assert "assets[1].power_max_w" in found
    assert "'30 kW'; expected a whole number (W)" in found


def test_an_outage_policy_is_island_unless_said_and_store_needs_the_agreement_of_the_cpo() -> None:
    assert config.parse(EXAMPLE).cpos[0].outage == "island"
    store = EXAMPLE.replace(
        "    url: wss://csms.example.com/ocpp", "    outage: store\n    url: wss://csms.example.com/ocpp"
    )
    (found,) = problems_of(store)
    assert "cpos[0].outage" in found
    assert "store_agreement of the cpo 'cpo-a'" in found
    agreed = store.replace("    outage: store\n", "    outage: store\n    store_agreement: contract 12\n")
    assert config.parse(agreed).cpos[0].outage == "store"
    (found,) = problems_of(EXAMPLE.replace("  - id: CP-1\n", "  - id: CP-1\n    outage: none\n"))
    assert "stations[0].outage" in found
    assert "'none'; expected strict, island or store" in found
    (found,) = problems_of(EXAMPLE.replace("  - id: CP-1\n", "  - id: CP-1\n    outage: store\n"))
    assert "stations[0].outage" in found


def test_a_duplicate_id_names_both_places() -> None:
    text = EXAMPLE.replace("{id: evse-2", "{id: evse-1")
    assert any(
        problem.startswith("stations[1].evses[0].id") and "first at stations[0].evses[0].id" in problem
        for problem in problems_of(text)
    )


def test_a_tree_with_a_cycle_is_shown_as_the_cycle() -> None:
    circuits = yaml.safe_load(EXAMPLE)["circuits"]
    circuits += [{"id": "a", "parent": "b"}, {"id": "b", "parent": "a"}]
    assert any("a cycle a > b > a" in problem for problem in problems_of(changed(circuits=circuits)))


def test_two_connection_points_are_refused() -> None:
    circuits = yaml.safe_load(EXAMPLE)["circuits"]
    del circuits[1]["parent"]
    assert any("2 circuits without a parent" in problem for problem in problems_of(changed(circuits=circuits)))


def test_a_limit_without_a_meter_needs_a_worst_case() -> None:
    circuits = yaml.safe_load(EXAMPLE)["circuits"]
    del circuits[1]["max_uncontrolled_w"]
    assert any("circuits[1].max_uncontrolled_w" in problem for problem in problems_of(changed(circuits=circuits)))


def test_the_same_port_twice_is_refused() -> None:
    text = EXAMPLE.replace("port: 1502", "port: 9000")
    assert any("already used by" in problem for problem in problems_of(text))


@pytest.mark.parametrize(
    "text", ["", "- a\n", "site: [1]\n", "\t", "a: &a [*a]\n", "site: {id: !!python/object:os.x 1}"]
)
def test_a_file_of_another_shape_is_refused_with_a_message(text: str) -> None:
    assert problems_of(text)


def test_values_that_yaml_reads_as_something_else_are_refused_not_guessed() -> None:
    assert problems_of(EXAMPLE.replace("port: 9000", "port: 9_000.0"))
    assert problems_of(EXAMPLE.replace("port: 9000", "port: 0x2328"))
    assert problems_of(EXAMPLE.replace("weight", "weight").replace("type: PV", "type: EVSE"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damaged_file_escapes_as_anything_but_a_config_error(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(EXAMPLE) - 1))
    length = data.draw(st.integers(0, 40))
    insert = data.draw(st.text(max_size=20))
    damaged = EXAMPLE[:position] + insert + EXAMPLE[position + length :]
    listed = 1
    try:
        config.parse(damaged)
    except ConfigError as error:
        listed = len(error.problems)
    assert listed > 0


def test_no_call_may_stand_before_a_safety_reduction_for_longer_than_10_s() -> None:
    slow = {**yaml.safe_load(EXAMPLE)["ocpp"], "call_timeout_s": 11}
    assert any("ocpp.call_timeout_s" in problem and "1..10" in problem for problem in problems_of(changed(ocpp=slow)))


def test_a_place_for_notifications_is_a_url_and_a_port_of_its_own() -> None:
    files = {"certificate": "a.pem", "private_key": "a.key", "ca": "ca.pem"}
    der = files | {"url": "https://utility.example/dcap", "site_rating_w": 100_000}
    found = problems_of(changed(der=der | {"notify": {"url": "http://site.example/notify", "port": 80}}))
    assert any("der.notify.url" in problem for problem in found)
    assert any("der.notify.port" in problem for problem in found)
    der |= {"notify": {"url": "https://site.example:9443/notify", "port": 9443}}
    assert config.parse(changed(der=der)).der.notify.host == "127.0.0.1"


def test_a_facade_is_secured_whole_or_not_at_all() -> None:
    ocpp = yaml.safe_load(EXAMPLE)["ocpp"]
    files = {"certificate": "a.pem", "private_key": "a.key", "ca": "ca.pem"}
    ocpp["facade"] |= {"tls": files, "write_roles": ["SiteEms"]}
    assert config.parse(changed(ocpp=ocpp)).ocpp.facade.tls.ca == "ca.pem"
    for facade, text in (
        ({"write_roles": ["SiteEms"]}, "ocpp.facade.write_roles"),
        ({"tls": files | {"ca": ""}}, "ocpp.facade.tls.ca"),
        ({"tls": files | {"server_name": "x"}}, "ocpp.facade.tls.server_name"),
        ({"tls": files, "write_roles": [""]}, "ocpp.facade.write_roles"),
    ):
        ocpp["facade"] = {"host": "127.0.0.1", "port": 1502} | facade
        [problem] = problems_of(changed(ocpp=ocpp))
        assert problem.startswith(text)


def test_an_own_identity_needs_a_name_that_no_station_has_and_a_websocket_url() -> None:
    taken = yaml.safe_load(EXAMPLE)["stations"][0]["id"]
    own = {"id": taken, "url": "http://x", "significance_percent": 0}
    cpo = {"id": "cpo-a", "url": "wss://csms/ocpp", "own": own}
    found = "\n".join(problems_of(changed(cpos=[cpo])))
    for path in ("own.id", "own.url", "own.significance_percent"):
        assert f"cpos[0].{path}" in found
    good = {"id": "cpo-a", "url": "wss://csms/ocpp", "own": {"id": "GW"}}
    assert config.parse(changed(cpos=[good])).cpos[0].own.significance_percent == 10
