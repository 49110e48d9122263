# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX sockets under CPython: bytes, packets, descriptors, names, ends."""

from __future__ import annotations

import errno
import os
from typing import Any

import fs_world as world
import pytest

from kaa.kernel.abi.poll import POLLERR, POLLHUP, POLLIN, POLLRDHUP
from kaa.kernel.abi.socket import MSG_NOSIGNAL, MSG_PEEK, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from kaa.kernel.mm.user import kernel_buffer
from kaa.kernel.net.pieces import single
from kaa.kernel.net.unix import connecting, transfer
from kaa.kernel.net.unix.delivery import Delivery
from kaa.kernel.net.unix.message import Message, in_flight
from kaa.kernel.net.unix.socket import UnixSocket
from kaa.lang import Array, u8

NONBLOCKING = 0o4000


@pytest.fixture(autouse=True)
def booted() -> None:
    world.boot()


def pair(kind: int = SOCK_STREAM) -> tuple[UnixSocket, UnixSocket]:
    first, second = UnixSocket(kind, NONBLOCKING), UnixSocket(kind, NONBLOCKING)
    connecting.join(first, second)
    return first, second


def send(own: UnixSocket, data: bytes, message: Any = None) -> int:
    pieces = single(kernel_buffer(world.view(data)).first(len(data)))
    if own.kind == SOCK_STREAM:
        return transfer.send_stream(own, pieces, MSG_NOSIGNAL, message)
    return transfer.send_packet(own, pieces, MSG_NOSIGNAL, message, None)


def receive(own: UnixSocket, size: int, delivery: Any = None, flags: int = 0) -> bytes:
    room: Any = Array[u8, size]()
    pieces = single(kernel_buffer(room[0:size]))
    call = transfer.receive_stream if own.kind == SOCK_STREAM else transfer.receive_packet
    return bytes(room[0 : call(own, pieces, flags, delivery)])


def carrying(own: UnixSocket, *files: Any) -> Message:
    message = Message(own.identity)
    message.attach(list(files))
    return message


def test_a_stream_keeps_order_and_not_borders() -> None:
    one, two = pair()
    data = os.urandom(30000)
    assert send(one, data[:10000]) + send(one, data[10000:]) == 30000
    assert receive(two, 5) + receive(two, 40000) == data
    with pytest.raises(BlockingIOError):
        receive(two, 1)


def test_a_full_stream_takes_a_part_and_then_none() -> None:
    one, two = pair()
    assert send(one, bytes(300000)) == 212992
    with pytest.raises(BlockingIOError):
        send(one, b"x")
    assert receive(two, 4096) == bytes(4096) and send(one, bytes(9999)) == 4096


@pytest.mark.parametrize("kind", [SOCK_DGRAM, SOCK_SEQPACKET])
def test_packets_keep_their_borders_also_empty_ones(kind: int) -> None:
    one, two = pair(kind)
    for packet in (b"one", b"", b"three"):
        send(one, packet)
    assert [receive(two, 9, flags=MSG_PEEK), receive(two, 2), receive(two, 9), receive(two, 9)] == [
        b"one", b"on", b"", b"three"]
    with pytest.raises(OSError) as raised:
        send(one, bytes(212992))
    assert raised.value.errno == errno.EMSGSIZE


def test_a_read_stops_behind_descriptors() -> None:
    one, two = pair()
    file, _other = pair()
    send(one, b"1")
    send(one, b"2", carrying(one, file))
    send(one, b"3")
    delivery = Delivery(False)
    assert receive(two, 10, delivery) == b"12" and delivery.files == [file] and receive(two, 10) == b"3"


def test_descriptors_that_nobody_reads_are_not_in_flight_any_more() -> None:
    before = in_flight.files.load()
    one, two = pair()
    inner, _ = pair()
    send(one, b"a", carrying(one, inner))
    send(one, b"b", carrying(one, inner))
    assert in_flight.files.load() == before + 2
    assert receive(two, 1) == b"a" and in_flight.files.load() == before + 1
    two.__del__()
    assert in_flight.files.load() == before


def test_a_close_with_unread_bytes_is_a_reset_told_once() -> None:
    one, two = pair()
    send(one, b"lost")
    two.__del__()
    assert one.poll(None) & (POLLERR | POLLHUP | POLLRDHUP | POLLIN) == POLLERR | POLLHUP | POLLRDHUP | POLLIN
    with pytest.raises(ConnectionResetError):
        receive(one, 1)
    assert receive(one, 1) == b""
    with pytest.raises(BrokenPipeError):
        send(one, b"x")


def test_names_in_the_file_system_and_abstract_ones() -> None:
    for name in (b"/server", b"\0server"):
        server, client, late = (UnixSocket(SOCK_STREAM, NONBLOCKING) for _ in range(3))
        connecting.bind(server, name)
        with pytest.raises(ConnectionRefusedError):
            connecting.connect(client, name)
        connecting.listen(server, 0)
        connecting.connect(client, name)
        with pytest.raises(BlockingIOError):
            connecting.connect(late, name)
        queue = connecting.wait_for_connection(server)
        made, connection = UnixSocket(SOCK_STREAM, NONBLOCKING), queue.pop()
        connecting.take_over(made, server, connection)
        send(client, b"hello")
        assert receive(made, 9) == b"hello" and made.identity.name == name
        connecting.connect(late, name)
        server.__del__()
        server.port = server.backlog = None
        with pytest.raises(ConnectionResetError):
            receive(late, 1)


def test_a_taken_name_is_refused_and_leaves_the_first() -> None:
    one, two = UnixSocket(SOCK_DGRAM, 0), UnixSocket(SOCK_DGRAM, 0)
    connecting.bind(one, b"/name")
    with pytest.raises(OSError) as raised:
        connecting.bind(two, b"/name")
    assert raised.value.errno == errno.EADDRINUSE and two.port is None
