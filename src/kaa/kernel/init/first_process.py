# SPDX-License-Identifier: Apache-2.0
"""Process 1, from its beginning in the kernel to the program it becomes.

Devices first, then the other processors, then the root: an initramfs if the boot loader gave one, and on request
(`root=`) a file system over it. What is then run: with `kaa.run`, what `./kaa run` asks for (run.py); else rdinit= in
an initramfs (default /init), or init=, or the first of /sbin/init, /etc/init, /bin/init, /bin/sh that starts. Its
arguments and environment: command_line.py.
"""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.drivers import start as drivers
from kaa.kernel.fs import initramfs, kernel_io, sysfs
from kaa.kernel.fs.sysfs import processors
from kaa.kernel.init import command_line, memory_map, planted_bugs
from kaa.kernel.init import run as run_request
from kaa.kernel.init.command_line import boot_param
from kaa.kernel.locking import stress
from kaa.kernel.process import exec as programs
from kaa.kernel.trace import sched_trace
from kaa.lang import Bytes, u32, u64

DEFAULT_INIT = b"/init"
USUAL_PLACES: list[bytes] = [b"/sbin/init", b"/etc/init", b"/bin/init", b"/bin/sh"]
CHARACTER_DEVICE = 0o020000
CONSOLE_DEVICE = 0x501


class Choice:
    """Which program, as the command line says; empty: the default."""

    ramdisk_init: bytes
    init: bytes
    root: bytes
    root_type: bytes
    root_flags: bytes
    writable: bool
    requested: bool

    def __init__(self) -> None:
        self.ramdisk_init = b""
        self.init = b""
        self.root = b""
        self.root_type = b""
        self.root_flags = b""
        self.writable = False
        self.requested = False


choice = Choice()


def _word(name: Bytes) -> bytes:
    """The value of the last such word; empty if there is none. Raises MemoryError."""
    found = b""
    for word in command_line.words():
        if command_line.same_name(command_line.name_of(word), name):
            found = bytes(command_line.value_of(word))
    return found


def _take(value: Bytes) -> None:
    """Parameters read later, by read_choices(), when memory can be allocated; declared so that init does not get
    them."""


for _name in (
    "rdinit", "init", "root", "rootfstype", "rootflags", "rootwait", "rootdelay", "ro", "rw",
    "kaa.run", "reboot", "noapic",
):  # fmt: skip
    boot_param(_name)(_take)


def read_choices() -> None:
    """Fill `choice`. Raises MemoryError."""
    choice.ramdisk_init = _word(b"rdinit")
    choice.init = _word(b"init")
    choice.root = _word(b"root")
    choice.root_type = _word(b"rootfstype")
    choice.root_flags = _word(b"rootflags")
    choice.writable = command_line.find(b"rw")
    choice.requested = command_line.find(b"kaa.run")


def run(unused: u64) -> None:
    """What process 1 does: ends in a user program, or in a panic."""
    read_choices()
    _make_console_node()
    _unpack()
    drivers.start(command_line.text())
    machine.smp.start_others()
    drivers.spread_interrupts()
    _show_processors()
    planted_bugs.check()
    stress.check()
    sched_trace.start()
    if choice.requested:
        run_request.serve()
    if choice.root != b"" and not kernel_io.exists(_first_name()):
        _mount_root()
    _open_console()
    _start_init()
    machine.context.enter_user(machine.percpu.current())


def _show_processors() -> None:
    """Their directories in /sys."""
    try:
        processors.add_directories(sysfs.cpus)
    except MemoryError:
        log.warn("no memory for /sys/devices/system/cpu/cpu*")


def _make_console_node() -> None:
    """What an empty root has, so that init gets a console: /dev/console and /root, as Linux's default initramfs."""
    try:
        kernel_io.make_directory(b"/dev", u32(0o755))
        kernel_io.make_directory(b"/root", u32(0o700))
        kernel_io.make_node(b"/dev/console", u32(CHARACTER_DEVICE | 0o600), u64(CONSOLE_DEVICE))
    except OSError as error:
        log.error(f"cannot make /dev/console: error {error.errno}")


def _unpack() -> None:
    """The boot loader's archive into the root."""
    if memory_map.info.initrd_size != 0:
        initramfs.unpack(memory_map.initrd())
        memory_map.release_initrd()


def _first_name() -> bytes:
    """What an initramfs is expected to hold."""
    return choice.ramdisk_init if choice.ramdisk_init != b"" else DEFAULT_INIT


def _mount_root() -> None:
    """root=, rootfstype=, rootflags=, ro or rw, as Linux has them; the new root replaces the old one for process 1."""
    try:
        kernel_io.switch_root(choice.root, choice.root_type, choice.root_flags, choice.writable)
    except OSError as error:
        log.panic(f"cannot mount root={choice.root} of type {choice.root_type}: error {error.errno}")
    try:
        kernel_io.mount(b"devtmpfs", b"devtmpfs", b"/dev", u64(0), b"")
    except OSError as error:
        log.warn(f"cannot mount devtmpfs on /dev: error {error.errno}")


def _open_console() -> None:
    """Descriptors 0, 1 and 2 on /dev/console."""
    try:
        kernel_io.open_standard(b"/dev/console")
    except OSError as error:
        log.warn(f"init has no /dev/console: error {error.errno}")


def _start_init() -> None:
    """Become the first program that starts."""
    if _try(_first_name(), choice.ramdisk_init != b""):
        return
    if choice.init != b"":
        if _try(choice.init, True):
            return
        log.panic(f"init={choice.init} does not start")
    for name in USUAL_PLACES:
        if _try(name, False):
            return
    log.panic("no init found: give one with init= or rdinit=")


def _try(name: bytes, wanted: bool) -> bool:
    """Become `name`, if it can be; a program that was asked for says why not."""
    arguments: list[bytes] = [name]
    arguments.extend(command_line.init_arguments())
    environment: list[bytes] = [b"HOME=/", b"TERM=linux"]
    environment.extend(command_line.init_environment())
    try:
        programs.run(name, arguments, environment)
    except OSError as error:
        if wanted or error.errno != 2:
            log.error(f"cannot run {name}: error {error.errno}")
        return False
    log.info(f"Run {name} as init process")
    return True
