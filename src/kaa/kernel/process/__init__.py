# SPDX-License-Identifier: Apache-2.0
"""Processes: what they are (`task`, `group`, `pid`, `tree`, `credentials`, `limits`), how they begin (`fork`,
`boot`), become others (`exec` with `program`, `script`, `elf_file`, `elf_loader`, `exec_stack`…), end (`exit`,
`reparent`, `notify`) and are waited for (`wait`). The files whose names end in `_calls` hold system calls only.

Locks: `tree.lock` (interrupts off) for parents, children, threads, process groups, sessions and numbers; inside it a
group's `signal_lock` (which alone guards its list of threads); inside that the run queue. What a task has of its own
(credentials, memory, descriptors, directories) it reads without a lock, and others through `foreign`. A futex bucket's
lock comes before `futex_pi_state.lock`, that before the run queue.

Added to docs/architecture.md: `boot.initialise()` and `boot.set_root(fs)` for init; `exec.run(name, argv, envp)` for
tasks that begin in the kernel; `ids.next_process`, `ids.next_task` and `accounting` for /proc.
"""

from __future__ import annotations
