# SPDX-License-Identifier: Apache-2.0
"""Serial lines: the 16550 UART at its two usual places, as terminals ttyS0 and ttyS1.

Source: the data sheet of the PC16550D. Interrupts are edge-triggered, so the handler goes on until the chip says that
nothing is pending. Output goes through a ring; each interrupt of the empty transmitter fills its 16-byte FIFO again.
Received bytes go through a ring to a thread, which runs the line discipline.

`lock` (IRQ) covers the chip and both rings; it comes after `Tty.lock`.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.abi.stat import make_device
from kaa.kernel.arch import machine
from kaa.kernel.arch.x86_64.instructions import in8, out8
from kaa.kernel.drivers.tty import devices
from kaa.kernel.drivers.tty.driver import TtyDriver
from kaa.kernel.drivers.tty.ring import ByteRing
from kaa.kernel.drivers.tty.tty import SERIAL, Tty
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.sched import core
from kaa.lang import Array, Bytes, Guarded, noinline, u8, u16, u32, u64, usize

DATA = 0
INTERRUPT_ENABLE = 1
INTERRUPT_ID = 2
FIFO_CONTROL = 2
LINE_CONTROL = 3
MODEM_CONTROL = 4
LINE_STATUS = 5
SCRATCH = 7
"""Register offsets. DATA and INTERRUPT_ENABLE are the divisor while LINE_CONTROL's DIVISOR_ACCESS is set."""

RECEIVED = 1
TRANSMITTER_EMPTY = 0x20
"""LINE_STATUS, and as ENABLE_RECEIVED 1 and ENABLE_TRANSMITTER 2 in INTERRUPT_ENABLE."""
ENABLE_RECEIVED = 1
ENABLE_TRANSMITTER = 2
NOTHING_PENDING = 1
FIFO_ON = 0x07
FIFO_TRIGGER_8 = 0x80
EIGHT_BITS = 3
DIVISOR_ACCESS = 0x80
MODEM_READY = 0x0B
"""DTR, RTS, and OUT2, which lets the interrupt out on PCs."""
FIFO_SIZE = 16
PIECE = 64


class Uart(TtyDriver):
    """One chip."""

    port: Final[u16]
    lock: Final[IrqSpinLock]
    output: Guarded[ByteRing, "lock"]
    input: Guarded[ByteRing, "lock"]
    input_wait: Final[WaitQueue]
    tty: Tty | None = None
    halted: Guarded[bool, "lock"] = False
    enabled: Guarded[u8, "lock"] = 0
    dropped: Guarded[u64, "lock"] = 0

    def __init__(self, port: u16) -> None:
        self.port = port
        self.lock = IrqSpinLock("serial")
        self.output = ByteRing()
        self.input = ByteRing()
        self.input_wait = WaitQueue()

    def set(self, register: u16, value: u8) -> None:
        """Write a register."""
        out8(self.port + register, value)

    def get(self, register: u16) -> u8:
        """Read a register."""
        return in8(self.port + register)

    def present(self) -> bool:
        """Whether a chip answers: the scratch register keeps what is written."""
        self.set(SCRATCH, 0x5A)
        return self.get(SCRATCH) == 0x5A and self.get(LINE_STATUS) != 0xFF

    def initialise(self) -> None:
        """115200 bits per second, 8N1, FIFOs on, interrupts of the receiver on."""
        with self.lock:
            self.set(INTERRUPT_ENABLE, 0)
            self.set(LINE_CONTROL, DIVISOR_ACCESS)
            self.set(DATA, 1)
            self.set(INTERRUPT_ENABLE, 0)
            self.set(LINE_CONTROL, EIGHT_BITS)
            self.set(FIFO_CONTROL, FIFO_ON | FIFO_TRIGGER_8)
            self.set(MODEM_CONTROL, MODEM_READY)
            self.enable(ENABLE_RECEIVED)

    def enable(self, interrupts: u8) -> None:
        """Choose which conditions interrupt."""
        if self.enabled != interrupts:
            self.enabled = interrupts
            self.set(INTERRUPT_ENABLE, interrupts)

    def write(self, data: Bytes) -> usize:
        with self.lock:
            taken = self.output.write(data)
            self.pump()
        return taken

    def write_byte(self, byte: u8) -> bool:
        with self.lock:
            taken = self.output.put(byte)
            self.pump()
        return taken

    def pump(self) -> None:
        """Send what the FIFO takes; ask for an interrupt while something is left. `lock` is held."""
        while self.output.fill() > 0 and not self.halted and self.get(LINE_STATUS) & TRANSMITTER_EMPTY:
            for _ in range(min(self.output.fill(), usize(FIFO_SIZE))):
                self.set(DATA, self.output.get())
        waiting = self.output.fill() > 0 and not self.halted
        self.enable(ENABLE_RECEIVED | ENABLE_TRANSMITTER if waiting else ENABLE_RECEIVED)

    @noinline
    def room(self) -> usize:
        with self.lock:
            return self.output.room()

    @noinline
    def pending(self) -> usize:
        with self.lock:
            return self.output.fill()

    @noinline
    def sends(self) -> bool:
        """Whether there is output, and nobody stopped it."""
        with self.lock:
            return self.output.fill() > 0 and not self.halted

    @noinline
    def has_input(self) -> bool:
        """Whether bytes were received that nobody took."""
        with self.lock:
            return self.input.fill() > 0

    def flush_output(self) -> None:
        with self.lock:
            self.output.clear()

    def stop(self) -> None:
        with self.lock:
            self.halted = True
            self.pump()

    def start(self) -> None:
        with self.lock:
            self.halted = False
            self.pump()

    def interrupt(self) -> None:
        """Everything that the chip wants."""
        with self.lock:
            before = self.output.fill()
            while self.get(INTERRUPT_ID) & NOTHING_PENDING == 0:
                self.receive()
                self.pump()
            received = self.input.fill() > 0
        if received:
            self.input_wait.wake_one()
        tty = self.tty
        if before > 0 and tty is not None:
            tty.output_drained()

    def receive(self) -> None:
        """Empty the receiver. `lock` is held."""
        while self.get(LINE_STATUS) & RECEIVED:
            if not self.input.put(self.get(DATA)):
                self.dropped += 1

    def take_input(self, into: Array[u8, PIECE]) -> usize:
        """Received bytes for the line discipline."""
        with self.lock:
            return self.input.read(into[:])


class Uarts:
    """The chips found at boot."""

    chips: Array[Uart | None, 2]

    def __init__(self) -> None:
        self.chips = Array[Uart | None, 2]()


uarts = Uarts()


def on_first(vector: u32) -> None:
    """IRQ 4."""
    uart = uarts.chips[0]
    if uart is not None:
        uart.interrupt()


def on_second(vector: u32) -> None:
    """IRQ 3."""
    uart = uarts.chips[1]
    if uart is not None:
        uart.interrupt()


def deliver_input(index: u64) -> None:
    """The thread that gives received bytes to the terminal."""
    uart = uarts.chips[index]
    assert uart is not None
    tty = uart.tty
    assert tty is not None
    while True:
        deliver_some(uart, tty)


def deliver_some(uart: Uart, tty: Tty) -> None:
    """Wait for input, and pass it on as the line discipline has room for it."""
    piece = Array[u8, PIECE]()
    uart.input_wait.wait_until(lambda: uart.has_input())
    count = uart.take_input(piece)
    done: usize = 0
    while done < count:
        done += tty.receive(piece[done:count])
        if done < count:
            tty.write_wait.wait_until(lambda: tty.has_room())


def start_line(index: u32, port: u16, name: bytes) -> Uart | None:
    """Make a terminal of the chip at `port`, if there is one. Raises MemoryError."""
    uart = Uart(port)
    if not uart.present():
        return None
    tty = Tty(uart, make_device(devices.TTY_MAJOR, devices.SERIAL_MINOR + index), SERIAL)
    uart.tty = tty
    uarts.chips[index] = uart
    devices.add_line(name, tty, devices.TTY_MAJOR, devices.SERIAL_MINOR + index)
    core.spawn_kernel_thread(deliver_input, u64(index), b"serial")
    return uart


def start() -> None:
    """Find the chips and start them. Without memory a line is left out, with a message."""
    try:
        first = start_line(0, 0x3F8, b"ttyS0")
        if first is not None:
            machine.irq.connect(4, on_first)
            first.initialise()
        second = start_line(1, 0x2F8, b"ttyS1")
        if second is not None:
            machine.irq.connect(3, on_second)
            second.initialise()
    except (MemoryError, OSError):
        log.error("serial: no memory or no interrupt for a line")


def pending() -> bool:
    """Whether bytes wait to be sent."""
    for uart in uarts.chips:
        if uart is not None and uart.sends():
            return True
    return False
