# SPDX-License-Identifier: Apache-2.0
"""Terminals: one line discipline (N_TTY) over serial lines, virtio consoles and pseudo terminals.

From below: `ring`, `line_buffer` (bytes that wait); `output` (c_oflag, echo), `input` (c_iflag, special characters),
`line_edit` (erasing); `tty` (the terminal's state); `reading`, `writing`, `ioctl`, `job_control`; `file` (an open one);
`driver` (what hardware gives); `devices` (/dev/tty, /dev/console), `pty` and `ptmx` (pseudo terminals).

Locks: `process.tree.lock` → none of ours; `Tty.lock` (spin) → a driver's lock (IRQ) → wait queues.
"""

from __future__ import annotations
