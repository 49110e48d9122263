# SPDX-License-Identifier: Apache-2.0
"""An ELF image without its symbols and debug information: what is booted. Source: ELF-64 object file format.

The linker puts what is not loaded after all that is; so the image is the file up to the end of its last segment, with
the table of sections taken out of its header.
"""

from __future__ import annotations

import struct

E_PHOFF, E_SHOFF, E_PHENTSIZE, E_SHENTSIZE = 32, 40, 54, 58
P_OFFSET, P_FILESZ = 8, 32


def strip(image: bytes) -> bytes:
    """The image's loaded part. Raises ValueError when it is no 64-bit little-endian ELF file."""
    if image[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", image, E_PHOFF)
    size, count = struct.unpack_from("<HH", image, E_PHENTSIZE)
    end = table + size * count
    for index in range(count):
        header = table + index * size
        offset, length = (struct.unpack_from("<Q", image, header + field)[0] for field in (P_OFFSET, P_FILESZ))
        end = max(end, offset + length)
    out = bytearray(image[:end])
    struct.pack_into("<Q", out, E_SHOFF, 0)
    struct.pack_into("<HHH", out, E_SHENTSIZE, 0, 0, 0)
    return bytes(out)
