# SPDX-License-Identifier: Apache-2.0
"""`./kaa trace`: runs a command as `./kaa run` does, and shows what the kernel wrote down meanwhile.

The kernel copies files of its /proc/kaa to a folder that is shared with it when the command has ended (keep= records,
docs/run-request.md). `--locks` boots a kernel built to count (flavour.py); `--sched` the usual one. `--sharing` asks
nothing of the kernel: QEMU counts (sharing_plugin.c).
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

from kaa.host import build, flavour, paths, trace_locks, trace_sched, trace_sharing
from kaa.host import run as running
from kaa.host.errors import FAILED, USAGE, Refusal

LOCKS, SCHED, SHARING = "locks", "sched", "sharing"


def trace(words: list[str], options: running.Options, what: str, output: str, kernel: pathlib.Path | None) -> int:
    """The command's exit status. `output`: where pictures go, without the ending. Raises Refusal."""
    if what == SHARING:
        return _trace_sharing(words, options, kernel)
    parent = pathlib.Path(output).absolute().parent
    if not parent.is_dir():
        raise Refusal(f"--output {output}: there is no folder {parent}", USAGE)
    running.refuse_early(words, options)
    if what == LOCKS:
        image = kernel or flavour.ensure(flavour.LOCK_STATS)
    else:
        image = kernel or build.ensure()
        options = dataclasses.replace(options, append=f"{options.append} kaa.trace=sched".strip())
    with tempfile.TemporaryDirectory(prefix="kaa-trace-") as folder:
        kept = pathlib.Path(folder) / what
        options = dataclasses.replace(options, keep=((f"/proc/kaa/{what}", what),), keep_folder=pathlib.Path(folder))
        status = running.run(words, options, image)
        text = kept.read_text(errors="replace") if kept.is_file() else ""
    if not text:
        raise Refusal(f"the kernel gave no {what} trace" + (": was it built with KAA_LOCK_STATS?" if kernel else ""),
                      FAILED)
    if what == LOCKS:
        trace_locks.show(text, words, pathlib.Path(f"{output}.html"))
    else:
        trace_sched.show(text, words, pathlib.Path(f"{output}.html"), pathlib.Path(f"{output}.json"))
    return status


def _trace_sharing(words: list[str], options: running.Options, kernel: pathlib.Path | None) -> int:
    running.refuse_early(words, options)
    image = kernel or build.ensure()
    with tempfile.TemporaryDirectory(prefix="kaa-trace-") as folder:
        counts = pathlib.Path(folder) / SHARING
        extra = ("-plugin", f"{trace_sharing.plugin()},out={counts}")
        status = running.run(words, dataclasses.replace(options, extra=extra), image)
        text = counts.read_text() if counts.is_file() else ""
    if not text:
        raise Refusal("QEMU counted nothing: can this QEMU load plugins?", FAILED)
    trace_sharing.show(text, words, kernel or paths.SYMBOLS)
    return status
