# SPDX-License-Identifier: Apache-2.0
"""process"""

from __future__ import annotations
