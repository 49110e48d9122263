# SPDX-License-Identifier: Apache-2.0
"""ACPI, as much as a kernel needs that does not interpret AML: interrupt controllers (madt.py), power off and reset
(power.py).

Source: ACPI specification 6.5. Tables are what firmware left in memory: lengths and checksums are checked, nothing is
believed beyond a table's end.
"""

from __future__ import annotations
