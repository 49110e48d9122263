# SPDX-License-Identifier: Apache-2.0
"""Hashes of keys and the index of a dict: open addressing with linear probing.

An index has a power of two of u32 slots: 0 is empty, e + 1 stands for entry e. Entries are never moved while the
index points at them, so a removed entry stays as a tombstone (its hash is 0) until the dict is rebuilt. Hashes are
deterministic: a kernel that must fear chosen names salts them itself.
"""

from __future__ import annotations

from kaa.lang import Bytes, inline, u8, u32, u64, usize, wrapping_add, wrapping_mul, wrapping_sub
from kaa.lang.unsafe import Ptr, address_of

GOLDEN = 0x9E37_79B9_7F4A_7C15
"""2**64 divided by the golden ratio, odd: multiplicative hashing (Knuth, vol. 3, 6.4)."""


@inline
def hash_integer(key: u64) -> u32:
    """Never 0, which marks a removed entry."""
    return u32(wrapping_mul(key, GOLDEN) >> 32) | 1


def hash_bytes(key: Bytes) -> u32:
    """Eight bytes at a time through two multiplications, then the tail. Never 0."""
    size: u64 = len(key)
    if size == 0:
        return 1
    address = address_of(key)
    state: u64 = wrapping_mul(u64(size), GOLDEN)
    while size >= 8:
        state = mix(state, Ptr[u64](address)[0])
        address = wrapping_add(address, 8)
        size = wrapping_sub(size, 8)
    if size > 0:
        state = mix(state, tail(address, size))
    return u32(state >> 32) | 1


@inline
def mix(state: u64, word: u64) -> u64:
    """One step: every bit of `word` reaches the high half."""
    state = wrapping_mul(state ^ word, GOLDEN)
    return state ^ (state >> 29)


@inline
def tail(address: u64, size: u64) -> u64:
    """The last 1 to 7 bytes as a number."""
    word: u64 = 0
    while size > 0:
        size = wrapping_sub(size, 1)
        word = wrapping_mul(word, 256) | Ptr[u8](address)[size]
    return word


@inline
def home(hash: u32, mask: usize) -> usize:
    """The slot where the search for a hash begins."""
    return (hash >> 1) & mask


def enter(index: Ptr[u32], mask: usize, hash: u32, entry: usize) -> None:
    """Put an entry into the first free slot of its chain. There is one: the index is at least a quarter empty."""
    slot = home(hash, mask)
    while index[slot] != 0:
        slot = wrapping_add(slot, 1) & mask
    index[slot] = u32(entry + 1)


def slots_for(capacity: usize) -> usize:
    """How many slots serve that many entries: a power of two, at most three quarters full."""
    slots: usize = 8
    while slots * 3 < capacity * 4:
        slots *= 2
    return slots


def python_hash(key: int | bytes) -> int:
    """CPython only: the hash of a key, for freezing."""
    if isinstance(key, bytes):
        return int(hash_bytes(key))
    return int(hash_integer(u64(key)))


def frozen_index(hashes: list[int]) -> list[int]:
    """CPython only: the index of entries with these hashes."""
    index = [0] * int(slots_for(len(hashes)))
    for entry, hash in enumerate(hashes):
        slot = (hash >> 1) & (len(index) - 1)
        while index[slot]:
            slot = (slot + 1) & (len(index) - 1)
        index[slot] = entry + 1
    return index


__all__ = ["enter", "frozen_index", "hash_bytes", "hash_integer", "home", "python_hash", "slots_for"]
