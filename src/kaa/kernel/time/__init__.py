# SPDX-License-Identifier: Apache-2.0
"""time"""

from __future__ import annotations
