# SPDX-License-Identifier: Apache-2.0
"""Which of several programs is compiled: constants that the environment of the build decides. A kernel built without
any of these variables has none of what they ask for, not even a test for it."""

from __future__ import annotations

import os
from typing import Final

LOCK_STATS: Final[bool] = "KAA_LOCK_STATS" in os.environ
"""Every lock counts: how often it was taken, waited for, and for how long (`./kaa trace --locks`)."""
