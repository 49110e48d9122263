# SPDX-License-Identifier: Apache-2.0
"""dict[K, V], K an integer type or bytes: an ordered hash table.

Entries stand in three parallel buffers (hashes, keys, values) in order of insertion; an index of u32 slots finds them
(see `hashing`). Removing leaves a tombstone; when the entries are used up they are squeezed together, or the buffers
doubled. Only growing allocates; when that raises MemoryError the dict is as before.

A look-up takes a `Lookup[K]`: the integer, or any `Bytes` where keys are `bytes`, so that finding a name allocates
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from kaa.lang import inline, isize, noinline, sizeof, u32, u64, usize, wrapping_add, wrapping_sub
from kaa.lang.builtins.hashing import enter, frozen_index, home, python_hash, slots_for
from kaa.lang.unsafe import Lookup, Ptr, allocate, copy_bytes, hash_key, release, zero

K = TypeVar("K")
V = TypeVar("V")


class Dict(Generic[K, V]):
    """Python's dict."""

    index: Ptr[u32]
    mask: usize
    """Slots of the index, less one."""
    hashes: Ptr[u32]
    """Per entry; 0: removed."""
    keys_: Ptr[K]
    values_: Ptr[V]
    capacity: usize
    used: usize
    """Entries in use, removed ones included."""
    length: usize
    frozen: bool
    """The buffers lie in the image and must not be released."""

    def __init__(self) -> None:
        self.index = Ptr[u32](0)
        self.mask = 0
        self.hashes = Ptr[u32](0)
        self.keys_ = Ptr[K](0)
        self.values_ = Ptr[V](0)
        self.capacity = 0
        self.used = 0
        self.length = 0
        self.frozen = False

    def __del__(self) -> None:
        self.clear()
        self.release_buffers()

    @inline
    def __len__(self) -> usize:
        return self.length

    def find(self, key: Lookup[K], hash: u32) -> isize:
        """The entry of a key; -1 if there is none."""
        if self.length == 0:
            return -1
        slot = home(hash, self.mask)
        while True:
            held = self.index[slot]
            if held == 0:
                return -1
            entry: usize = wrapping_sub(held, 1)
            if self.hashes[entry] == hash and self.keys_[entry] == key:
                return isize(entry)
            slot = wrapping_add(slot, 1) & self.mask

    @inline
    def __contains__(self, key: Lookup[K]) -> bool:
        return self.find(key, hash_key(key)) >= 0

    @inline
    def __getitem__(self, key: Lookup[K]) -> V:
        """Raises KeyError."""
        entry = self.find(key, hash_key(key))
        if entry < 0:
            raise KeyError
        return self.values_[usize(entry)]

    @inline
    def get(self, key: Lookup[K]) -> V | None:
        """The value of a key, or None: for values that are references."""
        entry = self.find(key, hash_key(key))
        if entry < 0:
            return None
        return self.values_[usize(entry)]

    @inline
    def get_default(self, key: Lookup[K], default: V) -> V:
        """get(key, default)."""
        entry = self.find(key, hash_key(key))
        if entry < 0:
            return default
        return self.values_[usize(entry)]

    def __setitem__(self, key: K, value: V) -> None:
        """Raises MemoryError."""
        hash = hash_key(key)
        entry = self.find(key, hash)
        if entry >= 0:
            self.values_[usize(entry)] = value
        else:
            self.add(key, hash, value)

    def setdefault(self, key: K, default: V) -> V:
        """The value of a key, which is `default` from now on if it had none. Raises MemoryError."""
        hash = hash_key(key)
        entry = self.find(key, hash)
        if entry >= 0:
            return self.values_[usize(entry)]
        self.add(key, hash, default)
        return default

    def add(self, key: K, hash: u32, value: V) -> None:
        """A new entry, for a key that is not there. Raises MemoryError."""
        if self.used == self.capacity:
            self.make_room()
        entry = self.used
        self.keys_[entry] = key
        self.values_[entry] = value
        self.hashes[entry] = hash
        enter(self.index, self.mask, hash, entry)
        self.used += 1
        self.length += 1

    def __delitem__(self, key: Lookup[K]) -> None:
        """Raises KeyError."""
        entry = self.find(key, hash_key(key))
        if entry < 0:
            raise KeyError
        self.take_out(usize(entry))

    def pop(self, key: Lookup[K]) -> V:
        """Remove a key; give its value. Raises KeyError."""
        entry = self.find(key, hash_key(key))
        if entry < 0:
            raise KeyError
        return self.take_out(usize(entry))

    def pop_default(self, key: Lookup[K], default: V) -> V:
        """pop(key, default)."""
        entry = self.find(key, hash_key(key))
        if entry < 0:
            return default
        return self.take_out(usize(entry))

    def take_out(self, entry: usize) -> V:
        """Remove an entry; give its value. It stays as a tombstone until the next rebuild."""
        value = self.values_.take(entry)
        self.hashes[entry] = 0
        self.length -= 1
        if self.length == 0:
            self.forget_tombstones()
        self.keys_.take(entry)
        return value

    def clear(self) -> None:
        """Release all entries, first to last; the buffers stay."""
        entry: usize = 0
        while entry < self.used and self.length > 0:
            if self.hashes[entry] != 0:
                self.take_out(entry)
            entry += 1

    def forget_tombstones(self) -> None:
        """Nothing is left alive: begin again with an empty index."""
        zero(self.index.address, (self.mask + 1) * 4)
        self.used = 0

    @inline
    def __iter__(self) -> Iterator[K]:
        for entry in self.live_entries():
            yield self.keys_[entry]

    @inline
    def keys(self) -> Iterator[K]:
        for entry in self.live_entries():
            yield self.keys_[entry]

    @inline
    def values(self) -> Iterator[V]:
        for entry in self.live_entries():
            yield self.values_[entry]

    @inline
    def items(self) -> Iterator[tuple[K, V]]:
        for entry in self.live_entries():
            yield self.keys_[entry], self.values_[entry]

    @inline
    def live_entries(self) -> Iterator[usize]:
        """Entries in order of insertion. As in CPython, the dict must not change size meanwhile."""
        length = self.length
        entry: usize = 0
        while entry < self.used:
            if self.hashes[entry] != 0:
                yield entry
                assert self.length == length, "dictionary changed size during iteration"
            entry += 1

    @noinline
    def make_room(self) -> None:
        """All entries are used: squeeze tombstones out if they are half, otherwise double. Raises MemoryError."""
        if self.length <= self.capacity // 2 and self.capacity > 0:
            self.squeeze(self.hashes, self.keys_, self.values_)
        else:
            self.grow(max(self.capacity * 2, 6))

    def grow(self, capacity: usize) -> None:
        """New buffers, all or none. Raises MemoryError."""
        slots = slots_for(capacity)
        index = allocate(slots * 4)
        hashes: u64 = 0
        keys: u64 = 0
        try:
            hashes = allocate(capacity * 4)
            keys = allocate(capacity * sizeof(K))
            values = allocate(capacity * sizeof(V))
        except MemoryError:
            release(index, slots * 4)
            if hashes != 0:
                release(hashes, capacity * 4)
            if keys != 0:
                release(keys, capacity * sizeof(K))
            raise
        self.move_to(Ptr[u32](index), slots, Ptr[u32](hashes), Ptr[K](keys), Ptr[V](values), capacity)

    def move_to(
        self, index: Ptr[u32], slots: usize, hashes: Ptr[u32], keys: Ptr[K], values: Ptr[V], capacity: usize
    ) -> None:
        """Move all entries into fresh buffers and let the old ones go."""
        length = self.length
        self.pack(hashes, keys, values)
        self.release_buffers()
        self.index, self.mask = index, slots - 1
        self.hashes, self.keys_, self.values_ = hashes, keys, values
        self.capacity, self.used, self.frozen = capacity, length, False
        self.enter_all()

    def squeeze(self, hashes: Ptr[u32], keys: Ptr[K], values: Ptr[V]) -> None:
        """Close the gaps that tombstones are, in place. Allocates nothing."""
        zero(self.index.address, (self.mask + 1) * 4)
        self.pack(hashes, keys, values)
        self.used = self.length
        self.enter_all()

    def pack(self, hashes: Ptr[u32], keys: Ptr[K], values: Ptr[V]) -> None:
        """Move the live entries, as bits, to the front of other buffers or of these same ones."""
        to: usize = 0
        entry: usize = 0
        while entry < self.used:
            if self.hashes[entry] != 0:
                if (hashes + to).address != (self.hashes + entry).address:
                    hashes[to] = self.hashes[entry]
                    self.hashes[entry] = 0
                    carry((keys + to).address, (self.keys_ + entry).address, sizeof(K))
                    carry((values + to).address, (self.values_ + entry).address, sizeof(V))
                to += 1
            entry += 1

    def enter_all(self) -> None:
        """Fill the (empty) index."""
        entry: usize = 0
        while entry < self.used:
            enter(self.index, self.mask, self.hashes[entry], entry)
            entry += 1

    def release_buffers(self) -> None:
        """Give the buffers back."""
        if self.capacity > 0 and not self.frozen:
            release(self.index.address, (self.mask + 1) * 4)
            release(self.hashes.address, self.capacity * 4)
            release(self.keys_.address, self.capacity * sizeof(K))
            release(self.values_.address, self.capacity * sizeof(V))


@inline
def carry(to: u64, source: u64, size: usize) -> None:
    """Move one element as bits; where it was, there is no reference any more."""
    copy_bytes(to, source, size)
    zero(source, size)


def freeze(value: dict[int | bytes, object]) -> dict[str, object]:
    """CPython only: the fields of the frozen Dict for a Python dict."""
    hashes = [python_hash(key) for key in value]
    index = frozen_index(hashes)
    return {
        "index": index if value else None,
        "mask": len(index) - 1 if value else 0,
        "hashes": hashes or None,
        "keys_": list(value.keys()) or None,
        "values_": list(value.values()) or None,
        "capacity": len(value),
        "used": len(value),
        "length": len(value),
        "frozen": True,
    }
