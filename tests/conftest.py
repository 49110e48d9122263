# SPDX-License-Identifier: Apache-2.0
"""Options and order common to all tests: the cheap ones first, booted machines last."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")  # a busy machine is slow at drawing examples: no fault of a test's

ORDER = (
    "tests/lang", "tests/compiler", "tests/kernel", "tests/host", "tests/test_house.py", "tests/boot", "tests/fuzz",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, default=0.0,
                     help="how long each fuzzer goes on beyond its fixed seeds (default: not at all)")
    parser.addoption("--fuzz-seed", type=int, default=1, help="the first seed of the fuzzers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return next((i for i, start in enumerate(ORDER) if item.nodeid.startswith(start)), len(ORDER))
    items.sort(key=rank)


def pytest_unconfigure() -> None:
    """What is left of the kernel when all tests are done lasts as long as a kernel does: the interpreter takes its
    modules apart in no order, and none of its objects can end properly meanwhile."""
    modules = [module for name, module in sys.modules.items() if name.startswith("kaa.kernel.")]
    for found in {value for module in modules for value in vars(module).values() if isinstance(value, type)}:
        if found.__module__.startswith("kaa.kernel.") and "__del__" in vars(found):
            del found.__del__
