# SPDX-License-Identifier: Apache-2.0
"""Files: names, the tree they stand in, open files, descriptors, and the file systems.

Additions to docs/architecture.md's interface: `Inode.unlink/rmdir(name, inode)` are told the inode too; names that may
have to be kept arrive as `bytes`; `Change` carries setattr's values; `fs/context.py` has FsContext; `fs/text.py`
TextBuffer; `SuperBlock.caches_names`, `.revalidates`; `fs/kernel_io.py` is what the kernel itself uses.
"""

from __future__ import annotations
