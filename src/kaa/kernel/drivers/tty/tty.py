# SPDX-License-Identifier: Apache-2.0
"""A terminal: settings, line discipline state, and who waits for it.

`lock` is a spin lock and covers every field but the wait queues; nothing sleeps or sends signals under it. Input
comes in by `receive`, in process context (a driver's thread, or the writer of a pseudo terminal's master). The
lock comes before a driver's own lock and before a wait queue's.

`generation` counts hang-ups: a file that was opened in an earlier one is hung up (tty/file.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.termios import DISABLED, Control, Input, Local, Mode, Output, Termios, Winsize
from kaa.kernel.drivers.tty import input as input_side
from kaa.kernel.drivers.tty.driver import TtyDriver
from kaa.kernel.drivers.tty.line_buffer import LineBuffer
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.lang import Atomic, Bytes, Guarded, Relaxed, copy, noinline, u8, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.process.pid import Pid

SERIAL = 1
PTY_SLAVE = 2
"""`Tty.kind`."""

DEFAULT_CONTROLS = bytes([3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0])
"""^C ^\\ ^? ^U ^D, VTIME 0, VMIN 1, none, ^Q ^S ^Z, none, ^R ^O ^W ^V, none: in order of `Control`."""


class Tty:
    """One terminal. See the module's docstring for the locks."""

    lock: Final[SpinLock]
    driver: Final[TtyDriver]
    device: Final[u64]
    """Device number, as stat(2)'s st_rdev."""
    kind: Final[u32]
    termios: Guarded[Termios, "lock"]
    winsize: Guarded[Winsize, "lock"]
    input: Guarded[LineBuffer, "lock"]
    column: Guarded[u32, "lock"] = 0
    line_column: Guarded[u32, "lock"] = 0
    literal_next: Guarded[bool, "lock"] = False
    stopped: Guarded[bool, "lock"] = False
    raised: Guarded[u32, "lock"] = 0
    """Signal that the character just accepted stands for; `receive` sends it."""
    writing: Guarded[Relaxed[bool], "lock"] = False
    exclusive: Relaxed[bool] = False
    generation: Atomic[u32]
    """Written under `lock`."""
    opens: Guarded[Relaxed[u32], "lock"] = 0
    session: Guarded[Pid | None, "tree.lock"] = None
    foreground: Guarded[Pid | None, "tree.lock"] = None
    read_wait: Final[WaitQueue]
    write_wait: Final[WaitQueue]

    def __init__(self, driver: TtyDriver, device: u64, kind: u32) -> None:
        self.lock = SpinLock("tty")
        self.driver = driver
        self.device = device
        self.kind = kind
        self.termios = Termios()
        self.winsize = Winsize()
        self.input = LineBuffer()
        self.generation = Atomic(0)
        self.read_wait = WaitQueue()
        self.write_wait = WaitQueue()
        self.reset_settings()

    def reset_settings(self) -> None:
        """The settings that a terminal has when it is first opened (stty sane, 38400 bits per second)."""
        self.termios.c_iflag = Input.ICRNL | Input.IXON
        self.termios.c_oflag = Output.OPOST | Output.ONLCR
        self.termios.c_cflag = Mode.B38400 | Mode.CS8 | Mode.CREAD | Mode.HUPCL | Mode.CLOCAL
        self.termios.c_lflag = (
            Local.ISIG
            | Local.ICANON
            | Local.ECHO
            | Local.ECHOE
            | Local.ECHOK
            | Local.ECHOCTL
            | Local.ECHOKE
            | Local.IEXTEN
        )
        self.termios.c_line = 0
        for index in range(19):
            self.termios.c_cc[index] = DEFAULT_CONTROLS[index]

    @noinline
    def canonical(self) -> bool:
        """Whether input is read by lines."""
        return self.termios.c_lflag & Local.ICANON != 0

    def extended(self) -> bool:
        """Whether Linux's own special characters are seen."""
        return self.termios.c_lflag & Local.IEXTEN != 0

    def echoes(self) -> bool:
        """Whether input is shown."""
        return self.termios.c_lflag & Local.ECHO != 0

    def matches(self, byte: u8, control: u32) -> bool:
        """Whether `byte` is the special character `control`, and that is not disabled."""
        return byte != DISABLED and byte == self.termios.c_cc[control]

    def receive(self, data: Bytes) -> usize:
        """Input from the far side; how much was taken. Less than all: call again after `read_wait`'s reader made
        room."""
        done: usize = 0
        while done < len(data):
            taken, signo = self.receive_some(data[done:])
            done += taken
            if signo != 0:
                signal_foreground(self, signo)
            elif taken == 0:
                break
        if done > 0:
            self.read_wait.wake_all()
        return done

    def receive_some(self, data: Bytes) -> tuple[usize, u32]:
        """Input up to a character that raises a signal: how much was taken, and the signal or 0."""
        with self.lock:
            taken = input_side.accept(self, data)
            signo = self.raised
            self.raised = 0
        return taken, signo

    @noinline
    def has_room(self) -> bool:
        """Whether `receive` would take something."""
        with self.lock:
            return input_side.has_room(self)

    def reads_lines(self) -> bool:
        """Whether a read that begins now is one of lines."""
        with self.lock:
            return self.canonical()

    def input_ready(self) -> bool:
        """Whether a read finds something: a line in canonical mode, a byte otherwise."""
        return self.readable() > 0

    @noinline
    def readable(self) -> usize:
        """Bytes that a read could take: of complete lines in canonical mode, all otherwise."""
        with self.lock:
            return self.input.lines() if self.canonical() else self.input.unread()

    def enough_input(self) -> bool:
        """Whether a read would not wait: a line, or VMIN bytes (one, where VTIME limits the wait)."""
        with self.lock:
            if self.canonical():
                return self.input.lines() > 0
            wanted = usize(self.termios.c_cc[Control.VMIN])
            if wanted == 0 or self.termios.c_cc[Control.VTIME] != 0:
                wanted = 1
            return self.input.unread() >= wanted

    @noinline
    def control(self, which: u32) -> u8:
        """A special character (of `Control`), or VMIN or VTIME."""
        with self.lock:
            return self.termios.c_cc[which]

    def stops_background(self) -> bool:
        """Whether TOSTOP is set."""
        with self.lock:
            return self.termios.c_lflag & Local.TOSTOP != 0

    @noinline
    def output_ready(self) -> bool:
        """Whether a write would take something."""
        with self.lock:
            return not self.stopped and self.driver.room() > 8

    def output_drained(self) -> None:
        """The driver has room again, or sent everything."""
        self.write_wait.wake_all()

    def stop_output(self) -> None:
        """XOFF, TCOOFF. `lock` is held."""
        if not self.stopped:
            self.stopped = True
            self.driver.stop()

    def start_output(self) -> None:
        """XON, TCOON. `lock` is held."""
        if self.stopped:
            self.stopped = False
            self.driver.start()
            self.write_wait.wake_all()

    def flush_input(self) -> None:
        """Throw received input away, TCIFLUSH."""
        with self.lock:
            self.input.clear()
        self.write_wait.wake_all()

    def flush_output(self) -> None:
        """Throw output away that was not sent, TCOFLUSH."""
        with self.lock:
            self.driver.flush_output()
        self.write_wait.wake_all()

    def change_settings(self, settings: Termios) -> None:
        """Take new settings; input on hand becomes a line when canonical mode begins."""
        with self.lock:
            was_canonical = self.canonical()
            self.termios = copy(settings)
            if self.canonical() and not was_canonical:
                self.input.complete()
                self.line_column = self.column
            if not settings.c_iflag & Input.IXON:
                self.start_output()
            self.driver.configure(settings)
        self.read_wait.wake_all()
        self.write_wait.wake_all()

    def hang_up(self) -> None:
        """The line is dead: all open files are, and the session is told."""
        from kaa.kernel.drivers.tty import job_control

        with self.lock:
            self.generation.fetch_add(1)
            self.input.clear()
            self.stopped = False
            self.reset_settings()
        job_control.hang_up(self)
        self.read_wait.wake_all()
        self.write_wait.wake_all()

    def last_close(self) -> None:
        """The last file is closed: the next opener finds it fresh."""
        with self.lock:
            if self.opens != 0:
                return
            self.exclusive = False
            self.stopped = False
            self.driver.closed()


def signal_foreground(tty: Tty, signo: u32) -> None:
    """Send a signal to the foreground process group."""
    from kaa.kernel.drivers.tty import job_control

    job_control.signal_foreground(tty, signo)
