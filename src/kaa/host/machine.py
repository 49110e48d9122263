# SPDX-License-Identifier: Apache-2.0
"""Machine: boots a kernel in QEMU, carries its streams, and tells how it ended. The SDK that `./kaa run` and the boot
tests use.

    with Machine(kernel, initrd=archive, append="rdinit=/bin/init") as machine:
        result = machine.run(stdin=b"...")
    assert result.status == 0, result.log

Every stream is a socket pair of which QEMU holds one end: standard input, output and error (virtio serial ports 1, 2,
3), or one terminal (port 0), the serial console (the kernel's log), and the status byte. QEMU is killed when this
process dies, on leaving the `with` block, and at the timeout.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal

from kaa.host import qemu
from kaa.host.errors import Refusal
from kaa.host.streams import BufferSink, Carrier, Flow, Sink, SocketSink, SocketSource, Source

Streams = Literal["ports", "tty", "none"]
PORT_NUMBERS = {"kaa.tty": 0, "kaa.stdin": 1, "kaa.stdout": 2, "kaa.stderr": 3}
STREAM_PORTS: dict[Streams, tuple[str, ...]] = {
    "ports": ("kaa.stdin", "kaa.stdout", "kaa.stderr"),
    "tty": ("kaa.tty", "kaa.stderr"),
    "none": (),
}
SOCKET_BUFFER = 1 << 20
PR_SET_PDEATHSIG = 1
LONGEST_WAIT = 0.2
"""Seconds. A signal that comes between Python's last look and poll(2) is noticed no later than this."""


@dataclasses.dataclass(frozen=True)
class Result:
    """How a machine ended. `status` is what the guest powered off with; None when it did not end in order."""

    status: int | None
    stdout: bytes
    stderr: bytes
    log: str
    seconds: float
    timed_out: bool = False
    complaint: str = ""
    """What QEMU itself said on its standard error."""

    @property
    def panicked(self) -> bool:
        return self.status is None and not self.timed_out


def _die_with_parent() -> None:
    """In the child before exec: the kernel sends SIGKILL when our process ends, however it ends (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """One machine, started once. `sinks` and `stdin` say where streams go; without them they are kept in memory."""

    def __init__(self, kernel: pathlib.Path | str, *, initrd: bytes | pathlib.Path | None = None, append: str = "",
                 memory: str = "512M", machine: str = "microvm", shares: Sequence[qemu.Share] = (), cpus: int = 1,
                 accelerator: str = "tcg", streams: Streams = "ports", extra: Sequence[str] = (),
                 timeout: float | None = 60.0, rng: bool = True) -> None:
        self.kernel = pathlib.Path(kernel)
        self.initrd = initrd
        self.append = append
        self.hardware = qemu.Hardware(machine, memory, cpus, accelerator, shares, rng, extra)
        self.streams: Streams = streams
        self.timeout = timeout
        self.status_bytes = BufferSink()
        self.process: subprocess.Popen[bytes] | None = None
        self._sockets: dict[str, socket.socket] = {}
        self._complaint = tempfile.TemporaryFile()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.kill()
        for sock in self._sockets.values():
            sock.close()
        self._complaint.close()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def command(self, log_fd: int, status_fd: int, ports: Sequence[qemu.Port], initrd: str | None) -> list[str]:
        """QEMU's whole command line."""
        words = qemu.command(self.hardware, log_fd=log_fd, status_fd=status_fd, ports=ports)
        words += ["-kernel", str(self.kernel), "-append", self.append]
        return words + (["-initrd", initrd] if initrd is not None else [])

    def start(self) -> None:
        """Starts QEMU. Raises Refusal when there is no QEMU or no kernel."""
        if not self.kernel.is_file():
            raise Refusal(f"there is no kernel image {self.kernel}")
        theirs = {name: self._pair(name) for name in ("log", "status", *STREAM_PORTS[self.streams])}
        ports = [qemu.Port(PORT_NUMBERS[name], name, theirs[name].fileno()) for name in STREAM_PORTS[self.streams]]
        initrd, kept = self._initrd_path()
        inherited = [sock.fileno() for sock in theirs.values()] + kept
        words = self.command(theirs["log"].fileno(), theirs["status"].fileno(), ports, initrd)
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self._complaint, stderr=self._complaint,
                                        pass_fds=inherited, start_new_session=True, preexec_fn=_die_with_parent)
        for sock in theirs.values():
            sock.close()
        for fd in kept:
            os.close(fd)

    def _pair(self, name: str) -> socket.socket:
        """Makes the socket pair of a stream: ours is kept, theirs is returned."""
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        ours.setblocking(False)
        self._sockets[name] = ours
        return theirs

    def _initrd_path(self) -> tuple[str | None, list[int]]:
        """What to give to -initrd, and the descriptors that QEMU must inherit for it: bytes go through a memory
        file."""
        if self.initrd is None or isinstance(self.initrd, pathlib.Path):
            return (None if self.initrd is None else str(self.initrd)), []
        fd = os.memfd_create("kaa-initrd")
        view = memoryview(self.initrd)
        while view:
            view = view[os.write(fd, view):]
        return f"/proc/self/fd/{fd}", [fd]

    def run(self, stdin: bytes | Source = b"", stdout: Sink | None = None, stderr: Sink | None = None,
            log: Sink | None = None, until: Callable[[], bool] | None = None) -> Result:
        """Starts the machine and carries its streams until it ends. Sinks not given are kept and returned in the
        Result.

        `log` sees the kernel's log as it comes (it is kept as well). `until`, asked after every turn, ends the run
        early.
        """
        out, err, kept_log = stdout or BufferSink(), stderr or BufferSink(), BufferSink(log)
        began = time.monotonic()
        if self.process is None:
            self.start()
        carrier = Carrier(self._flows(stdin, out, err, kept_log))
        timed_out = self._carry(carrier, None if self.timeout is None else began + self.timeout, until)
        self.kill()
        carrier.drain()
        return self._result(out, err, kept_log, time.monotonic() - began, timed_out)

    def _flows(self, stdin: bytes | Source, out: Sink, err: Sink, log: Sink) -> list[Flow]:
        flows = [self._out("log", log), self._out("status", self.status_bytes)]
        if self.streams == "ports":
            flows += [self._into("kaa.stdin", stdin), self._out("kaa.stdout", out), self._out("kaa.stderr", err)]
        elif self.streams == "tty":
            flows += [self._into("kaa.tty", stdin), self._out("kaa.tty", out), self._out("kaa.stderr", err)]
        return flows

    def _into(self, name: str, source: bytes | Source) -> Flow:
        return Flow(source, SocketSink(self._sockets[name]))

    def _out(self, name: str, sink: Sink) -> Flow:
        return Flow(SocketSource(self._sockets[name]), sink, hang_up=self._sockets[name])

    def _carry(self, carrier: Carrier, deadline: float | None, until: Callable[[], bool] | None) -> bool:
        """Turns the carrier until QEMU ends. True when the deadline came first."""
        assert self.process is not None
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while self.process.poll() is None and not (until is not None and until()):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return True
                if self.hardware.accelerator == "kvm" and self._kvm_gave_up():
                    return False
                carrier.turn(LONGEST_WAIT if left is None else min(left, LONGEST_WAIT), also=pidfd)
        finally:
            os.close(pidfd)
        return False

    def _kvm_gave_up(self) -> bool:
        """KVM met an instruction that it cannot carry out: QEMU says so, stops the CPU and waits for ever."""
        return b"KVM internal error" in os.pread(self._complaint.fileno(), 4096, 0)

    def _result(self, out: Sink, err: Sink, log: BufferSink, seconds: float, timed_out: bool) -> Result:
        assert self.process is not None
        status = self.status_bytes.data[-1] if self.status_bytes.data else None
        if status is None and self.process.returncode == 0:
            status = 0  # powered off through ACPI: a kernel that knows no status, such as Linux
        self._complaint.seek(0)
        return Result(status, bytes(out.data) if isinstance(out, BufferSink) else b"",
                      bytes(err.data) if isinstance(err, BufferSink) else b"",
                      log.data.decode(errors="replace").replace("\r\n", "\n"), seconds, timed_out,
                      self._complaint.read().decode(errors="replace").strip())
