# SPDX-License-Identifier: Apache-2.0
"""The system calls on files, one family to a module. Each checks in the order its manual page and Linux give."""
