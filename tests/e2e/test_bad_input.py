"""Bad input: one message with every problem, exit code 2, and nothing started: no process, no socket, no journal."""

from __future__ import annotations

import copy
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e_product import ROLES
from e2e_waiting import processes_naming
from e2e_world import HOST, small_timeline

from dgm.sim.live import pki
from dgm.sim.live.site import free_ports
from dgm.sim.site_document import Endpoints, UtilityEndpoint, site_document

BAD_INPUT = 2
COMMAND_S = 30.0
ALL = (("check",), ("run",), *(("serve", role) for role in ROLES))
LINE = re.compile(r"  (?P<path>\S+)(?: \(line \d+\))?: found (?P<found>.+); expected (?P<expected>.+)")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A folder with a good site.yaml's document and its files; nothing listens on its ports."""

    folder: Path
    document: Document
    ports: list[int]

    @property
    def site_file(self) -> Path:
        """Where the file is written."""
        return self.folder / "site.yaml"

    def write(self, spoil: Callable[[Document], None]) -> None:
        """Write site.yaml with something spoiled."""
        document = copy.deepcopy(self.document)
        spoil(document)
        self.site_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A site that could be started, had it not been spoiled."""
    keys = pki.write_pki(tmp_path / "pki")
    ports = free_ports(6)
    utility = UtilityEndpoint(
        url=f"https://{HOST}:1/dcap",
        certificate=str(keys.device_certificate),
        private_key=str(keys.device_key),
        ca=str(keys.root_certificate),
        facade_port=ports[2],
    )
    endpoints = Endpoints(
        run_dir="run",
        modbus={name: port for port, name in enumerate(("meter", "pv-1", "pv-2", "battery"), start=1)},
        csms_urls={name: f"ws://{HOST}:1" for name in ("cpo-a", "cpo-b", "cpo-c")},
        ocpp_port=ports[0],
        ocpp_facade_port=ports[1],
        metrics_ports=(ports[3], ports[4], ports[5]),
        utility=utility,
    )
    return Desk(folder=tmp_path, document=site_document(small_timeline(), endpoints), ports=ports)


@pytest.fixture
def occupied(desk: Desk) -> Iterator[int]:
    """The port of the OCPP listener, with another server on it."""
    with socket.create_server((HOST, desk.ports[0])):
        yield desk.ports[0]


def answers(desk: Desk, *commands: tuple[str, ...]) -> dict[tuple[str, ...], tuple[int, str]]:
    """Exit code and standard error of commands that run at the same time."""
    started = {
        words: subprocess.Popen(
            [sys.executable, "-m", "dgm.cli.main", *words, str(desk.site_file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in commands
    }
    try:
        texts = {words: process.communicate(timeout=COMMAND_S)[1] for words, process in started.items()}
        return {words: (process.returncode, texts[words]) for words, process in started.items()}
    finally:
        for process in started.values():
            if process.poll() is None:
                process.terminate()
                process.wait()


def problems(text: str) -> list[tuple[str, str, str]]:
    """(path, found, expected) of the one message; it must consist of nothing else."""
    head, *rest = text.splitlines()
    found = [LINE.fullmatch(line) for line in rest]
    assert all(found), text
    assert re.search(rf": {len(rest)} problems?, nothing started$", head), text
    return [(match["path"], match["found"], match["expected"]) for match in found if match is not None]


def assert_nothing_started(desk: Desk, *, but: int | None = None) -> None:
    """No process, no journal, no socket of the role, no listener."""
    assert processes_naming(str(desk.site_file)) == []
    assert sorted(entry.name for entry in desk.folder.iterdir()) == ["pki", "site.yaml"]
    for port in desk.ports:
        with socket.socket() as probe:
            assert port == but or probe.connect_ex((HOST, port)) != 0


def unknown_key(document: Document) -> None:
    document["ocpp"]["prot"] = 9000


def duplicate_id(document: Document) -> None:
    document["stations"][1]["id"] = document["stations"][0]["id"]


def cycle(document: Document) -> None:
    document["circuits"][1]["parent"] = "feeder-2"
    document["circuits"][2]["parent"] = "feeder-1"


def wrong_key(document: Document) -> None:
    document["der"]["private_key"] = document["der"]["private_key"].replace("device", "server")


def unreadable_file(document: Document) -> None:
    document["der"]["ca"] = "no-such-file.pem"


def wrong_api_key(document: Document) -> None:
    der = document["der"]
    other_key = der["private_key"].replace("device", "server")
    document["api"] |= {"host": HOST, "port": free_ports(1)[0], "certificate": der["certificate"]}
    document["api"] |= {"private_key": other_key, "client_ca": der["ca"]}


def file_for_folder(document: Document) -> None:
    document["site"]["state_dir"] = document["der"]["ca"]


def long_run_dir(document: Document) -> None:
    document["site"]["run_dir"] = "r" * 100


@pytest.mark.parametrize(
    ("spoil", "where", "found", "expected"),
    [
        (unknown_key, "ocpp.prot", "unknown key 'prot'", "one of .*port.*"),
        (duplicate_id, "stations[1].id", "duplicate id 'CP-001', first at stations[0].id", "one station of each id"),
        (wrong_key, "der.private_key", ".* is not the key of .*", "the private key of the device certificate"),
        (unreadable_file, "der.ca", ".*no-such-file.pem: No such file or directory", "PEM certificates .*"),
        (wrong_api_key, "api.private_key", ".* is not the key of .*", "the private key of the certificate"),
        (file_for_folder, "site.state_dir", ".*: not a writable folder", "a folder of our own"),
        (long_run_dir, "site.run_dir", ".* characters", "at most 100 .*"),
    ],
)
def test_a_spoiled_site_is_refused_with_what_was_found_and_what_was_expected(
    desk: Desk, spoil: Callable[[Document], None], where: str, found: str, expected: str
) -> None:
    desk.write(spoil)
    code, text = answers(desk, ("run",))[("run",)]
    assert code == BAD_INPUT, text
    ((path, what, wanted),) = problems(text)
    assert path == where
    assert what == found or re.fullmatch(found, what)
    assert re.fullmatch(expected, wanted)
    assert_nothing_started(desk)


def test_an_address_in_use_is_refused_by_whom_it_concerns(desk: Desk, occupied: int) -> None:
    desk.write(lambda document: None)
    for code, text in answers(desk, ("check",), ("run",), ("serve", "ocpp")).values():
        assert code == BAD_INPUT
        ((path, found, expected),) = problems(text)
        assert path == "ocpp.port"
        assert found == f"{HOST}:{occupied}: Address already in use"
        assert expected.startswith("a free address")
    assert_nothing_started(desk, but=occupied)


def test_all_problems_stand_in_one_message(desk: Desk, occupied: int) -> None:
    def spoil(document: Document) -> None:
        for one in (unknown_key, duplicate_id, cycle, wrong_key, unreadable_file):
            one(document)

    desk.write(spoil)
    of_file = {"ocpp.prot", "stations[1].id", "circuits[1].parent", "circuits[2].parent"}
    of_roles = {"ocpp": {"ocpp.port"}, "der": {"der.private_key", "der.ca"}, "ems": set[str]()}
    for words, (code, text) in answers(desk, *ALL).items():
        assert code == BAD_INPUT
        concerned = of_roles[words[1]] if words[0] == "serve" else set().union(*of_roles.values())
        assert sorted(path for path, _, _ in problems(text)) == sorted(of_file | concerned), words
    assert_nothing_started(desk, but=occupied)


def test_a_site_that_cannot_be_read_is_refused(desk: Desk) -> None:
    for words, (code, text) in answers(desk, *ALL).items():
        assert code == BAD_INPUT, words
        assert problems(text) == [("(file)", "No such file or directory", "a readable site.yaml in UTF-8")]
    assert processes_naming(str(desk.site_file)) == []


def test_a_good_site_passes_the_check(desk: Desk) -> None:
    desk.write(lambda document: None)
    assert answers(desk, ("check",)) == {("check",): (0, "")}
