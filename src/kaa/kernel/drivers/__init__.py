# SPDX-License-Identifier: Apache-2.0
"""Drivers: serial lines, terminals, virtio, PCI; character devices are in `char/`, ACPI's tables in `acpi/`.

Comes in: `start.start(command_line)` at boot, once memory, scheduler, interrupts and time work: finds the hardware
and registers its devices. Goes out: `start.quiesce()` before the machine is switched off waits until output that
programs wrote has reached the host. Consoles: `tty.devices.consoles`; 9P channels: `fs.ninep.channel.channels`.

Added to docs/architecture.md: `tty.job_control.disassociate(group)`, to be called when a session leader exits
(process room); `tty.devices.console_tty()`.
"""

from __future__ import annotations
