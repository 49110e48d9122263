# SPDX-License-Identifier: Apache-2.0
"""PCI: configuration space (`config`), the functions on the buses (`scan`), message-signalled interrupts (`msix`).

Source: PCI Local Bus 3.0, PCI Express Base 5.0, by the ports 0xCF8 and 0xCFC, which pc and q35 both have.
The firmware has given out addresses and bus numbers; nothing is assigned here.
"""

from __future__ import annotations
