# SPDX-License-Identifier: Apache-2.0
"""Memory: frames, objects, address spaces, the page cache.

From below: `boot_memory` (firmware map) → `frame` (descriptors) → `buddy` (pages) → `slab` (objects: the compiler's
allocation hooks) and `fault_injection`; `page_cache` (file pages), `reclaim`, `trimming` and `oom_kill` (what gives
when memory is short); `vma`, `address_space` and the files named for the calls they serve (`mapping`, `unmapping`,
`protection`, `remap`, `break_`, `advice`, `locking_calls`, `copying` for fork) and `page_fault`; `user` (the only way
to user memory).

Locks, outermost first: `AddressSpace.lock` (RwSem: the areas) → `PageCache.areas_lock` (Mutex: who maps the file)
→ `AddressSpace.table_lock` (spin: page-table entries) → `PageCache.lock` (spin: its tree of pages) → `reclaim.lru`
(spin) → slab caches, `buddy.zone` (spin, interrupts off).

Added to docs/architecture.md's interface:
- `frame`: contents(pfn) -> Slice[u8], address(pfn), clear, copy_contents, flags; `buddy.allocate_page/free_page`.
- `boot_memory`: add, reserve, take, initialise, give_back: what init does with the firmware's memory map.
- `AddressSpace`: read_remote/write_remote (another process's memory), get_user_page (futex keys), `install_special`
  (vDSO).
- `File.mmap(vma)` sets `vma.cache` (pages of a file) or leaves it None (anonymous memory); it raises ENODEV if it
  cannot.
- `PageCache`: grab/fill hooks for file systems that read ahead; see its docstring.
"""
