# SPDX-License-Identifier: Apache-2.0
"""Signals as programs know them: numbers, flags, codes and structures (signal(7), sigaction(2), the x86-64 ABI)."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from kaa.lang import ZERO, Array, i32, struct, u8, u16, u32, u64


class Signal(IntEnum):
    """Signal numbers of x86-64 and arm64."""

    SIGHUP = 1
    SIGINT = 2
    SIGQUIT = 3
    SIGILL = 4
    SIGTRAP = 5
    SIGABRT = 6
    SIGBUS = 7
    SIGFPE = 8
    SIGKILL = 9
    SIGUSR1 = 10
    SIGSEGV = 11
    SIGUSR2 = 12
    SIGPIPE = 13
    SIGALRM = 14
    SIGTERM = 15
    SIGSTKFLT = 16
    SIGCHLD = 17
    SIGCONT = 18
    SIGSTOP = 19
    SIGTSTP = 20
    SIGTTIN = 21
    SIGTTOU = 22
    SIGURG = 23
    SIGXCPU = 24
    SIGXFSZ = 25
    SIGVTALRM = 26
    SIGPROF = 27
    SIGWINCH = 28
    SIGIO = 29
    SIGPWR = 30
    SIGSYS = 31


SIGRTMIN: Final = 32
SIGNAL_COUNT: Final = 64
SIG_DFL: Final = 0
SIG_IGN: Final = 1


def _mask(*signals: int) -> int:
    total = 0
    for signal in signals:
        total |= 1 << (signal - 1)
    return total


S = Signal
KILL_AND_STOP: Final = _mask(S.SIGKILL, S.SIGSTOP)
"""What can be neither blocked, caught nor ignored."""
STOP_SIGNALS: Final = _mask(S.SIGSTOP, S.SIGTSTP, S.SIGTTIN, S.SIGTTOU)
IGNORED_BY_DEFAULT: Final = _mask(S.SIGCHLD, S.SIGCONT, S.SIGURG, S.SIGWINCH)
FAULT_SIGNALS: Final = _mask(S.SIGSEGV, S.SIGBUS, S.SIGILL, S.SIGTRAP, S.SIGFPE, S.SIGSYS)
"""Delivered before others: they tell of the instruction that is about to be left."""
CORE_SIGNALS: Final = _mask(
    S.SIGQUIT, S.SIGILL, S.SIGTRAP, S.SIGABRT, S.SIGFPE, S.SIGSEGV, S.SIGBUS, S.SIGSYS, S.SIGXCPU, S.SIGXFSZ
)
REAL_TIME: Final = 0xFFFF_FFFF_8000_0000
"""Bits of signals 32 to 64: each instance is queued."""


class SignalFlags(IntFlag):
    """sa_flags."""

    SA_NOCLDSTOP = 0x1
    SA_NOCLDWAIT = 0x2
    SA_SIGINFO = 0x4
    SA_UNSUPPORTED = 0x400
    SA_EXPOSE_TAGBITS = 0x800
    SA_RESTORER = 0x0400_0000
    SA_ONSTACK = 0x0800_0000
    SA_RESTART = 0x1000_0000
    SA_NODEFER = 0x4000_0000
    SA_RESETHAND = 0x8000_0000


SA_KNOWN: Final = 0xDC00_0007
"""The flags that are honoured; sigaction(2) clears the others, so that programs can find out (SA_UNSUPPORTED)."""


class How(IntEnum):
    """How sigprocmask changes the mask."""

    SIG_BLOCK = 0
    SIG_UNBLOCK = 1
    SIG_SETMASK = 2


class Code(IntEnum):
    """si_code."""

    SI_USER = 0
    SI_KERNEL = 0x80
    SI_QUEUE = -1
    SI_TIMER = -2
    SI_MESGQ = -3
    SI_ASYNCIO = -4
    SI_TKILL = -6
    CLD_EXITED = 1
    CLD_KILLED = 2
    CLD_DUMPED = 3
    CLD_TRAPPED = 4
    CLD_STOPPED = 5
    CLD_CONTINUED = 6
    SEGV_MAPERR = 1
    SEGV_ACCERR = 2
    BUS_ADRALN = 1
    BUS_ADRERR = 2
    ILL_ILLOPN = 2
    FPE_INTDIV = 1
    FPE_FLTINV = 7
    TRAP_BRKPT = 1
    TRAP_TRACE = 2


class StackFlags(IntFlag):
    """ss_flags of sigaltstack(2)."""

    SS_ONSTACK = 1
    SS_DISABLE = 2
    SS_AUTODISARM = 0x8000_0000


MINSIGSTKSZ: Final = 2048


@struct
class SigInfo:
    """What is used of siginfo_t, its first 48 bytes. Which of the words mean what depends on the code."""

    signo: i32 = 0
    error: i32 = 0
    code: i32 = 0
    pad: i32 = 0
    # kill: pid | uid << 32. Fault: address. Timer: id | overrun << 32. Child: pid | uid << 32. Poll: band.
    word0: u64 = 0
    # kill, queue, timer: the sigval. Child: status in the low half.
    word1: u64 = 0
    # Child: utime and stime, clock ticks.
    word2: u64 = 0
    word3: u64 = 0

    def sender(self) -> u32:
        """si_pid."""
        return u32(self.word0)

    def set_sender(self, pid: i32, uid: u32) -> None:
        """si_pid and si_uid."""
        self.word0 = u64(u32(pid)) | (u64(uid) << 32)


@struct
class UserSigInfo:
    """siginfo_t, 128 bytes, as programs get it."""

    info: SigInfo = ZERO
    rest: Array[u64, 10] = ZERO


@struct
class SigAction:
    """struct kernel_sigaction: what rt_sigaction(2) takes and gives."""

    handler: u64 = 0
    flags: u64 = 0
    restorer: u64 = 0
    mask: u64 = 0


@struct
class StackT:
    """stack_t of sigaltstack(2)."""

    sp: u64 = 0
    flags: i32 = 0
    pad: i32 = 0
    size: u64 = 0


@struct
class SignalfdSiginfo:
    """struct signalfd_siginfo, 128 bytes (signalfd(2))."""

    signo: u32 = 0
    error: i32 = 0
    code: i32 = 0
    pid: u32 = 0
    uid: u32 = 0
    fd: i32 = 0
    tid: u32 = 0
    band: u32 = 0
    overrun: u32 = 0
    trapno: u32 = 0
    status: i32 = 0
    int_value: i32 = 0
    ptr_value: u64 = 0
    utime: u64 = 0
    stime: u64 = 0
    address: u64 = 0
    address_lsb: u16 = 0
    pad2: u16 = 0
    syscall: i32 = 0
    call_address: u64 = 0
    arch: u32 = 0
    pad3: Array[u8, 28] = ZERO


def bit(signo: i32) -> u64:
    """The mask bit of a signal."""
    return u64(1) << u64(signo - 1)


