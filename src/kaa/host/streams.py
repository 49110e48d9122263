# SPDX-License-Identifier: Apache-2.0
"""Bytes carried between the host's file descriptors (or buffers) and the sockets that QEMU's ports end in.

One loop, no threads: `Carrier.turn` waits for whatever can move and moves it. Each `Flow` holds at most one chunk, so
that a slow reader slows the writer (back pressure) and nothing grows. End of file travels: into the guest as a
shutdown of the socket's sending side (never a close, which QEMU would take as a hang-up before it has read what is
left), out of it as the end of the flow.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
from typing import Protocol

CHUNK = 1 << 18
ATOMIC = 4096
"""PIPE_BUF: what poll(2) promises that a pipe takes without blocking."""


class Source(Protocol):
    def fileno(self) -> int: ...
    def read(self) -> bytes | None:
        """The next bytes, b"" at the end of file, None when there are none now."""
        ...


class Sink(Protocol):
    def fileno(self) -> int | None:
        """What to wait on before writing; None when it always takes bytes."""
        ...
    def write(self, data: bytes | memoryview) -> int:
        """How many bytes it took. Raises BrokenPipeError when its reader is gone."""
        ...
    def end(self) -> None: ...


class FdSource:
    """A file descriptor of the host: standard input."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd

    def read(self) -> bytes | None:
        try:
            return os.read(self.fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""  # EIO of a terminal that hung up: an end like any other


class FdSink:
    """A file descriptor of the host: standard output. Pipes and terminals get no more than what cannot block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.regular = stat.S_ISREG(os.fstat(fd).st_mode)

    def fileno(self) -> int | None:
        return None if self.regular else self.fd

    def write(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self.fd, data if self.regular else data[:ATOMIC])
        except BlockingIOError:
            return 0

    def end(self) -> None:
        pass


class BufferSink:
    """Bytes kept in memory: a test's output, the kernel's log. `also` gets a copy at once (the log under -v)."""

    def __init__(self, also: Sink | None = None) -> None:
        self.data = bytearray()
        self.also = also

    def fileno(self) -> int | None:
        return None

    def write(self, data: bytes | memoryview) -> int:
        self.data += data
        if self.also is not None:
            view = memoryview(data)
            while view:
                view = view[self.also.write(view):]
        return len(data)

    def end(self) -> None:
        pass


class SocketSource:
    """The end of a port that the guest writes to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def read(self) -> bytes | None:
        try:
            return self.sock.recv(CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""


class SocketSink:
    """The end of a port that the guest reads from."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def fileno(self) -> int | None:
        return self.sock.fileno()

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except ConnectionError:
            raise BrokenPipeError from None

    def end(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the guest is gone already


class Flow:
    """One direction. `waiting` is what was read and not yet written; `done` when the source ended or the sink broke."""

    def __init__(self, source: Source | bytes, sink: Sink, hang_up: socket.socket | None = None) -> None:
        self.source = None if isinstance(source, bytes) else source
        self.waiting = memoryview(source if isinstance(source, bytes) else b"")
        self.sink = sink
        self.hang_up = hang_up
        self.done = False
        self.broken = False
        if self.source is None and not self.waiting:
            self._finish()

    def interest(self) -> tuple[int, int] | None:
        """(file descriptor, selectors event) this flow waits for; None when it can move at once or is done."""
        if self.waiting:
            fd = self.sink.fileno()
            return None if fd is None else (fd, selectors.EVENT_WRITE)
        assert self.source is not None
        return self.source.fileno(), selectors.EVENT_READ

    def move(self) -> None:
        """One read and one write at most, neither of which blocks."""
        if not self.waiting and self.source is not None:
            data = self.source.read()
            if data is None:
                return
            if not data:
                return self._finish()
            self.waiting = memoryview(data)
        self._drain()

    def _drain(self) -> None:
        try:
            self.waiting = self.waiting[self.sink.write(self.waiting):]
        except OSError:
            self._break()
            return
        if not self.waiting and self.source is None:
            self._finish()

    def _finish(self) -> None:
        self.sink.end()
        self.done = True

    def _break(self) -> None:
        """The reader is gone: hang the port up, so that the guest's next write gets EPIPE and SIGPIPE."""
        self.waiting = memoryview(b"")
        self.done = self.broken = True
        if self.hang_up is not None:
            self.hang_up.close()


class Carrier:
    """All the flows of one machine, and the descriptors whose readiness ends a turn (QEMU's end)."""

    def __init__(self, flows: list[Flow]) -> None:
        self.flows = flows

    def turn(self, timeout: float | None, also: int | None = None) -> bool:
        """Waits until something can move (or `also` is readable, or `timeout` seconds passed) and moves it. False:
        nothing moved."""
        ready: list[Flow] = []
        waiting: dict[tuple[int, int], list[Flow]] = {}
        for flow in self.flows:
            if not flow.done:
                interest = flow.interest()
                if interest is None:
                    ready.append(flow)
                else:
                    waiting.setdefault(interest, []).append(flow)
        ready += _select(waiting, 0 if ready else timeout, also)
        for flow in ready:
            flow.move()
        return bool(ready)


    def drain(self) -> None:
        """After QEMU's end: carries what it wrote before, however slow the readers are. Every port's end has come."""
        self.flows = [flow for flow in self.flows if isinstance(flow.source, SocketSource)]
        while not all(flow.done for flow in self.flows):
            self.turn(None)


def _select(waiting: dict[tuple[int, int], list[Flow]], timeout: float | None, also: int | None) -> list[Flow]:
    with selectors.PollSelector() as selector:
        events: dict[int, int] = {}
        for fd, event in waiting:
            events[fd] = events.get(fd, 0) | event
        if also is not None:
            events[also] = events.get(also, 0) | selectors.EVENT_READ
        for fd, mask in events.items():
            selector.register(fd, mask)
        found: list[Flow] = []
        for key, mask in selector.select(timeout):
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                if mask & event:
                    found += waiting.get((key.fd, event), [])
        return found
