# SPDX-License-Identifier: Apache-2.0
"""Damage: mutated ELF files, mutated cpio archives, random system calls. The machine must live and say clear errors.

Fixed seeds by default; `--fuzz-seconds S` goes on with further seeds, from `--fuzz-seed N`.
"""

from __future__ import annotations

import random
import time

import pytest
import world

from kaa.host import cpio

pytestmark = [pytest.mark.boot, pytest.mark.slow]
ELF_MUTATIONS = 1000
CPIO_MUTATIONS = 1000
CPIO_CHUNKS = 8
RANDOM_CALLS = 10_000
CALL_CHUNKS = 4


def first_seed(config: pytest.Config) -> int:
    return int(config.getoption("--fuzz-seed"))


def end(config: pytest.Config) -> float:
    return time.monotonic() + float(config.getoption("--fuzz-seconds"))


def entries(programs: world.Programs, *names: str) -> list[cpio.Entry]:
    return [cpio.character_device("dev/null", 1, 3), *(programs.entry(name) for name in names)]


def test_mutated_elf_files(boot: world.Boot, programs: world.Programs, pytestconfig: pytest.Config) -> None:
    seed, stop = first_seed(pytestconfig), end(pytestconfig)
    while True:
        result = boot("/bin/random_elf", "/bin/small", str(seed), str(ELF_MUTATIONS), timeout=240,
                      entries=entries(programs, "random_elf", "small"))
        world.assert_sound(result)
        said = f"seed {seed}: {result.stdout + result.stderr!r}"
        assert result.status == 0 and b"some refused" in result.stdout, said
        seed += 1
        if time.monotonic() >= stop:
            break


@pytest.mark.parametrize("chunk", range(CALL_CHUNKS))
def test_random_system_calls(
        boot: world.Boot, programs: world.Programs, pytestconfig: pytest.Config, chunk: int) -> None:
    seed, stop = first_seed(pytestconfig) + chunk, end(pytestconfig)
    while True:
        result = boot("/bin/random_calls", str(seed), str(RANDOM_CALLS // CALL_CHUNKS), timeout=240,
                      entries=entries(programs, "random_calls"))
        world.assert_sound(result)
        assert result.status == 0, f"seed {seed}: {result.stdout + result.stderr!r}\n{result.log[-2000:]}"
        seed += CALL_CHUNKS
        if time.monotonic() >= stop:
            break


def victim() -> bytes:
    """An archive with one of each kind of member, hard links included."""
    return cpio.write([
        cpio.directory("v"), cpio.regular("v/file", b"hello" * 100), cpio.symlink("v/link", "file"),
        cpio.character_device("v/null", 1, 3), cpio.Entry("v/pipe", 0o10644),
        cpio.Entry("v/one", 0o100644, b"", links=2, inode=99),
        cpio.Entry("v/two", 0o100644, b"shared", links=2, inode=99),
        cpio.program("v/program", b"#!/bin/small\n"), cpio.regular("v/" + "n" * 200, b"long name"),
    ])


def mutate(archive: bytes, chance: random.Random) -> bytes:
    """One to four changes: a bit, a byte, a header's digits, a piece cut out or doubled, the end cut off."""
    data = bytearray(archive)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice(b"\0\xff0F/.")
            case 2:
                digits = chance.choice([b"00000000", b"FFFFFFFF", b"7FFFFFFF", b"80000000", b"0000FFFF", b"0000000z"])
                data[at:at + 8] = digits
            case 3:
                del data[at:at + chance.randrange(1, 64)]
            case 4:
                data[at:at] = data[at:at + chance.randrange(1, 64)]
            case _:
                del data[max(at, 1):]
    return bytes(data)


@pytest.mark.parametrize("chunk", range(CPIO_CHUNKS))
def test_mutated_cpio_archives(
        boot: world.Boot, programs: world.Programs, pytestconfig: pytest.Config, chunk: int) -> None:
    """The sound archive comes first, so that the command runs whatever becomes of the one after it."""
    whole = victim()
    sound, stop = entries(programs, "small"), end(pytestconfig)
    seed, done = first_seed(pytestconfig) * 1_000_000 + chunk, 0
    while done < CPIO_MUTATIONS // CPIO_CHUNKS or time.monotonic() < stop:
        result = boot("/bin/small", "alive", entries=sound, after=mutate(whole, random.Random(seed)), memory="32M")
        world.assert_sound(result)
        assert (result.status, result.stdout) == (0, b"alive\n"), f"seed {seed}: {result.log[-2000:]}"
        seed += CPIO_CHUNKS
        done += 1
