# SPDX-License-Identifier: Apache-2.0
"""Which sums the processors keep parts of (`machine.percpu.add`, `total`): one number for each, below 128."""

from __future__ import annotations

from typing import Final

PROMISED: Final = 0
"""Committed_AS, in pages (mm/overcommit.py)."""
STARTED: Final = 1
"""Tasks that were made since the machine started (sched/core.py)."""
QUEUED_SIGNALS: Final = 2
"""Siginfos in the sets of all threads and processes (signal/pending.py)."""
MOUNT_USERS: Final = 64
"""The first of MOUNTS sums: users of mounts (fs/mount_users.py)."""
MOUNTS: Final = 64
