# SPDX-License-Identifier: Apache-2.0
"""The virtio console driver against a model of the device that acts at each notification, as QEMU does."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from simulated import boot

from kaa.kernel.abi.virtio import ConsoleEvent, ConsoleFeature, DeviceKind, Feature, Status
from kaa.kernel.arch import machine
from kaa.kernel.drivers.char import registry
from kaa.kernel.drivers.tty import devices
from kaa.kernel.drivers.virtio import console as console_module
from kaa.kernel.drivers.virtio import console_nodes, device, port_file
from kaa.kernel.drivers.virtio.port_file import open_file
from kaa.kernel.drivers.virtio.queue import VirtQueue
from kaa.kernel.drivers.virtio.transport import Transport
from kaa.kernel.mm.user import kernel_buffer
from kaa.kernel.sched import core
from kaa.lang import Array, u8, u32, u64, unsafe


def memory_read(address: int, size: int) -> bytes:
    return unsafe.memory.read(machine.paging.direct_map(address), size)


def memory_write(address: int, data: bytes) -> None:
    unsafe.memory.write(machine.paging.direct_map(address), data)


class Model(Transport):
    """A device with `names` as its ports; what the guest writes to port n collects in `output[n]`."""

    def __init__(self, names: list[str], consoles: set[int] = frozenset()) -> None:
        self.names, self.consoles = names, consoles
        self.state = 0
        self.queues: dict[int, VirtQueue] = {}
        self.seen: dict[int, int] = {}
        self.given: dict[int, list[tuple[int, list[tuple[int, int]]]]] = {}
        self.output = {number: b"" for number in range(8)}
        self.messages: list[tuple[int, int, int]] = []
        self.stuck: set[int] = set()

    def kind(self) -> u32:
        return u32(DeviceKind.CONSOLE)

    def status(self) -> u32:
        return u32(self.state)

    def set_status(self, status: u32) -> None:
        self.state = status

    def device_features(self) -> u64:
        return u64(Feature.VERSION_1 | ConsoleFeature.MULTIPORT | Feature.EVENT_IDX)

    def queue_limit(self, index: u32) -> u32:
        return u32(64)

    def start_queue(self, queue: VirtQueue) -> None:
        assert not self.state & Status.DRIVER_OK
        self.queues[queue.index] = queue
        self.seen[queue.index] = 0
        self.given[queue.index] = []

    def config8(self, offset: u32) -> u32:
        return u32(8 if offset == 4 else 0)

    def notify(self, queue: VirtQueue) -> None:
        index = queue.index
        self.fetch(index)
        if index in self.stuck:
            return
        if index == 3:
            self.read_messages()
        elif index % 2 == 1:
            port = 0 if index == 1 else (index - 3) // 2
            self.output[port] += b"".join(self.drain(index))

    def fetch(self, index: int) -> None:
        queue = self.queues[index]
        [last] = struct.unpack("<H", memory_read(queue.available_physical + 2, 2))
        while self.seen[index] != last:
            slot = queue.available_physical + 4 + 2 * (self.seen[index] % queue.size)
            [head] = struct.unpack("<H", memory_read(slot, 2))
            address, length, _, _ = struct.unpack("<QIHH", memory_read(queue.descriptors_physical + 16 * head, 16))
            self.given[index].append((head, [(address, length)]))
            self.seen[index] = (self.seen[index] + 1) & 0xFFFF

    def use(self, index: int, head: int, length: int) -> None:
        queue = self.queues[index]
        [at] = struct.unpack("<H", memory_read(queue.used_physical + 2, 2))
        memory_write(queue.used_physical + 4 + 8 * (at % queue.size), struct.pack("<II", head, length))
        memory_write(queue.used_physical + 2, struct.pack("<H", (at + 1) & 0xFFFF))

    def drain(self, index: int) -> list[bytes]:
        taken = []
        for head, [(address, length)] in self.given[index]:
            taken.append(memory_read(address, length))
            self.use(index, head, 0)
        self.given[index] = []
        return taken

    def read_messages(self) -> None:
        for message in self.drain(3):
            port, event, value = struct.unpack("<IHH", message)
            self.messages.append((port, event, value))
            if event == ConsoleEvent.DEVICE_READY:
                for number in range(len(self.names)):
                    self.tell(number, ConsoleEvent.DEVICE_ADD, 1)
            if event == ConsoleEvent.PORT_READY:
                if port in self.consoles:
                    self.tell(port, ConsoleEvent.CONSOLE_PORT, 1)
                self.tell(port, ConsoleEvent.PORT_NAME, 1, self.names[port].encode())
                self.tell(port, ConsoleEvent.PORT_OPEN, 1)

    def tell(self, port: int, event: int, value: int, text: bytes = b"") -> None:
        self.give(2, struct.pack("<IHH", port, event, value) + text)

    def send(self, port: int, data: bytes) -> int:
        """Input for a port, as much as it has room for."""
        index = 0 if port == 0 else 2 * port + 2
        done = 0
        while done < len(data) and (self.fetch(index), self.given[index])[1]:
            done += self.give(index, data[done:])
        return done

    def give(self, index: int, data: bytes) -> int:
        self.fetch(index)
        head, [(address, length)] = self.given[index].pop(0)
        memory_write(address, data[:length])
        self.use(index, head, min(len(data), length))
        return min(len(data), length)


class Machine:
    """A started console."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, consoles: set[int] = frozenset()) -> None:
        boot(3000)
        console_nodes.consoles.all.clear()
        console_nodes.consoles.terminals = type(console_nodes.consoles.terminals)()
        devices.consoles.lines.clear()
        registry.registry.devices.clear()
        self.signals: list[int] = []
        monkeypatch.setattr(core, "spawn_kernel_thread", lambda *_: None)
        monkeypatch.setattr(port_file.send, "send_kernel", lambda task, signo: self.signals.append(int(signo)))
        self.model = Model(["log", "kaa.stdin", "kaa.stdout"], consoles)
        self.device = device.VirtioDevice(self.model)
        assert device.start_driver(self.device)
        driver = self.device.driver
        assert isinstance(driver, console_module.Console)
        self.console = driver

    def open(self, number: int) -> Any:
        return open_file(None, 0o4000, self.console, self.console.ports[number])  # type: ignore[arg-type]

    def interrupt(self) -> None:
        self.console.interrupt()
        assert self.console.control is not None
        self.console.handle_messages(self.console.control)


def read(file: Any, count: int) -> bytes:
    space = Array[u8, 65536]()
    got = file.read(kernel_buffer(space[:count]))
    return bytes(space[:got])


def write(file: Any, data: bytes) -> int:
    space = Array[u8, 200000]()
    space[: len(data)].copy_from(data)
    return int(file.write(kernel_buffer(space[: len(data)])))


def test_ports_and_their_names_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch, {0})
    found = {bytes(d.name): d.link and bytes(d.link) for d in registry.registry.devices}
    assert found[b"vport0p1"] is None and found[b"hvc0"] is None
    assert found[b"virtio-ports/kaa.stdin"] == b"../vport0p1"
    assert (0, ConsoleEvent.PORT_OPEN, 1) in machine_.model.messages


def test_bytes_go_out_exactly_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch)
    file = machine_.open(2)
    data = bytes(range(256)) * 700
    assert write(file, data) == len(data)
    assert write(file, b"end") == 3
    assert machine_.model.output[2] == data + b"end"


def test_input_is_read_in_any_pieces_then_end_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch)
    file = machine_.open(1)
    data = bytes(range(256)) * 1000
    at, got = 0, b""
    sizes = [1, 4095, 5000, 10, 60000]
    with pytest.raises(BlockingIOError):
        read(file, 1)
    while at < len(data):
        sent = machine_.model.send(1, data[at : at + 30000])
        assert sent > 0
        at += sent
        machine_.interrupt()
        while len(got) < at:
            got += read(file, sizes[len(got) % 5])
    machine_.model.send(1, b"last")
    machine_.model.tell(1, ConsoleEvent.PORT_OPEN, 0)
    machine_.interrupt()
    assert got == data
    assert read(file, 100) == b"last"
    assert read(file, 100) == b""


def test_the_host_feels_it_when_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch)
    file = machine_.open(1)
    sent = machine_.model.send(1, bytes(1 << 20))
    assert 0 < sent <= 16 * 4096
    machine_.interrupt()
    assert len(read(file, 65536)) == sent


def test_writing_to_a_closed_end_is_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch)
    file = machine_.open(2)
    machine_.model.tell(2, ConsoleEvent.PORT_OPEN, 0)
    machine_.interrupt()
    with pytest.raises(BrokenPipeError):
        write(file, b"x")
    assert machine_.signals == [13]


def test_a_host_that_does_not_read_blocks_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch)
    file = machine_.open(2)
    machine_.model.stuck.add(7)
    taken = write(file, bytes(150000))
    assert 0 < taken < 150000
    with pytest.raises(BlockingIOError):
        write(file, bytes(150000))
    machine_.model.stuck.clear()
    machine_.model.notify(machine_.model.queues[7])
    machine_.interrupt()
    assert write(file, b"more") == 4
    assert machine_.model.output[2] == bytes(taken) + b"more" or len(machine_.model.output[2]) >= taken


def test_a_terminal_on_a_port_echoes_and_reads_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_ = Machine(monkeypatch, {0})
    tty = devices.consoles.lines[0].tty
    machine_.model.send(0, b"hello\r")
    machine_.interrupt()
    driver = console_nodes.consoles.terminals[0]
    driver.feed_once()
    assert machine_.model.output[0] == b"hello\r\n"
    space = Array[u8, 100]()
    count, ended = tty.input.take_line(space[:])
    assert bytes(space[:count]) == b"hello\n" and ended
