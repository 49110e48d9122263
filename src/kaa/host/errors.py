# SPDX-License-Identifier: Apache-2.0
"""What is told to the person in one sentence, and the exit statuses that shells and timeout(1) made customary."""

from __future__ import annotations

USAGE = 2
TIMED_OUT = 124
FAILED = 125
"""kaa itself could not do its part (no QEMU, a kernel that panicked…), whatever the command would have said."""
NOT_EXECUTABLE = 126
NO_SUCH_COMMAND = 127
INTERRUPTED = 130


class Refusal(Exception):
    """One sentence for the person, without a traceback, and kaa's exit status."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status
