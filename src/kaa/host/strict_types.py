# SPDX-License-Identifier: Apache-2.0
"""pyright's strict mode over the sources, less what it cannot know: in Array[T, N] and Bits[T, N] the N is a number,
and Python's types have no word for one; in Guarded[T, "a | current()"] the second is no type.
`python -m kaa.host.strict_types` prints what is left (`./kaa check --all`)."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

from kaa.host import paths

SECONDS = 300
CANNOT_KNOW = ("Expected class but received \"Literal[", "Variable not allowed in type expression")
"""What pyright says of such an N."""


def _line(diagnostic: dict[str, Any]) -> str:
    """The source line that it is about."""
    number: int = diagnostic["range"]["start"]["line"]
    return pathlib.Path(diagnostic["file"]).read_text().splitlines()[number]


def is_a_number_in_a_type(diagnostic: dict[str, Any]) -> bool:
    """Does pyright only stumble over the N of an Array[T, N]?"""
    return diagnostic["message"].startswith(CANNOT_KNOW) and any(s in _line(diagnostic) for s in ("Array[", "Bits["))


def is_a_guard(diagnostic: dict[str, Any]) -> bool:
    """Does pyright take what guards a field for a type that is spelled later?"""
    if diagnostic["message"] != '"current" is not defined':
        return False
    line = _line(diagnostic)
    return "Guarded[" in line and "current()" in line


def errors() -> list[str]:
    """Place and message of each error. Raises TimeoutExpired after SECONDS."""
    done = subprocess.run([sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
                          cwd=paths.HOME, capture_output=True, text=True, timeout=SECONDS, check=False)
    return [f"{d['file']}:{d['range']['start']['line'] + 1} {d['message']}"
            for d in json.loads(done.stdout)["generalDiagnostics"]
            if d["severity"] == "error" and not is_a_number_in_a_type(d) and not is_a_guard(d)]


def main() -> int:
    """Prints the errors; 1 if there are any."""
    found = errors()
    print(*found, f"pyright: {len(found)} errors", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
