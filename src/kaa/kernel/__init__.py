# SPDX-License-Identifier: Apache-2.0
"""The kernel. Rooms bear the names kernel people know: see docs/architecture.md.

The build imports every module below this package, so that what registers itself (system calls, drivers, file systems,
boot parameters) needs no list. The kernel begins in `arch/x86_64/boot.py`, goes on in `init/main.py`.
"""

from __future__ import annotations
