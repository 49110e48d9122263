# SPDX-License-Identifier: Apache-2.0
"""struct iovec of readv(2), and the RWF_ flags of preadv2(2)."""

from __future__ import annotations

from kaa.lang import struct, u64

RWF_HIPRI = 1
RWF_DSYNC = 2
RWF_SYNC = 4
RWF_NOWAIT = 8
RWF_APPEND = 16
RWF_SUPPORTED = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND


@struct
class Iovec:
    """struct iovec, 16 bytes."""

    iov_base: u64 = 0
    iov_len: u64 = 0
