# SPDX-License-Identifier: Apache-2.0
"""Text that ends with a NUL, as programs and firmware hand it over."""

from __future__ import annotations

from kaa.lang import Bytes, usize


def until_nul(text: Bytes) -> Bytes:
    """What stands before the first NUL; all of it, if there is none."""
    length: usize = usize(0)
    while length < len(text) and text[length] != 0:
        length += 1
    return text[0:length]
