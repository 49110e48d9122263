# SPDX-License-Identifier: Apache-2.0
"""Under CPython, an OSError is its errno, as natively."""

from __future__ import annotations

import errno

import pytest

from kaa.lang import ERRNO_OF_CLASS, Trampoline


class Restart(OSError):
    code = 512


@pytest.mark.parametrize("cls", list(ERRNO_OF_CLASS))
def test_class_raised_by_name_has_its_errno(cls: type[OSError]) -> None:
    with pytest.raises(cls) as caught:
        raise cls
    assert caught.value.errno == ERRNO_OF_CLASS[cls]
    with pytest.raises(cls):
        raise OSError(ERRNO_OF_CLASS[cls])


def test_own_class_has_its_code() -> None:
    assert Restart().errno == 512 and not isinstance(OSError(errno.EXDEV), Restart)


def test_other_arguments_mean_what_they_meant() -> None:
    assert OSError("text").errno is None and str(OSError(5, "why")) == "[Errno 5] why"
    with pytest.raises(FileNotFoundError) as caught:
        open("/absent/file")
    assert caught.value.filename == "/absent/file"


def test_trampoline_gives_minus_errno() -> None:
    def absent() -> int:
        raise FileNotFoundError

    def restart() -> int:
        raise Restart

    assert Trampoline(absent)() == -errno.ENOENT and Trampoline(restart)() == -512
