"""The few habits of STYLE.md that a machine can judge."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 700
# DERControlBase is the standard's own term.
FORBIDDEN_NAMES = re.compile(r"(Manager|Helper|Util|Utils|Info|(?<!Control)Base)$")
FORBIDDEN_FILES = {"utils", "common", "helpers", "manager", "util", "misc"}


def tracked(*suffixes: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    paths = [ROOT / name for name in listed if name.endswith(suffixes)]
    return [path for path in paths if path.is_file() and "python/dgm/api" not in path.as_posix()]


def test_every_python_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in tracked(".py")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked(".py", ".rs")
        if (count := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE
    }
    assert not long


def test_names_say_what_a_thing_is() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in tracked(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and FORBIDDEN_NAMES.search(node.name)
    ]
    wrong += [str(path.relative_to(ROOT)) for path in tracked(".py", ".rs") if path.stem in FORBIDDEN_FILES]
    assert not wrong


@pytest.mark.parametrize("word", ["time.sleep(", "asyncio.sleep(1)", "@pytest.mark.skip", "@pytest.mark.xfail"])
def test_tests_do_not_sleep_or_skip(word: str) -> None:
    own = Path(__file__).resolve()
    wrong = [
        str(path.relative_to(ROOT))
        for path in tracked(".py")
        if path.is_relative_to(ROOT / "tests") and path != own and word in path.read_text(encoding="utf-8")
    ]
    assert not wrong


def test_public_functions_of_the_product_are_documented() -> None:
    silent = []
    for path in tracked(".py"):
        if not path.is_relative_to(ROOT / "python" / "dgm"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if public and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not silent
