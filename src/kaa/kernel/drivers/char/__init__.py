# SPDX-License-Identifier: Apache-2.0
"""Character devices: the registry, and those that need no hardware (null, zero, full, random, urandom, kmsg)."""
