# SPDX-License-Identifier: Apache-2.0
"""Loops with else, break and continue; walrus; chained comparison; assert; short circuits; tuples; defaults and
keywords.
"""

from __future__ import annotations

from kaa.lang import u32, unreachable, usize
from kaa.lang.testing import emit


def noisy(value: int) -> int:
    emit(value)
    return value


def case_loops() -> None:
    for n in range(3):
        emit(n)
    for n in range(10, 0, -4):
        emit(n)
    for n in range(2, 9, 3):
        emit(n)
    n = 5
    while n > 0:
        n -= 1
        if n == 3:
            continue
        if n == 1:
            break
        emit(n)


def case_loop_else() -> None:
    for n in range(3):
        if n == 5:
            break
    else:
        emit(1)
    for n in range(3):
        if n == 2:
            break
    else:
        emit(2)
    n = 0
    while n < 2:
        n += 1
    else:
        emit(3)


def case_nested_break() -> None:
    for a in range(3):
        for b in range(3):
            if b > a:
                break
            emit(a * 10 + b)


def case_short_circuits() -> None:
    if noisy(1) > 5 and noisy(2) > 0:
        emit(-1)
    if noisy(3) > 0 or noisy(4) > 0:
        emit(-2)
    emit(int(noisy(1) < noisy(2) < noisy(0) < noisy(9)))


def case_walrus() -> None:
    n = 7
    while (half := n // 2) > 0:
        emit(half)
        n = half
    if (x := noisy(3)) == 3:
        emit(x)


def divide(a: int, b: int) -> tuple[int, int]:
    return a // b, a % b


def case_tuples() -> None:
    q, r = divide(17, 5)
    emit(q)
    emit(r)
    pair = divide(9, 2)
    emit(pair[0])
    emit(pair[1])
    a, b = 1, 2
    a, b = b, a + b
    emit(a)
    emit(b)
    (a, b), c = divide(7, 3), 5
    emit(a + b + c)
    for i, (x, y) in enumerate([(1, 2), (3, 4)]):
        emit(int(i) * 100 + x * 10 + y)


def power(base: int, exponent: int = 2, *, plus: int = 0) -> int:
    result = 1
    for _ in range(exponent):
        result *= base
    return result + plus


def case_defaults_and_keywords() -> None:
    emit(power(3))
    emit(power(3, 3))
    emit(power(exponent=4, base=2))
    emit(power(2, plus=5))
    emit(power(noisy(5), plus=noisy(6), exponent=noisy(1)))


def case_evaluation_order() -> None:
    emit(noisy(1) + noisy(2) * noisy(3))
    xs = [noisy(4), noisy(5)]
    xs[noisy(0)] = noisy(6)
    emit(xs[0])
    xs[noisy(1)] += noisy(7)
    emit(xs[1])


def factorial(n: int) -> int:
    return 1 if n <= 1 else n * factorial(n - 1)


def case_recursion() -> None:
    emit(factorial(10))


def case_enumerate_zip() -> None:
    xs = [5, 6, 7]
    ys = [1, 2]
    for at, x in enumerate(xs):
        emit(int(at) * 10 + x)
    for x, y in zip(xs, ys):
        emit(x * y)
    for i in reversed(range(3)):
        emit(i)
    for at, x in enumerate(xs, 10):
        emit(int(at) + x)


def case_augmented_assignment() -> None:
    n = 7
    n += 3
    n -= 1
    n *= 4
    n //= 5
    n %= 4
    n <<= 3
    n |= 1
    n ^= 8
    n >>= 1
    n &= 14
    emit(n)


def case_del_and_pass() -> None:
    xs = [1]
    del xs
    xs = [2, 3]
    emit(xs[1])
    pass


def case_boolean_values() -> None:
    yes = noisy(1) == 1
    no = not yes
    emit(int(yes) + int(no))
    both = yes and no
    either = yes or no
    emit(int(both))
    emit(int(either))
    emit(int(yes == either))
    emit(int(yes != no))
    if yes is True:
        emit(9)


def first_square_above(limit: u32) -> u32:
    n: u32 = 0
    while True:
        if n * n > limit:
            return n
        n += 1


def case_loop_without_end() -> None:
    emit(first_square_above(50))


def case_constant_conditions() -> None:
    if __debug__:
        pass
    debug = False
    if debug:
        emit(1)
    else:
        emit(2)


def trap_assert() -> None:
    """traps: assert"""
    assert noisy(1) == 2, "one is not two"


def trap_assert_with_values() -> None:
    """traps: assert"""
    n = noisy(1)
    assert n == 2, f"{n} is not two"


def trap_unreachable() -> None:
    """traps: unreachable"""
    if noisy(1) == 1:
        unreachable()


def trap_in_a_range() -> None:
    """traps: index"""
    xs = [1, 2]
    n: usize = 0
    while n < 5:
        emit(xs[n])
        n += 1
