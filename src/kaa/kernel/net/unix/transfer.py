# SPDX-License-Identifier: Apache-2.0
"""Sending and receiving: the waiting, the ends, the signals. send(2), recv(2), unix(7)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from kaa.kernel.abi.restart import Restart
from kaa.kernel.abi.socket import MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SOCK_DGRAM, SOCK_SEQPACKET
from kaa.kernel.arch import machine
from kaa.kernel.fs.poll import deadline_after
from kaa.kernel.net.unix.message import Message
from kaa.kernel.signal import send
from kaa.lang import i64, u32, u64, usize

if TYPE_CHECKING:
    from kaa.kernel.net.pieces import Pieces
    from kaa.kernel.net.unix.delivery import Delivery
    from kaa.kernel.net.unix.inbox import Inbox
    from kaa.kernel.net.unix.socket import UnixSocket

SIGPIPE = 13
OVERHEAD = 32
"""What of the send buffer no packet may use, as on Linux."""


def deadline_of(timeout: u64) -> u64:
    """When a call that begins now gives up; 0: never."""
    return u64(0) if timeout == 0 else deadline_after(timeout)


def send_stream(socket: UnixSocket, pieces: Pieces, flags: u32, message: Message | None) -> usize:
    """All bytes, waiting for room; less when a signal, a fault or non-blocking mode cuts it short. Raises
    BrokenPipeError after SIGPIPE when nobody will read."""
    out = socket.outgoing
    if out is None:
        raise OSError(errno.ENOTCONN)
    total = pieces.total
    mark = message
    if mark is None and (out.signed or socket.pass_credentials):
        mark = Message(socket.identity)
        mark.sign()
    deadline = deadline_of(socket.send_timeout)
    while True:
        done = total - pieces.total
        try:
            if out.append(pieces, mark) > 0:
                mark = None
                done = total - pieces.total
            if done == total:
                return done
            if socket.waits_not(flags):
                raise BlockingIOError
            await_room(out, usize(1), deadline)
        except BrokenPipeError:
            if done > 0:
                return done
            if flags & MSG_NOSIGNAL == 0:
                send.send_kernel(machine.percpu.current(), SIGPIPE)
            raise
        except (OSError, MemoryError):
            if done > 0:
                return done
            raise


def await_room(out: Inbox, needed: usize, deadline: u64) -> None:
    """Sleep until so many bytes of a stream, or of a packet, go in or never will. Raises Restart, with a deadline
    BlockingIOError or InterruptedError (signal(7): calls with a timeout are not restarted)."""
    if deadline == 0:
        out.writable.wait_interruptible(lambda: out.room_for(needed))
        return
    try:
        if not out.writable.wait_interruptible_timeout(lambda: out.room_for(needed), deadline):
            raise BlockingIOError
    except Restart:
        raise InterruptedError from None


def await_data(inbox: Inbox, deadline: u64) -> None:
    """Sleep until there is something, or never will be. Raises as await_room."""
    if deadline == 0:
        inbox.readable.wait_interruptible(lambda: inbox.has_news())
        return
    try:
        if not inbox.readable.wait_interruptible_timeout(lambda: inbox.has_news(), deadline):
            raise BlockingIOError
    except Restart:
        raise InterruptedError from None


def receive_stream(socket: UnixSocket, pieces: Pieces, flags: u32, delivery: Delivery | None) -> usize:
    """What is there, waiting for the first byte (MSG_WAITALL: for all); 0 at the end."""
    inbox = socket.incoming
    if inbox is None:
        raise OSError(errno.EINVAL)
    total = pieces.total
    if total == 0:
        return usize(0)
    peek = flags & MSG_PEEK != 0
    deadline = deadline_of(socket.receive_timeout)
    done: usize = usize(0)
    while True:
        try:
            moved = inbox.take(pieces, delivery, peek)
            done += moved
            if moved > 0:
                if flags & MSG_WAITALL == 0 or peek or pieces.total == 0:
                    return done
                if delivery is not None and delivery.files is not None:
                    return done
            elif inbox.ended():
                # What was put in before the end came is to be had still.
                if inbox.ring.used() == 0:
                    return at_end(inbox, done)
            elif socket.waits_not(flags):
                raise BlockingIOError
            else:
                await_data(inbox, deadline)
        except (OSError, MemoryError):
            if done > 0:
                return done
            raise


def at_end(inbox: Inbox, done: usize) -> usize:
    """Nothing more comes. Raises ConnectionResetError, once, when the other side left bytes unread."""
    if done == 0 and inbox.reset and inbox.take_reset():
        raise ConnectionResetError
    return done


def send_packet(
    socket: UnixSocket, pieces: Pieces, flags: u32, message: Message | None, target: Inbox | None
) -> usize:
    """One packet, to `target` or the peer. Raises OSError(ENOTCONN), OSError(EMSGSIZE), ConnectionRefusedError,
    BrokenPipeError."""
    out = target
    if out is None:
        out = socket.receiver()
    if out is None:
        raise OSError(errno.ENOTCONN)
    if socket.kind == SOCK_DGRAM and socket.shut & 2:
        raise BrokenPipeError
    length = pieces.total
    if length > socket.send_buffer - OVERHEAD:
        raise OSError(errno.EMSGSIZE)
    packet = message
    if packet is None:
        packet = Message(socket.identity)
        packet.sign()
    deadline = deadline_of(socket.send_timeout)
    while True:
        try:
            if out.post(pieces, packet):
                return length
        except ConnectionRefusedError:
            if target is None:
                socket.disconnect()
            raise
        if socket.waits_not(flags):
            raise BlockingIOError
        await_room(out, length, deadline)


def receive_packet(socket: UnixSocket, pieces: Pieces, flags: u32, delivery: Delivery | None) -> usize:
    """One packet, waiting for it; what does not fit is lost. 0 at the end of a connection."""
    inbox = socket.incoming
    if inbox is None:
        raise OSError(errno.ENOTCONN)
    deadline = deadline_of(socket.receive_timeout)
    while True:
        ended = inbox.ended()
        length: i64 = inbox.receive(pieces, delivery, flags & MSG_PEEK != 0, flags & MSG_TRUNC != 0)
        if length >= 0:
            return usize(length)
        if ended and (socket.kind == SOCK_SEQPACKET or not socket.waits_not(flags)):
            return at_end(inbox, usize(0))
        if socket.waits_not(flags):
            raise BlockingIOError
        await_data(inbox, deadline)
