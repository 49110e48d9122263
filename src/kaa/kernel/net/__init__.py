# SPDX-License-Identifier: Apache-2.0
"""Sockets, so far of one family: AF_UNIX (`unix/`). The system calls are in `calls.py`, `message_calls.py` and
`option_calls.py`. Other families are refused with EAFNOSUPPORT and one log line per program."""
