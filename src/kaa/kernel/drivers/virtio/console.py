# SPDX-License-Identifier: Apache-2.0
"""The virtio console device (virtio 1.2 §5.3): its ports, and the control queues that tell of them.

With MULTIPORT the host announces ports, names them, says which are consoles and when its ends open and close; without
it there is one port, a console. Control messages are dealt with by a thread, and at probe time at once, so that the
ports of a machine's start exist when the first program runs. All queues are made before the device is started (§3.1.1).
"""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.virtio import ConsoleConfig, ConsoleControl, ConsoleEvent, ConsoleFeature, DeviceKind
from kaa.kernel.drivers.virtio import console_nodes
from kaa.kernel.drivers.virtio.control import ControlQueues
from kaa.kernel.drivers.virtio.device import VirtioDevice, VirtioDriver, virtio_driver
from kaa.kernel.drivers.virtio.hvc import HvcDriver
from kaa.kernel.drivers.virtio.port import Port
from kaa.kernel.locking.mutex import Mutex
from kaa.kernel.sched import core
from kaa.lang import Bytes, u32, u64

QUEUE_SIZE = 16
PORT_LIMIT = 32


class Console(VirtioDriver):
    """One device."""

    index: Final[u32]
    device: Final[VirtioDevice]
    ports: list[Port]
    """By number; all that the device may have."""
    control: ControlQueues | None = None
    lock: Final[Mutex]
    """Covers `Port.opens` and the order of the messages about it."""

    def __init__(self, index: u32, device: VirtioDevice) -> None:
        super().__init__()
        self.index = index
        self.device = device
        self.ports = []
        self.lock = Mutex("virtio console")

    def make_queues(self) -> None:
        """Queues 0 and 1 are port 0's, 2 and 3 control, then two for each port. Raises MemoryError, OSError."""
        count: u32 = 1
        if self.device.has(ConsoleFeature.MULTIPORT):
            count = min(self.device.transport.config32(ConsoleConfig.MAX_PORTS), u32(PORT_LIMIT))
            self.control = ControlQueues(self.device)
        for number in range(count):
            first: u32 = 0 if number == 0 else 2 * u32(number) + 2
            receive = self.device.queue(first, QUEUE_SIZE)
            self.ports.append(Port(u32(number), self.device, receive, self.device.queue(first + 1, QUEUE_SIZE)))

    def interrupt(self) -> None:
        for port in self.ports:
            if port.announced.load_acquire():
                port.reap()
            if port.is_console.load_acquire():
                console_nodes.drained(port)
        control = self.control
        if control is not None and control.has_message():
            control.wait.wake_all()

    def begin(self) -> None:
        """The device runs: hear of its ports, or make the only one a console."""
        control = self.control
        if control is None:
            self.ports[0].announced.store_release(True)
            self.ports[0].host_changed(True)
            self.make_console(self.ports[0])
            return
        control.start()
        control.send(u32(0xFFFFFFFF), ConsoleEvent.DEVICE_READY, 1)
        self.handle_messages(control)

    def handle_messages(self, control: ControlQueues) -> None:
        """Deal with every control message that is here. What was received before a message counts before it."""
        while True:
            slot = control.take()
            if slot < 0:
                return
            header = control.header(slot)
            if header.id < len(self.ports):
                self.handle(self.ports[header.id], header, control.text(slot))
            control.recycle(slot)

    def handle(self, port: Port, header: ConsoleControl, text: Bytes) -> None:
        """One message about a port. Without memory for it the log says so."""
        if port.announced.load_acquire():
            port.reap()
        try:
            match header.event:
                case ConsoleEvent.DEVICE_ADD:
                    self.add_port(port)
                case ConsoleEvent.CONSOLE_PORT:
                    self.make_console(port)
                case ConsoleEvent.PORT_OPEN:
                    port.host_changed(header.value != 0)
                case ConsoleEvent.PORT_NAME:
                    console_nodes.add_name(self, port, text)
                case ConsoleEvent.DEVICE_REMOVE:
                    port.host_changed(False)
                case ConsoleEvent.RESIZE:
                    console_nodes.resize(self, port, text)
                case _:
                    pass
        except (MemoryError, OSError):
            log.error(f"virtio-console: no memory for port {port.number}")

    def add_port(self, port: Port) -> None:
        """The host announces a port: make its node, say that we are ready for it."""
        if port.announced.load_acquire():
            return
        console_nodes.add_port(self, port)
        port.announced.store_release(True)
        self.tell(port, ConsoleEvent.PORT_READY, 1)

    def make_console(self, port: Port) -> None:
        """The port is a console: a terminal hvcN."""
        if port.is_console.load_acquire():
            return
        port.prepare_console()
        driver = HvcDriver(port)
        console_nodes.add_console(driver)
        port.is_console.store_release(True)
        self.opened(port)

    def opened(self, port: Port) -> None:
        """A file of the port is opened; the host hears of the first. Raises MemoryError."""
        with self.lock:
            port.start_receiving()
            port.opens += 1
            if port.opens == 1:
                self.tell(port, ConsoleEvent.PORT_OPEN, 1)

    def closed(self, port: Port) -> None:
        """A file of the port is closed; the host hears of the last, once all output has reached it."""
        with self.lock:
            port.opens -= 1
            if port.opens > 0:
                return
        port.drain()
        with self.lock:
            if port.opens == 0:
                self.tell(port, ConsoleEvent.PORT_OPEN, 0)

    def tell(self, port: Port, event: u32, value: u32) -> None:
        """Send a control message, where there are such."""
        control = self.control
        if control is not None:
            control.send(port.number, event, value)


def serve(index: u64) -> None:
    """The thread that deals with control messages."""
    console = console_nodes.consoles.all[index]
    control = console.control
    assert control is not None
    while True:
        serve_once(console, control)


def serve_once(console: Console, control: ControlQueues) -> None:
    """Wait for messages and deal with them."""
    control.wait.wait_until(lambda: control.has_message())
    console.handle_messages(control)


@virtio_driver(DeviceKind.CONSOLE, ConsoleFeature.MULTIPORT)
def probe(device: VirtioDevice) -> VirtioDriver:
    """Make the queues, start the device, learn of its ports."""
    consoles = console_nodes.consoles
    console = Console(u32(len(consoles.all)), device)
    console.make_queues()
    consoles.all.append(console)
    device.start()
    console.begin()
    if console.control is not None:
        core.spawn_kernel_thread(serve, u64(console.index), b"virtio-console")
    return console
