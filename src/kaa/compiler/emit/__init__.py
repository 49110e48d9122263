# SPDX-License-Identifier: Apache-2.0
"""IR → C: one C file per module, one C function per Python function, and one file for classes and frozen objects."""
