# SPDX-License-Identifier: Apache-2.0
"""The ChaCha20 block function (RFC 8439, 2.3)."""

from __future__ import annotations

from typing import Final

from kaa.lang import ZERO, Array, inline, rotate_left, struct, u32, wrapping_add

ROUNDS: Final = 10
"""Double rounds."""


@struct
class ChaChaState:
    """Sixteen words: four constants, eight of key, a counter, three of nonce."""

    words: Array[u32, 16] = ZERO


def initialise(state: ChaChaState) -> None:
    """The constants, "expand 32-byte k"; the rest zero."""
    for index in range(16):
        state.words[index] = 0
    state.words[0] = 0x61707865
    state.words[1] = 0x3320646E
    state.words[2] = 0x79622D32
    state.words[3] = 0x6B206574


@inline
def _quarter(w: ChaChaState, a: u32, b: u32, c: u32, d: u32) -> None:
    w.words[a] = wrapping_add(w.words[a], w.words[b])
    w.words[d] = rotate_left(w.words[d] ^ w.words[a], 16)
    w.words[c] = wrapping_add(w.words[c], w.words[d])
    w.words[b] = rotate_left(w.words[b] ^ w.words[c], 12)
    w.words[a] = wrapping_add(w.words[a], w.words[b])
    w.words[d] = rotate_left(w.words[d] ^ w.words[a], 8)
    w.words[c] = wrapping_add(w.words[c], w.words[d])
    w.words[b] = rotate_left(w.words[b] ^ w.words[c], 7)


def block(state: ChaChaState, into: ChaChaState) -> None:
    """One block of key stream for `state`, whose counter the caller steps."""
    for index in range(16):
        into.words[index] = state.words[index]
    for _ in range(ROUNDS):
        _quarter(into, 0, 4, 8, 12)
        _quarter(into, 1, 5, 9, 13)
        _quarter(into, 2, 6, 10, 14)
        _quarter(into, 3, 7, 11, 15)
        _quarter(into, 0, 5, 10, 15)
        _quarter(into, 1, 6, 11, 12)
        _quarter(into, 2, 7, 8, 13)
        _quarter(into, 3, 4, 9, 14)
    for index in range(16):
        into.words[index] = wrapping_add(into.words[index], state.words[index])
