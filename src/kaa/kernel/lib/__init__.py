# SPDX-License-Identifier: Apache-2.0
"""Containers and algorithms that know nothing of the kernel: `range_map` (disjoint ranges by address), `radix_tree`
(words by index), `bitmap`, `random` (ChaCha20). All run and are tested under CPython as they are. They take no
locks."""
