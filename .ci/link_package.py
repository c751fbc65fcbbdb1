"""Makes the checkout importable in its virtual environment: a path file and the `dgm` command."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

COMMAND = """#!{python}
import sys

from dgm.cli.main import main

sys.exit(main())
"""


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    site_packages = Path(sysconfig.get_paths()["purelib"])
    (site_packages / "dgm.pth").write_text(f"{root / 'python'}\n", encoding="utf-8")
    command = Path(sys.prefix) / "bin" / "dgm"
    command.write_text(COMMAND.format(python=sys.executable), encoding="utf-8")
    command.chmod(0o755)


main()
