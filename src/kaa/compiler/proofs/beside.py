# SPDX-License-Identifier: Apache-2.0
"""The proofs in a process of their own, beside the C compiler: a fork that sees the analysed program, and sends back
what it found. It waits for the sizes of frames, which are known when the C is compiled, to look at the stacks."""

from __future__ import annotations

import os
import pickle
import traceback
from typing import BinaryIO, cast

from kaa.compiler.program import Program
from kaa.compiler.proofs.findings import Findings
from kaa.compiler.rewriting import Counts

LENGTH = 8


class Beside:
    """The proofs of a program, under way."""

    def __init__(self, program: Program, counts: Counts) -> None:
        """Starts them. `counts` are classified, and not finished."""
        from_child, to_parent = os.pipe()
        from_parent, to_child = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(from_child)
            os.close(to_child)
            _work(program, counts, open(from_parent, "rb"), open(to_parent, "wb"))
        os.close(to_parent)
        os.close(from_parent)
        self.reader = open(from_child, "rb")
        self.writer = open(to_child, "wb")

    def result(self, sizes: dict[str, int]) -> Findings:
        """What they found, with the sizes of frames. Raises RuntimeError if a proof broke down."""
        _send(self.writer, sizes)
        found = _receive(self.reader)
        self.stop()
        if not isinstance(found, Findings):
            raise RuntimeError(f"a proof broke down:\n{found}")
        return found

    def stop(self) -> None:
        """Forgets about them: there is no image to prove anything about."""
        self.reader.close()
        self.writer.close()
        os.waitpid(self.child, 0)


def _work(program: Program, counts: Counts, reader: BinaryIO, writer: BinaryIO) -> None:
    """The child's life."""
    try:
        from kaa.compiler.proofs.run import Prover

        for fn in counts.functions:
            counts.finish(fn)
        prover = Prover(program)
        prover.run()
        sizes = _receive(reader)
        if isinstance(sizes, dict):
            prover.stacks(cast("dict[str, int]", sizes))
            _send(writer, prover.findings)
    except BaseException:
        _send(writer, traceback.format_exc())
    finally:
        os._exit(0)


def _send(pipe: BinaryIO, what: object) -> None:
    data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    try:
        pipe.write(len(data).to_bytes(LENGTH, "little") + data)
        pipe.flush()
    except BrokenPipeError:
        pass


def _receive(pipe: BinaryIO) -> object:
    """What the other side sent; None if it has gone."""
    length = int.from_bytes(pipe.read(LENGTH), "little")
    data = pipe.read(length) if length else b""
    return pickle.loads(data) if length and len(data) == length else None  # noqa: S301 - from our own process
