# SPDX-License-Identifier: Apache-2.0
"""Random programs do as machine code what they do under CPython. Many functions go into one compilation."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import random_programs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kaa.lang import testing

hostrun = pytest.importorskip("kaa.compiler.hostrun")

CASES = 40


class Trap(BaseException):
    """Native code would have stopped here: what `with` and `finally` do on the way out does not count."""

    first: ClassVar[list[tuple[str, list[int | bytes]]]] = []
    """The first trap of the case that runs: its kind, and what had been emitted."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        if not self.first:
            self.first.append((kind, list(testing.emitted)))


def check(bits: int, signed: bool, value: int) -> int:
    """What native arithmetic does: trap if the value does not fit."""
    least = -(1 << (bits - 1)) if signed else 0
    if not least <= value < least + (1 << bits):
        raise Trap("overflow")
    return int(value)


def divisor(value: int) -> int:
    """Native division traps where CPython raises."""
    if value == 0:
        raise Trap("divide")
    return value


def under_cpython(namespace: dict[str, object], case: str) -> tuple[list[int | bytes], str]:
    """(emitted, how it ended: '', 'trap: kind', 'exception')."""
    testing.emitted.clear()
    Trap.first.clear()
    try:
        namespace[case]()  # type: ignore[operator]
        end = ""
    except Trap:
        end = "trap"
    except OSError:
        end = "exception"
    except Exception as error:
        assert type(error).__name__ in ("Stop", "Halt"), f"the generated program is wrong: {error!r}"
        end = "exception"
    if Trap.first:
        kind, emitted = Trap.first[0]
        return emitted, f"trap: {kind}"
    return list(testing.emitted), end


def oracle(file: Path, text: str) -> dict[str, object]:
    """The oracle text as a module."""
    module = ModuleType(file.stem)
    sys.modules[module.__name__] = module
    vars(module).update({"_c": check, "_d": divisor})
    exec(compile(text, str(file), "exec"), vars(module))
    return vars(module)


def no_leak_when_memory_fails(program: hostrun.Program, case: str) -> None:
    """With an allocation failing, a case may end in any way, but it leaves nothing behind."""
    for allowed in (0, 1, 2, 3, 5, 8, 13):
        result = program.run(case, fail_after=allowed)
        assert result.trap is not None or result.leaked == 0, f"{case}, allocation {allowed}: leaks {result.leaked}"
        assert "Sanitizer" not in result.stderr, result.stderr


@given(seed=st.integers(0, 2**48))
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_random_programs_agree(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    native_text, oracle_text = random_programs.program(seed, CASES)
    folder: Path = tmp_path_factory.mktemp("random")
    file, oracle_file = folder / f"random_{seed}.py", folder / f"oracle_{seed}.py"
    file.write_text(native_text)
    oracle_file.write_text(oracle_text)
    namespace = oracle(oracle_file, oracle_text)
    program = hostrun.build(file, sanitize=True)
    for number in range(0, CASES, 8):
        no_leak_when_memory_fails(program, f"case_{number}")
    for number in range(CASES):
        emitted, end = under_cpython(namespace, f"case_{number}")
        result = program.run(f"case_{number}")
        where = f"seed {seed}, case_{number} of {file}"
        if end.startswith("trap"):
            kind = (result.trap or "none").split()[0].replace("narrow", "overflow").replace("shift", "overflow")
            assert kind == end[6:], f"{where}: {end}, native {result.trap}"
            assert result.emitted == emitted, where
        else:
            assert result.trap is None or end == "exception", f"{where}: native traps: {result.trap}"
            assert result.emitted == emitted, where
            assert end == "exception" or result.leaked == 0, where
