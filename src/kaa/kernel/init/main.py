# SPDX-License-Identifier: Apache-2.0
"""From the boot loader to process 1, top to bottom.

The boot thread has the image's boot stack and must not sleep; once there is a scheduler it is the idle task. What may
sleep (file systems, drivers, starting a program) happens in process 1, which begins here in the kernel:
first_process.py."""

from __future__ import annotations

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.arch.x86_64 import (
    apic,
    clock,
    cpu,
    descriptors,
    early_console,
    fpu,
    ioapic,
    kernel_map,
    mp_table,
    pcid,
    percpu,
    power,
    processors,
    smap,
    vdso,
)  # fmt: skip
from kaa.kernel.arch.x86_64.stacks import STACK_SIZE
from kaa.kernel.drivers.acpi import madt, tables
from kaa.kernel.drivers.acpi import power as acpi_power
from kaa.kernel.fs import kernel_io
from kaa.kernel.init import command_line, first_process, memory_map
from kaa.kernel.init.command_line import boot_param, number
from kaa.kernel.mm import boot_memory, buddy
from kaa.kernel.process import boot as first_tasks
from kaa.kernel.sched import core, kernel_thread
from kaa.lang import Bytes, entry_point, export, trusted, u64


class Choices:
    """What the command line says about booting."""

    acpi: bool

    def __init__(self) -> None:
        self.acpi = True


choices = Choices()


@boot_param("acpi")
def _acpi(value: Bytes) -> None:
    choices.acpi = value != b"off"


@boot_param("panic")
def _panic(value: Bytes) -> None:
    power.state.panic_seconds = number(value)


@boot_param("kaa.exit")
def _exit(value: Bytes) -> None:
    power.state.debug_exit = value == b"debug"


@trusted("context", "before there is a second task or processor, every mutex is free: none is waited for")
@entry_point("boot", interrupts=False, stack=STACK_SIZE)
@export("kaa_main")
def main(start_info: u64) -> None:
    """The first compiled function. Long mode, first GiB mapped, interrupts off, a 16 KiB stack."""
    percpu.initialise()
    descriptors.initialise()
    early_console.initialise()
    cpu.identify()
    fpu.initialise()
    memory_map.read(start_info)
    command_line.apply()
    start_memory()
    start_devices_of_the_processor()
    first_tasks.initialise()
    announce()
    first_tasks.set_root(kernel_io.mount_root())
    kernel_thread.spawn_process(first_process.run, u64(0), b"init")
    clock.refine_later()
    machine.irq.enable()
    core.idle_loop()


def start_memory() -> None:
    """Final page tables, then frames, pages and objects: from here on things can be allocated."""
    smap.patch()
    info = memory_map.info
    kernel_map.build(info.ram_end, info.initrd, info.initrd + info.initrd_size)
    cpu.protect()
    pcid.initialise()
    boot_memory.initialise()


def start_devices_of_the_processor() -> None:
    """Interrupt controllers and clocks."""
    apic.initialise()
    if choices.acpi and tables.initialise(memory_map.info.rsdp):
        madt.read()
        acpi_power.read()
    if processors.processors.count == 0:
        mp_table.read()
    processors.initialise()
    ioapic.initialise()
    clock.initialise()
    vdso.initialise()


def announce() -> None:
    """The log's first lines."""
    memory = buddy.total_pages() // 256
    log.info(f"Kaa: Python to ring 0. {memory} MiB of memory, TSC {clock.state.tsc_hz.load_relaxed() // 1_000_000} MHz")
    log.info(f"Command line: {command_line.text()}")
    if memory_map.info.initrd_size != 0:
        log.info(f"Initial archive: {memory_map.info.initrd_size} bytes at {memory_map.info.initrd:#x}")
