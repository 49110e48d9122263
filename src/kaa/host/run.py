# SPDX-License-Identifier: Apache-2.0
"""`./kaa run`: one command of the person's, on this kernel, with the person's files, streams, environment and terminal.

The guest's root is the host's, read-only through virtio-9p (or a folder, or a cpio archive); tmpfs lies over what
programs must write; the current directory is shared, for writing only when asked. The exit status is the command's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping

from kaa.host import accelerator, cpio, installing, sizes, terminal
from kaa.host.errors import FAILED, INTERRUPTED, TIMED_OUT, USAGE, Refusal
from kaa.host.machine import Machine, Result
from kaa.host.qemu import Share
from kaa.host.request import Request
from kaa.host.streams import FdSink, FdSource
from kaa.host.tree import Archive, Folder, Tree, find_command

SMALLEST_MEMORY = 8 << 20
COMMAND_LINE = "console=ttyS0 kaa.exit=debug kaa.run panic=-1"
NINEP_ROOT = "root=root rootfstype=9p rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose ro"
WRITABLE = ("/tmp", "/run", "/var/tmp")
NOT_SHARED = ("/", "/proc", "/sys", "/dev")


@dataclasses.dataclass
class Options:
    """What the command line of `./kaa run` says before CMD."""

    root: pathlib.Path | None = None
    writable: bool = False
    memory: str = "512M"
    timeout: float | None = None
    machine: str = "microvm"
    append: str = ""
    accelerator: str = "auto"
    verbose: bool = False
    cpus: int = 1
    keep: tuple[tuple[str, str], ...] = ()
    """(file of the guest, name): copied into `keep_folder` when the command has ended."""
    keep_folder: pathlib.Path | None = None
    extra: tuple[str, ...] = ()
    """More words for QEMU."""


KEPT = "/run/kaa-kept"
"""Where the guest has `keep_folder`."""


@dataclasses.dataclass
class Root:
    """Where the guest's files come from."""

    tree: Tree
    shares: list[Share]
    archive: bytes = b""
    is_host: bool = False

    def words(self) -> str:
        """What the kernel's command line says of the root; a cpio archive stays the root that it is."""
        return NINEP_ROOT if self.shares else ""


def open_root(path: pathlib.Path | None) -> Root:
    """The host's root, a folder or an archive. Raises Refusal when `path` is none of them."""
    if path is None or (path.is_dir() and path.samefile("/")):
        return Root(Folder(pathlib.Path("/")), [Share("root", pathlib.Path("/"))], is_host=True)
    if path.is_dir():
        return Root(Folder(path), [Share("root", path.resolve())])
    try:
        data = path.read_bytes()
        return Root(Archive(data), [], data)
    except OSError as error:
        raise Refusal(f"--root {path}: {(error.strerror or 'cannot be read').lower()}", USAGE) from None
    except cpio.Malformed:
        raise Refusal(f"--root {path}: neither a folder nor a cpio archive (newc)", USAGE) from None


def writable_places(command: str, environment: Mapping[str, str], is_host: bool) -> list[str]:
    """Where tmpfs is mounted. The home folder only when no programs are kept in it, since a tmpfs would hide them."""
    places: list[str] = list(WRITABLE)
    home = os.path.realpath(environment.get("HOME", "/"))
    if not is_host or home in NOT_SHARED or not os.path.isdir(home):
        return places
    programs = [command, *environment.get("PATH", "").split(":")]
    inside = [path for path in programs if path and os.path.isdir(os.path.dirname(os.path.realpath(path)))
              and os.path.realpath(path).startswith(home + "/") and os.path.exists(path)]
    return places if inside else [*places, home]


def request_for(words: list[str], options: Options, root: Root) -> tuple[Request, list[Share]]:
    """The request and the virtio-9p shares for a command. Raises Refusal (127, 126)."""
    environment = dict(os.environ)
    cwd = os.getcwd() if root.is_host else "/"
    path = find_command(root.tree, words[0], cwd, environment.get("PATH"))
    shares = list(root.shares)
    mounts: list[tuple[str, bool, str]] = []
    if root.is_host and not any(cwd == place or (place != "/" and cwd.startswith(place + "/")) for place in NOT_SHARED):
        shares.append(Share("cwd", pathlib.Path(cwd), options.writable))
        mounts.append(("cwd", options.writable, cwd))
    if options.keep_folder is not None:
        shares.append(Share("kept", options.keep_folder, True))
        mounts.append(("kept", True, KEPT))
    umask = os.umask(0)
    os.umask(umask)
    request = Request(
        words, path, cwd, environment, os.getuid(), os.getgid(), os.getgroups(), umask,
        writable_places(path, environment, root.is_host), mounts,
        terminal.size() if terminal.is_interactive() else None)
    request.keep = [(source, f"{KEPT}/{name}") for source, name in options.keep]
    if request.terminal is not None and not os.isatty(2):
        request.streams = "/dev/hvc0", "/dev/hvc0", "/dev/vport0p3"
    return request, shares


def check_memory(text: str, archive: bytes) -> str:
    """QEMU's word for the memory. Raises Refusal when the kernel (and the archive, twice: packed and unpacked) cannot
    fit."""
    size = sizes.parse_memory(text)
    least = SMALLEST_MEMORY + 2 * len(archive)
    if size < least:
        raise Refusal(f"--mem {text}: too little memory to boot; at least {sizes.human(least)} is needed", FAILED)
    return sizes.for_qemu(size)


def say(options: Options, sentence: str) -> None:
    if options.verbose:
        print(f"kaa: {sentence}", file=sys.stderr, flush=True)


def refuse_early(words: list[str], options: Options) -> None:
    """What can be refused is refused before anything is built or installed. Raises Refusal."""
    root = open_root(options.root)
    check_memory(options.memory, root.archive)
    request_for(words, options, root)


def run(words: list[str], options: Options, kernel: pathlib.Path) -> int:
    """Boots `kernel`, runs the command, returns the exit status for the person's shell."""
    installing.ensure_qemu()
    root = open_root(options.root)
    memory = check_memory(options.memory, root.archive)
    request, shares = request_for(words, options, root)
    kind, why = accelerator.choose(kernel, options.machine, options.accelerator)
    say(options, f"QEMU {options.machine} with {kind.upper()}: {why}")
    say(options, f"{memory} of memory; tmpfs on {' '.join(request.tmpfs)}")
    append = " ".join(filter(None, (COMMAND_LINE, root.words(), options.append)))
    with Machine(kernel, initrd=root.archive + request.archive(), append=append, memory=memory, machine=options.machine,
                 shares=shares, cpus=options.cpus, accelerator=kind, timeout=options.timeout,
                 extra=options.extra, streams="tty" if request.terminal is not None else "ports") as machine:
        try:
            with terminal.raw() if request.terminal is not None else contextlib.nullcontext():
                result = machine.run(FdSource(0), FdSink(1), FdSink(2), FdSink(2) if options.verbose else None)
        except KeyboardInterrupt:
            return INTERRUPTED
    if kind == "kvm" and "KVM internal error" in result.complaint:
        accelerator.remember(options.machine, False)
        raise Refusal("KVM cannot carry out what the guest does on this host; from now on TCG is used: try again")
    return conclude(result, options)


def conclude(result: Result, options: Options) -> int:
    """The status for the shell; what went wrong with the machine itself is told here."""
    if result.timed_out:
        raise Refusal(f"the command did not end within {options.timeout:g} seconds", TIMED_OUT)
    if result.status is not None:
        return result.status
    if result.complaint:
        raise Refusal(f"QEMU stopped: {result.complaint.splitlines()[-1]}")
    if result.log and not options.verbose:
        sys.stderr.write(result.log if result.log.endswith("\n") else result.log + "\n")
    raise Refusal("the kernel stopped before the command ended; its log is above" if result.log
                  else "the kernel stopped without a word; is there enough memory (--mem)?")
