# SPDX-License-Identifier: Apache-2.0
"""Kaa: an operating-system kernel in Python, compatible with Linux, and the compiler that makes it machine code."""
