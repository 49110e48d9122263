# SPDX-License-Identifier: Apache-2.0
"""How much of the processor a nice value is worth: each step is a factor of 1.25 (as sched(7) has it), 1024 at nice 0.

`INVERSE[i]` is 2**32 // weight, so that a stint is weighted by one multiplication: ns * inverse >> 22.
"""

from __future__ import annotations

from typing import Final

from kaa.lang import Array, i32, u64

IDLE_POLICY_WEIGHT: Final = 3
UNIT: Final = 1024
INVERSE_SHIFT: Final = 22

WEIGHT = Array[u64, 40]()
INVERSE = Array[u64, 40]()
for _index in range(40):
    WEIGHT[_index] = max(15, round(UNIT * 1.25 ** (20 - _index)))
    INVERSE[_index] = (1 << 32) // WEIGHT[_index]

HEAVIEST: Final = WEIGHT[0]
"""More than any task's: what a real-time task counts as."""


def weight(nice: i32) -> u64:
    """The weight of a nice value, -20 to 19."""
    return WEIGHT[nice + 20]


def inverse(nice: i32) -> u64:
    """2**32 over it."""
    return INVERSE[nice + 20]
