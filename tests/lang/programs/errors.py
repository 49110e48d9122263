# SPDX-License-Identifier: Apache-2.0
"""Exceptions: errno classes, own classes, finally and with on every way out, re-raising."""

from __future__ import annotations

import errno

from kaa.lang.testing import emit


class Restart(OSError):
    code = 512


class Stop(Exception):
    pass


class Odd(Stop):
    pass


class Guard:
    """A context manager that says what it does."""

    name: int

    def __init__(self, name: int) -> None:
        self.name = name

    def __enter__(self) -> Guard:
        emit(self.name)
        return self

    def __exit__(self, *exc: object) -> None:
        emit(-self.name)



class Alive:
    count: int = 0


alive = Alive()


class Counted:
    """Says how many there are. (Under CPython a traceback keeps its frames' locals until the handler ends.)"""

    name: int

    def __init__(self, name: int) -> None:
        self.name = name
        alive.count += 1

    def __del__(self) -> None:
        alive.count -= 1


def fail(kind: int) -> int:
    if kind == 1:
        raise FileNotFoundError
    if kind == 2:
        raise OSError(errno.EXDEV)
    if kind == 3:
        raise PermissionError
    if kind == 4:
        raise Stop
    if kind == 5:
        raise Odd
    if kind == 6:
        raise KeyError
    if kind == 7:
        raise OSError(errno.EEXIST)
    if kind == 8:
        raise Restart
    return kind


def classify(kind: int) -> int:
    try:
        return fail(kind) + 100
    except FileNotFoundError:
        return 1
    except FileExistsError:
        return 2
    except Restart:
        return 3
    except Odd:
        return 4
    except (KeyError, Stop):
        return 5
    except OSError:
        return 6


def case_handlers() -> None:
    for kind in range(9):
        emit(classify(kind))


def case_errno() -> None:
    try:
        fail(2)
    except OSError as e:
        emit(int(e.errno == errno.EXDEV))
    try:
        raise OSError(errno.ENOENT)
    except FileNotFoundError as e:
        emit(int(e.errno == errno.ENOENT))
    try:
        raise OSError(errno.EPERM)
    except PermissionError as e:
        emit(int(e.errno == errno.EPERM))
    try:
        raise OSError(errno.EWOULDBLOCK)
    except BlockingIOError:
        emit(3)


def case_finally_on_every_way_out() -> None:
    for way in range(5):
        try:
            emit(leave(way))
        except Stop:
            emit(-4)


def leave(way: int) -> int:
    for n in range(3):
        try:
            emit(n)
            if way == 0:
                return 77
            if way == 1:
                break
            if way == 2:
                continue
            if way == 3:
                raise Stop
        finally:
            emit(10 + n)
    else:
        return 5
    return 6


def case_with_on_every_way_out() -> None:
    for way in range(5):
        try:
            emit(leave_with(way))
        except Stop:
            emit(-400)


def leave_with(way: int) -> int:
    for n in range(2):
        with Guard(n * 10 + 1), Guard(n * 10 + 2) as inner:
            emit(inner.name * 100)
            if way == 0:
                return 77
            if way == 1:
                break
            if way == 2:
                continue
            if way == 3:
                raise Stop
    return 6


def reraise(kind: int) -> None:
    try:
        fail(kind)
    except FileNotFoundError:
        emit(1)
        raise
    except Stop:
        emit(2)
        raise PermissionError from None
    else:
        emit(3)
    finally:
        emit(4)


def case_reraise() -> None:
    for kind in (0, 1, 4):
        try:
            reraise(kind)
        except FileNotFoundError:
            emit(10)
        except PermissionError:
            emit(11)


def case_nested_try() -> None:
    try:
        try:
            fail(3)
        except FileNotFoundError:
            emit(1)
        finally:
            emit(2)
    except PermissionError:
        emit(3)
    try:
        try:
            fail(1)
        except OSError:
            fail(4)
    except Stop:
        emit(4)
    emit(5)


def case_exception_in_handler_runs_finally() -> None:
    try:
        try:
            fail(1)
        except FileNotFoundError:
            with Guard(1):
                fail(4)
        finally:
            emit(2)
    except Stop:
        emit(3)


def return_from_finally(way: int) -> int:
    try:
        if way == 1:
            raise Stop
        return 1
    finally:
        emit(way)
        if way == 2:
            return 9


def case_return_in_finally_wins() -> None:
    emit(return_from_finally(0))
    emit(return_from_finally(2))
    try:
        emit(return_from_finally(1))
    except Stop:
        emit(-1)


def held(first: Counted, kind: int) -> int:
    kept = Counted(first.name + 1)
    value = fail(kind)
    return value + kept.name


def case_owned_references_are_released() -> None:
    first = Counted(1)
    try:
        held(first, 1)
    except OSError:
        emit(50)
    emit(alive.count)
    emit(held(first, 0))
    emit(alive.count)
    emit(first.name)


def make(kind: int) -> Counted:
    fail(kind)
    return Counted(kind)


def pair(a: Counted, b: Counted) -> int:
    return a.name * 10 + b.name


def case_failing_argument_releases_the_others() -> None:
    try:
        emit(pair(make(0), make(1)))
    except OSError:
        emit(60)
    emit(alive.count)
    try:
        xs = [make(0), make(0), make(2)]
        emit(int(len(xs)))
    except OSError:
        emit(61)
    emit(alive.count)


def case_error_in_a_loop() -> None:
    total = 0
    for kind in range(6):
        try:
            total += fail(kind)
        except Exception:
            total += 1000
            continue
        total += 1
    emit(total)


class Fallible:
    counted: Counted

    def __init__(self, kind: int) -> None:
        self.counted = Counted(7)
        fail(kind)


def case_failing_constructor() -> None:
    try:
        Fallible(1)
    except OSError:
        emit(70)
    emit(alive.count)
    emit(Fallible(0).counted.name)
