# SPDX-License-Identifier: Apache-2.0
"""Why a system call gave up when a signal came: the kernel's own error codes above 511, which no program ever sees.

A call that sleeps interruptibly raises one of these; on the way back to user mode `signal.deliver` turns it into
EINTR or into the call being made again, by what signal(7) ("Interruption of system calls and library functions by
signal handlers") says of that call. They only escape while the task's signal flag is up.
"""

from __future__ import annotations

from typing import Final

RESTART: Final = 512
RESTART_ALWAYS: Final = 513
RESTART_UNLESS_HANDLED: Final = 514
RESTART_BLOCK: Final = 516


class Restart(OSError):
    """Again, if no handler runs or the handler has SA_RESTART; else EINTR. read, write, wait4, futex without
    timeout…"""

    code = 512


class RestartAlways(OSError):
    """Again whatever the handler's flags are: nothing was done yet."""

    code = 513


class RestartUnlessHandled(OSError):
    """Again if no handler runs (say after SIGSTOP and SIGCONT); EINTR after any handler. poll, select, pause,
    sigsuspend…"""

    code = 514


class RestartBlock(OSError):
    """As RestartUnlessHandled, but again through restart_syscall(2), which reads `task.restart`: relative timeouts."""

    code = 516
