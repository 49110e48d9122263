# SPDX-License-Identifier: Apache-2.0
"""Which modules may import kaa.lang.unsafe."""

from __future__ import annotations

from types import ModuleType

from kaa.compiler import unsafe_list
from kaa.lang import unsafe


def module(name: str, **names: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(names)
    return made


def test_module_off_the_list_may_not_import_unsafe() -> None:
    assert not unsafe_list.allowed("kaa.kernel.fs.file")
    assert not unsafe_list.allowed("kaa.kernel.architecture")
    assert unsafe_list.allowed("kaa.kernel.arch.x86_64.paging") and unsafe_list.allowed("kaa.lang.builtins.list")


def test_import_is_seen_by_name_and_as_a_module() -> None:
    assert unsafe_list.imports_unsafe(module("a", unsafe=unsafe))
    assert unsafe_list.imports_unsafe(module("b", Ptr=unsafe.Ptr))
    assert not unsafe_list.imports_unsafe(module("c", number=5))
