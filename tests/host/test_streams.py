# SPDX-License-Identifier: Apache-2.0
"""Bytes carried exactly, ends that travel, readers that go away, writers that are held back."""

from __future__ import annotations

import os
import pathlib
import socket

from kaa.host.streams import BufferSink, Carrier, FdSink, FdSource, Flow, SocketSink, SocketSource


def pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs


def carry(*flows: Flow) -> None:
    carrier = Carrier(list(flows))
    while not all(flow.done for flow in flows) and carrier.turn(5):
        pass


def test_bytes_and_their_end_reach_the_socket() -> None:
    ours, theirs = pair()
    carry(Flow(b"\0binary\xff", SocketSink(ours)))
    assert theirs.recv(100) == b"\0binary\xff"
    assert theirs.recv(100) == b""


def test_an_empty_input_is_an_end_at_once() -> None:
    ours, theirs = pair()
    assert Flow(b"", SocketSink(ours)).done
    assert theirs.recv(1) == b""


def test_the_end_leaves_the_way_back_open() -> None:
    ours, theirs = pair()
    carry(Flow(b"", SocketSink(ours)))
    theirs.sendall(b"answer")
    assert ours.recv(100) == b"answer"


def test_ten_megabytes_arrive_exactly_through_a_loop() -> None:
    data = os.urandom(10 << 20)
    into, out = pair()
    out.setblocking(False)
    sink = BufferSink()
    carry(Flow(data, SocketSink(into)), Flow(SocketSource(out), sink))
    assert bytes(sink.data) == data


def test_a_reader_that_goes_away_hangs_the_port_up() -> None:
    ours, theirs = pair()
    reader, writer = os.pipe()
    os.close(reader)
    flow = Flow(SocketSource(ours), FdSink(writer), hang_up=ours)
    theirs.sendall(b"unwanted")
    carry(flow)
    assert flow.broken
    theirs.settimeout(5)
    assert theirs.recv(1) == b""
    os.close(writer)


def test_a_slow_reader_holds_the_writer_back_and_blocks_nobody() -> None:
    ours, theirs = pair()
    theirs.setblocking(False)
    reader, writer = os.pipe()
    carrier = Carrier([Flow(SocketSource(ours), FdSink(writer), hang_up=ours)])
    sent = 0
    for _ in range(2000):
        try:
            sent += theirs.send(b"x" * 65536)
        except BlockingIOError:
            if not carrier.turn(0):
                break
    assert sent < 8 << 20, "nothing held the writer back"
    os.close(reader)
    os.close(writer)


def test_a_file_is_read_to_its_end_and_written_whole(tmp_path: pathlib.Path) -> None:
    data = os.urandom(1 << 20)
    (tmp_path / "in").write_bytes(data)
    source, sink = os.open(tmp_path / "in", os.O_RDONLY), os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    ours, theirs = pair()
    theirs.setblocking(False)
    carry(Flow(FdSource(source), SocketSink(ours)), Flow(SocketSource(theirs), FdSink(sink)))
    assert (tmp_path / "out").read_bytes() == data
    os.close(source)
    os.close(sink)
