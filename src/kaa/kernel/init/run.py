# SPDX-License-Identifier: Apache-2.0
"""What `./kaa run` asks for: mounts, standard streams, credentials, one command, its exit status.

The format of the request `/kaa/run` that the host writes (src/kaa/host/request.py) is docs/run-request.md: NUL-ended
`key=value` records carried out in order, and how the exit status leaves the machine (port 0x505, then isa-debug-exit at
0x501).

Process 1 stays in the kernel (`serve`): it sets the tree up, starts the command as an ordinary process, reaps whatever
is left to it, and switches the machine off when the command has ended. Devices are opened before the command's
credentials are taken.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn, cast

from kaa.kernel import log
from kaa.kernel.abi.fcntl import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from kaa.kernel.abi.mount import MS_NOSUID, MS_RDONLY
from kaa.kernel.abi.termios import Winsize
from kaa.kernel.abi.wait import IdType, WaitOption
from kaa.kernel.arch import machine
from kaa.kernel.drivers import start as drivers
from kaa.kernel.drivers.tty import ioctl as tty_ioctl
from kaa.kernel.drivers.tty.file import TtyFile
from kaa.kernel.fs import kernel_io
from kaa.kernel.fs.text import CHUNK, TextBuffer, TextChunk
from kaa.kernel.init.run_request import Keeping, Mounting, Request
from kaa.kernel.mm.user import kernel_buffer
from kaa.kernel.process import exec as programs
from kaa.kernel.process import exit as ending
from kaa.kernel.process import sessions, wait
from kaa.kernel.sched import kernel_thread
from kaa.kernel.time import timer
from kaa.lang import Bytes, i32, noinline, u16, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File

REQUEST = b"/kaa/run"
NINEP_OPTIONS = b"trans=virtio,version=9p2000.L,msize=524288,cache=loose"
NOT_FOUND = 127
NOT_EXECUTABLE = 126
SETUP_FAILED = 125
KILLED = 128
STREAM_PATIENCE = 10_000_000_000
"""ns that the command's streams are waited for."""
STREAM_PAUSE = 1_000_000


class State:
    """The one request there is."""

    request: Request | None = None
    share_options: bytes = NINEP_OPTIONS


state = State()


def serve() -> NoReturn:
    """Carry the request out. Called in process 1, in the initramfs; ends with the machine."""
    status = SETUP_FAILED
    try:
        request = load()
        state.request = request
        enter_root()
        mount_standard()
        for mounting in request.mounts:
            mount_requested(mounting, request)
        status = run_command()
        for keeping in request.keepings:
            keep(keeping)
    except OSError as error:
        log.error(f"kaa.run: error {error.errno} while setting up")
    except MemoryError:
        log.error("kaa.run: not enough memory to set up")
    drivers.quiesce()
    machine.power.off(u32(status))


def load() -> Request:
    """Read and parse the request, from the initramfs."""
    request = Request()
    request.parse(kernel_io.read_all(kernel_io.open_path(REQUEST, O_RDONLY, 0)))
    if len(request.arguments) == 0:
        log.error("kaa.run: the request names no command")
        raise OSError(errno.EINVAL)
    return request


def enter_root() -> None:
    """The root that the command line asks for (root=, rootfstype=, rootflags=); without one the initramfs stays."""
    from kaa.kernel.init.first_process import choice

    if len(choice.root) == 0:
        return
    if len(choice.root_flags) > 0:
        state.share_options = choice.root_flags
    kind = choice.root_type if len(choice.root_type) > 0 else b"9p"
    kernel_io.switch_root(choice.root, kind, state.share_options, choice.writable)


def mount_standard() -> None:
    """Devices, processes and the rest of the kernel where programs look for them."""
    mount_if_possible(b"devtmpfs", b"/dev", b"")
    mount_if_possible(b"devpts", b"/dev/pts", b"mode=620,ptmxmode=666")
    mount_if_possible(b"proc", b"/proc", b"")
    mount_if_possible(b"sysfs", b"/sys", b"")
    mount_if_possible(b"tmpfs", b"/dev/shm", b"mode=1777")


def mount_if_possible(kind: bytes, target: bytes, options: bytes) -> None:
    """Mount, making the directory in a root that can be written. A failure costs a line in the log."""
    try:
        if not kernel_io.exists(target):
            kernel_io.make_directory(target, 0o755)
        kernel_io.mount(kind, kind, target, MS_NOSUID, options)
    except OSError as error:
        log.warn(f"kaa.run: {kind} on {target}: error {error.errno}")


def mount_requested(mounting: Mounting, request: Request) -> None:
    """A tmpfs= or share= record. A failure costs a line in the log."""
    try:
        if len(mounting.tag) == 0:
            if kernel_io.exists(mounting.path):
                mount_tmpfs(mounting.path, request)
            return
        if not kernel_io.exists(mounting.path):
            kernel_io.make_directories(mounting.path, 0o755)
        flags = u64(0) if mounting.writable else u64(MS_RDONLY)
        kernel_io.mount(b"9p", mounting.tag, mounting.path, flags, state.share_options)
    except OSError as error:
        log.error(f"kaa.run: cannot mount {mounting.path}: error {error.errno}")


def mount_tmpfs(path: bytes, request: Request) -> None:
    """/tmp and /var/tmp for everybody, other places for the command's user."""
    options = TextBuffer()
    if path == b"/tmp" or path == b"/var/tmp":
        options.add(b"mode=1777")
    else:
        options.add(b"mode=755,uid=")
        options.decimal(u64(request.uid))
        options.add(b",gid=")
        options.decimal(u64(request.gid))
    kernel_io.mount(b"tmpfs", b"tmpfs", path, u64(MS_NOSUID), options.to_bytes())


def keep(keeping: Keeping) -> None:
    """A keep= record: copy a file. A failure costs a line in the log."""
    try:
        source = kernel_io.open_path(keeping.source, u32(O_RDONLY), u32(0))
        target = kernel_io.open_path(keeping.target, u32(O_CREAT | O_WRONLY | O_TRUNC), u32(0o644))
        piece = TextChunk()
        while True:
            got = source.read(kernel_buffer(piece.data[0:CHUNK]))
            if got == 0:
                return
            target.write(kernel_buffer(piece.data[0:got]))
    except OSError as error:
        log.error(f"kaa.run: cannot keep {keeping.source}: error {error.errno}")


def run_command() -> u32:
    """Start the command, wait for its end, reap orphans meanwhile. Gives its exit status."""
    command = kernel_thread.spawn_process(begin_command, u64(0), b"run").pid
    while True:
        request = wait.WaitRequest(u32(IdType.P_ALL), 0, u32(WaitOption.WEXITED))
        result = wait.WaitResult()
        try:
            found = wait.await_child(request, result)
        except ChildProcessError:
            return u32(SETUP_FAILED)
        except OSError:
            continue
        if found == command:
            return exit_status(result.status)


def exit_status(status: i32) -> u32:
    """From the word that wait(2) gives to what a shell would say."""
    signo = u32(status) & 0x7F
    if signo != 0:
        return KILLED + signo
    return (u32(status) >> 8) & 0xFF


def begin_command(unused: u64) -> None:
    """The command's process, still in the kernel. No reference is held here when it ends or leaves."""
    status = become_command()
    if status >= 0:
        ending.exit_thread(status << 8)
    machine.context.enter_user(machine.percpu.current())


@noinline
def become_command() -> i32:
    """Streams, session, place, credentials, then the program; -1, or the exit status when that failed."""
    request = state.request
    assert request is not None
    try:
        prepare(request)
        programs.run(request.file, request.arguments, request.environment)
    except OSError as error:
        complain(request.file, cast(int, error.errno))
        return i32(NOT_FOUND) if error.errno == errno.ENOENT else i32(NOT_EXECUTABLE)
    except MemoryError:
        complain(request.file, errno.ENOMEM)
        return i32(NOT_EXECUTABLE)
    return i32(-1)


def prepare(request: Request) -> None:
    """All that comes before execve. Raises OSError."""
    task = machine.percpu.current()
    sessions.setsid()
    open_stream(request.streams[0], O_RDWR if request.is_terminal else O_RDONLY, request)
    open_stream(request.streams[1], O_RDWR if request.is_terminal else O_WRONLY, request)
    open_stream(request.streams[2], O_RDWR if request.is_terminal else O_WRONLY, request)
    task.credentials = request.credentials()
    task.fs.umask.store_relaxed(request.umask)
    try:
        task.fs.set_cwd(kernel_io.find(request.cwd))
    except OSError as error:
        log.warn(f"kaa.run: cannot enter {request.cwd}: error {error.errno}")
        task.fs.set_cwd(task.fs.root())


def open_stream(name: bytes, flags: u32, request: Request) -> None:
    """The next of descriptors 0, 1 and 2. The first open of a terminal makes it the session's."""
    file = _open_when_there(name, flags)
    machine.percpu.current().files.install(file, False)
    if request.is_terminal and isinstance(file, TtyFile):
        tty_ioctl.set_size(file.tty, Winsize(u16(request.rows), u16(request.columns), 0, 0))


def _open_when_there(name: bytes, flags: u32) -> File:
    """A port's node appears when the host announces it, which a busy one does late. Raises OSError."""
    deadline = machine.clock.monotonic_ns() + STREAM_PATIENCE
    while True:
        try:
            return kernel_io.open_path(name, flags, 0)
        except OSError as error:
            if error.errno != errno.ENOENT or machine.clock.monotonic_ns() > deadline:
                raise
        timer.sleep_until(machine.clock.monotonic_ns() + STREAM_PAUSE)


def complain(name: Bytes, code: int) -> None:
    """One line on standard error on why there is no command."""
    text = TextBuffer()
    try:
        text.add(b"kaa: ")
        text.add(name)
        text.add(reason(code))
        text.byte(10)
        file = machine.percpu.current().files.get(2)
        write_out(file, text)
    except OSError:
        log.error(f"kaa.run: cannot run {name}: error {code}")
    except MemoryError:
        log.error(f"kaa.run: cannot run {name}: error {code}")


def write_out(file: File, text: TextBuffer) -> None:
    """A whole text to a file."""
    for chunk in text.chunks:
        file.write(kernel_buffer(chunk.data[0 : chunk.used]))


def reason(code: int) -> Bytes:
    """An errno in words, for those that execve gives most."""
    if code == errno.ENOENT:
        return b": no such file or directory"
    if code == errno.EACCES:
        return b": permission denied"
    if code == errno.ENOEXEC:
        return b": not an executable that this kernel knows"
    if code == errno.ENOMEM:
        return b": not enough memory"
    if code == errno.EISDIR:
        return b": is a directory"
    return b": cannot be executed"
