# SPDX-License-Identifier: Apache-2.0
"""The part of /proc that is known when the kernel is built."""

from __future__ import annotations

from kaa.kernel.fs.synthetic import Tree

tree = Tree(0x1000)
