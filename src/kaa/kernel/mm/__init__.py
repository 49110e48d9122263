# SPDX-License-Identifier: Apache-2.0
"""Memory: frames, objects, address spaces, the page cache.

From below: `boot_memory` (firmware map) → `frame` (descriptors) → `buddy` (pages) → `slab` (objects: the compiler's
allocation hooks) and `fault_injection`, with what each processor keeps for itself in `per_cpu`; `page_cache` (file
pages), `reclaim`, `trimming` and `oom_kill` (what gives when memory is short); `vma`, `address_space`,
`space_accounts` and the files named for the calls they serve (`mapping`, `unmapping`, `protection`, `remap`,
`program_break`, `advice`, `residency`, `membarrier`, `remote_calls`, `copying` for fork) and `page_fault`; `pages`
(page-table entries) with `gather` (frames wait for the TLB shoot-down); `user` (the only way to user memory).

Locks, outermost first: `AddressSpace.lock` (RwSem: the areas) → `PageCache.areas_lock` (Mutex: who maps the file)
→ `AddressSpace.table_lock` (spin: page-table entries; TLB shoot-downs are waited for under it) → `PageCache.lock`
(spin: its tree of pages) → `reclaim.lru` (spin) → slab caches, `buddy.zone` (spin, interrupts off; never one inside
another). Reclaim goes the other way and only tries: `reclaim.lru` → areas_lock, table_lock, PageCache.lock.

Many processors:
- An entry that loses rights, or goes, is shot down on all processors before `table_lock` is given back, and its frame
  is given up after that (pages.py, gather.py).
- Two faults on one page: the second finds the entry changed under `table_lock`, and its touch is made again.
- Truncate changes the size, empties the cache, then walks the areas under `areas_lock`, and lets go of the pages that
  were mapped; a fault looks at the cache under `table_lock` (`PageCache.show`, faults._is_still_shown). The OOM reaper
  dooms the address space, then takes its pages, likewise.
- fork holds the parent's `lock`, writing: its other threads' faults wait; the shoot-down is done before it returns.
- What is counted often is a word that is changed under some lock and read without (Atomic, relaxed).

Added to docs/architecture.md's interface:
- `frame`: contents(pfn) -> Slice[u8], address(pfn), clear, copy_contents, flags; `buddy.allocate_page/free_page`.
- `boot_memory`: add, reserve, take, initialise, give_back: what init does with the firmware's memory map.
- `AddressSpace`: read_remote/write_remote (another process's memory), get_user_page (futex keys), `install_special`
  (vDSO).
- `File.mmap(vma)` calls `vma.show` (pages of a file, whose inode keeps the cache) or nothing (anonymous memory); it
  raises ENODEV if it cannot.
- `PageCache`: grab/fill hooks for file systems that read ahead; see its docstring.
- `reclaim.register(Shrinker)`: what other rooms keep without need. `file_mappings.has_writable(cache)`: for seals.
"""
