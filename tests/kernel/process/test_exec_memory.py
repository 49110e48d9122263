# SPDX-License-Identifier: Apache-2.0
"""execve's change of memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kaa.kernel.arch import machine
from kaa.kernel.process import exec as program
from kaa.kernel.process import foreign


class Memory:
    """An address space that notes how it is loaded."""

    def __init__(self) -> None:
        self.loaded: list[bool] = []
        self.page_table = SimpleNamespace(activate=lambda: self.loaded.append(machine.irq.enabled()))


def test_memory_is_loaded_with_interrupts_off_lest_another_processor_ends_what_one_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, old = Memory(), Memory()
    task: Any = SimpleNamespace(mm=old)

    def replace(of: Any, memory: Any) -> Any:
        assert machine.irq.enabled()
        was, of.mm = of.mm, memory
        return was

    monkeypatch.setattr(foreign, "replace_memory", replace)
    before: Any = program._enter(task, new)  # pyright: ignore[reportPrivateUsage, reportArgumentType]
    assert before is old and task.mm is new and new.loaded == [False]
    program._leave(task, before)  # pyright: ignore[reportPrivateUsage]
    assert task.mm is old and old.loaded == [False] and machine.irq.enabled()
