# SPDX-License-Identifier: Apache-2.0
"""ioctl(2) on a terminal: ioctl_tty(2), TIOCGWINSZ(2const), TCGETS(2const).

What is not a terminal's request is refused with ENOTTY, as Linux does; pseudo terminals add theirs (pty.py).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.signal import Signal
from kaa.kernel.abi.termios import Control, Flow, Ioctl, Queue, Termios, Termios2, Winsize
from kaa.kernel.arch import machine
from kaa.kernel.drivers.tty import job_control, writing
from kaa.kernel.mm.user import UserPtr
from kaa.lang import Array, copy, i32, i64, u8, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.file import TerminalFile
    from kaa.kernel.drivers.tty.tty import Tty

SPEEDS = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400]
FAST_SPEEDS = [
    0, 57600, 115200, 230400, 460800, 500000, 576000, 921600,
    1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
]  # fmt: skip
"""Bits per second by the low four bits of CBAUD; the second list with CBAUDEX (termios(3))."""
CBAUDEX = 0o10000


def ioctl(file: TerminalFile, tty: Tty, command: u32, argument: u64) -> i64:
    """One request. Raises OSError(ENOTTY) for what is none, OSError(EFAULT), EIO and Restart from job control."""
    match command:
        case Ioctl.TCGETS | Ioctl.TCGETS2 | Ioctl.TIOCGWINSZ | Ioctl.TIOCOUTQ | Ioctl.FIONREAD | Ioctl.TIOCGETD:
            return get(tty, command, argument)
        case Ioctl.TCSETS | Ioctl.TCSETSW | Ioctl.TCSETSF:
            set_settings(file, tty, UserPtr[Termios](argument).read(), command - Ioctl.TCSETS)
        case Ioctl.TCSETS2 | Ioctl.TCSETSW2 | Ioctl.TCSETSF2:
            set_settings(file, tty, without_speeds(UserPtr[Termios2](argument).read()), command - Ioctl.TCSETS2)
        case Ioctl.TIOCGPGRP | Ioctl.TIOCSPGRP | Ioctl.TIOCGSID | Ioctl.TIOCSCTTY | Ioctl.TIOCNOTTY:
            sessions(tty, command, argument)
        case Ioctl.TIOCSWINSZ:
            set_size(tty, UserPtr[Winsize](argument).read())
        case Ioctl.TCFLSH:
            job_control.check_change(tty)
            flush(tty, argument)
        case Ioctl.TCXONC:
            job_control.check_change(tty)
            flow(tty, argument)
        case Ioctl.TCSBRK | Ioctl.TCSBRKP:
            job_control.check_change(tty)
            writing.drain(file, tty)
        case _:
            return rare(file, tty, command, argument)
    return 0


def get(tty: Tty, command: u32, argument: u64) -> i64:
    """Requests that only ask."""
    match command:
        case Ioctl.TCGETS:
            UserPtr[Termios](argument).write(settings_of(tty))
        case Ioctl.TCGETS2:
            UserPtr[Termios2](argument).write(with_speeds(settings_of(tty)))
        case Ioctl.TIOCGWINSZ:
            with tty.lock:
                size = copy(tty.winsize)
            UserPtr[Winsize](argument).write(size)
        case Ioctl.TIOCOUTQ:
            UserPtr[i32](argument).write(i32(tty.driver.pending()))
        case Ioctl.FIONREAD:
            UserPtr[i32](argument).write(i32(tty.readable()))
        case _:
            UserPtr[i32](argument).write(i32(settings_of(tty).c_line))
    return 0


def settings_of(tty: Tty) -> Termios:
    """A copy of the settings, taken under the lock."""
    with tty.lock:
        return copy(tty.termios)


def sessions(tty: Tty, command: u32, argument: u64) -> None:
    """The requests of job control."""
    match command:
        case Ioctl.TIOCSCTTY:
            job_control.set_controlling(tty, argument == 1)
        case Ioctl.TIOCNOTTY:
            job_control.give_up_controlling(tty)
        case Ioctl.TIOCSPGRP:
            job_control.check_change(tty)
            number = UserPtr[i32](argument).read()
            job_control.set_foreground(tty, number)
        case Ioctl.TIOCGPGRP:
            job_control.require_controlling(tty)
            UserPtr[i32](argument).write(job_control.foreground_number(tty))
        case _:
            job_control.require_controlling(tty)
            UserPtr[i32](argument).write(job_control.session_number(tty))


def rare(file: TerminalFile, tty: Tty, command: u32, argument: u64) -> i64:
    """What few programs ask for."""
    match command:
        case Ioctl.TIOCEXCL:
            tty.exclusive = True
        case Ioctl.TIOCNXCL:
            tty.exclusive = False
        case Ioctl.TIOCGEXCL:
            UserPtr[i32](argument).write(1 if tty.exclusive else 0)
        case Ioctl.TIOCGDEV:
            UserPtr[u32](argument).write(u32(tty.device))
        case Ioctl.TIOCSETD:
            if UserPtr[i32](argument).read() != 0:
                raise OSError(errno.EINVAL)
        case Ioctl.TIOCSTI:
            simulate(tty, argument)
        case Ioctl.TIOCVHANGUP:
            if not job_control.privileged_task(machine.percpu.current()):
                raise PermissionError
            tty.hang_up()
        case _:
            return file.own_ioctl(tty, command, argument)
    return 0


def simulate(tty: Tty, argument: u64) -> None:
    """TIOCSTI: a byte as if typed. For one's own terminal, or with privilege."""
    task = machine.percpu.current()
    if not job_control.is_controlling(tty) and not job_control.privileged_task(task):
        raise PermissionError
    single = Array[u8, 1]()
    single[0] = UserPtr[u8](argument).read()
    tty.receive(single[:])


def set_settings(file: TerminalFile, tty: Tty, settings: Termios, when: u32) -> None:
    """TCSETS (0), TCSETSW (1: after output), TCSETSF (2: and throw input away)."""
    job_control.check_change(tty)
    if when >= 1:
        writing.drain(file, tty)
    if when == 2:
        tty.flush_input()
    tty.change_settings(settings)


def without_speeds(settings: Termios2) -> Termios:
    """The part of termios2 that the line discipline looks at; a speed means nothing to emulated lines."""
    result = Termios(settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag, settings.c_line)
    for index in range(19):
        result.c_cc[index] = settings.c_cc[index]
    return result


def with_speeds(settings: Termios) -> Termios2:
    """Speeds in bits per second, from the code in c_cflag."""
    result = Termios2(settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag, settings.c_line)
    for index in range(19):
        result.c_cc[index] = settings.c_cc[index]
    code = settings.c_cflag & 15
    speed = u32(FAST_SPEEDS[code] if settings.c_cflag & CBAUDEX else SPEEDS[code])
    result.c_ispeed = speed
    result.c_ospeed = speed
    return result


def set_size(tty: Tty, size: Winsize) -> None:
    """TIOCSWINSZ: a change is told to the foreground by SIGWINCH."""
    with tty.lock:
        old = tty.winsize
        changed = old.ws_row != size.ws_row or old.ws_col != size.ws_col
        changed = changed or old.ws_xpixel != size.ws_xpixel or old.ws_ypixel != size.ws_ypixel
        tty.winsize = copy(size)
        if changed:
            tty.driver.resized(size)
    if changed:
        job_control.signal_foreground(tty, Signal.SIGWINCH)


def flush(tty: Tty, which: u64) -> None:
    """TCFLSH. Raises OSError(EINVAL)."""
    if which > Queue.TCIOFLUSH:
        raise OSError(errno.EINVAL)
    if which != Queue.TCOFLUSH:
        tty.flush_input()
    if which != Queue.TCIFLUSH:
        tty.flush_output()


def flow(tty: Tty, action: u64) -> None:
    """TCXONC: stop or start output; send a STOP or START character to the far side. Raises OSError(EINVAL)."""
    with tty.lock:
        match action:
            case Flow.TCOOFF:
                tty.stop_output()
            case Flow.TCOON:
                tty.start_output()
            case Flow.TCIOFF:
                tty.driver.write_byte(tty.termios.c_cc[Control.VSTOP])
            case Flow.TCION:
                tty.driver.write_byte(tty.termios.c_cc[Control.VSTART])
            case _:
                raise OSError(errno.EINVAL)
