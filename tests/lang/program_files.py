# SPDX-License-Identifier: Apache-2.0
"""Loads the test programs and runs their cases under CPython: the other half of every comparison."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

from kaa.lang import testing

FOLDER = Path(__file__).parent / "programs"
FILES = sorted(FOLDER.glob("*.py"))


@cache
def load(file: Path) -> ModuleType:
    """Import a program, under the name the compiler gives it as well."""
    spec = importlib.util.spec_from_file_location(f"kaa_program_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def functions(file: Path, prefix: str) -> list[Callable[[], None]]:
    """The functions of a program with this prefix, in order."""
    return [fn for name, fn in vars(load(file)).items() if name.startswith(prefix) and inspect.isfunction(fn)]


def all_of(prefix: str) -> list[tuple[Path, str]]:
    """(file, function name) of every case or trap of every program."""
    return [(file, fn.__name__) for file in FILES for fn in functions(file, prefix)]


def run(file: Path, case: str) -> list[int | bytes]:
    """What a case emits under CPython, in a module imported afresh: cases may change frozen objects."""
    load.cache_clear()
    fn = getattr(load(file), case)
    testing.emitted.clear()
    fn()
    return list(testing.emitted)
