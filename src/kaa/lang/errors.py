# SPDX-License-Identifier: Apache-2.0
"""`raise OSError(errno.ENOENT)` and `raise FileNotFoundError` mean the same, as natively.

CPython maps an errno to its class (PEP 3151), and sets `e.errno`, only when OSError is called with two arguments, and
gives a class raised by name no errno at all. In compiled code an OSError *is* its errno. So the missing arguments are
supplied here, below the constructors: the built-in classes cannot be subclassed for this, as `except OSError` looks
at the real class.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

ERRNO_OF_CLASS: dict[type[OSError], int] = {
    BlockingIOError: errno.EAGAIN,
    BrokenPipeError: errno.EPIPE,
    ChildProcessError: errno.ECHILD,
    ConnectionAbortedError: errno.ECONNABORTED,
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    FileExistsError: errno.EEXIST,
    FileNotFoundError: errno.ENOENT,
    InterruptedError: errno.EINTR,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
    ProcessLookupError: errno.ESRCH,
    TimeoutError: errno.ETIMEDOUT,
}
"""PEP 3151's classes, as raised by name. (`raise OSError(errno.EPERM)` is also a PermissionError.)"""

_TP_NEW = 312
"""Offset of tp_new in PyTypeObject (CPython 3.8 and later, 64 bits)."""

_NewFunction = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.py_object, ctypes.c_void_p)


def _slot(cls: type) -> ctypes.c_void_p:
    return ctypes.c_void_p.from_address(id(cls) + _TP_NEW)


_original: Any = None
_kept: list[object] = []


def _new(cls: type[OSError], args: tuple[Any, ...], keywords: int | None) -> OSError:
    """OSError.__new__ with the arguments completed."""
    code = _code_of(cls) if len(args) == 0 else None
    if code is not None:
        args = (code,)
    if len(args) == 1 and isinstance(args[0], int):
        args = (int(args[0]), os.strerror(args[0]))
    return _original(cls, args, keywords)


def _code_of(cls: type[OSError]) -> int | None:
    """The errno of a class that is raised by name: its own `code`, or the built-in class's."""
    own = getattr(cls, "code", None)
    return own if own is not None else next((ERRNO_OF_CLASS[c] for c in cls.__mro__ if c in ERRNO_OF_CLASS), None)


def install() -> None:
    """Complete the constructors, once."""
    global _original
    if OSError(errno.ENOENT).errno is not None:
        return
    classes = [OSError, *ERRNO_OF_CLASS]
    address = _slot(OSError).value
    if address is None or any(_slot(cls).value != address for cls in classes):
        raise ImportError("kaa needs 64-bit CPython")
    _original = _NewFunction(address)
    replacement = _NewFunction(_new)
    _kept.append(replacement)
    for cls in classes:
        _slot(cls).value = ctypes.cast(replacement, ctypes.c_void_p).value


def errno_of(error: OSError) -> int:
    """The errno of an OSError that was raised as the language has it."""
    assert error.errno is not None, f"{type(error).__name__} has no errno"
    return error.errno


install()
