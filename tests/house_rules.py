# SPDX-License-Identifier: Apache-2.0
"""The house's rules as data: who may import whom, and how large things may grow. Checked by test_house.py."""

from __future__ import annotations

FLOORS = ("kaa.lang", "kaa.compiler", "kaa.kernel", "kaa.host")
"""From the ground up. A floor imports itself and what MAY_IMPORT says, nothing else of kaa."""

MAY_IMPORT = {
    "kaa.lang": (),
    "kaa.compiler": ("kaa.lang",),
    "kaa.kernel": ("kaa.lang",),
    "kaa.host": ("kaa.lang", "kaa.compiler", "kaa.kernel"),
}

KERNEL_STDLIB = frozenset({
    "__future__", "abc", "collections", "contextlib", "dataclasses", "enum", "errno", "hashlib", "importlib", "math",
    "pathlib",
    "pkgutil", "struct", "typing", "weakref",
})
"""What of the standard library kernel files may import. All of it runs at import time, which is compile time."""

UNSAFE_SHARE_AT_MOST = 0.10
"""Of the kernel's lines, those in modules that import kaa.lang.unsafe."""

FILE_LINES_AT_MOST = 600
"""400 is the aim; beyond 600 a file is two ideas."""

FUNCTION_LINES_AT_MOST = 80
SPDX = "# SPDX-License-Identifier: Apache-2.0"
