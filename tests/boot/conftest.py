# SPDX-License-Identifier: Apache-2.0
"""The fixtures of booted tests."""

from __future__ import annotations

from fixtures import boot, busybox_root, kaa, kernel, programs, same

__all__ = ["boot", "busybox_root", "kaa", "kernel", "programs", "same"]
