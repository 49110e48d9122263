# SPDX-License-Identifier: Apache-2.0
"""One function at a time: syntax tree → typed IR.

Names are resolved, types inferred and narrowed, and @inline functions, generators, lambdas and context managers
expanded in one walk of the tree. Ways out of a block (return, break, an error) run what `with` and `finally` promised,
innermost first: see `core.Cleanup`."""

from __future__ import annotations

from kaa.compiler.lower.lowerer import lower_function

__all__ = ["lower_function"]
