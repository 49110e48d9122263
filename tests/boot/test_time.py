# SPDX-License-Identifier: Apache-2.0
"""Clocks, sleeping, interval timers, POSIX timers and timerfd: what python3 says of them on Kaa is what it says on the
host. Only what holds on any machine is printed: orders, errors, counts; never how long something took."""

from __future__ import annotations

import pytest
import world

pytestmark = pytest.mark.boot
PYTHON = world.python3()

START = r"""
import ctypes, errno, os, select, signal, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def spec(seconds, nanoseconds=0, every=0, every_ns=0):
    return struct.pack("4q", every, every_ns, seconds, nanoseconds)
def failure(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
"""

CLOCKS = (
    START
    + r"""
for clock in (0, 1, 2, 3, 4, 5, 6, 7, 10, 11):
    try:
        first, second = time.clock_gettime_ns(clock), time.clock_gettime_ns(clock)
        print(clock, second >= first, time.clock_getres(clock) > 0)
    except OSError as error:
        print(clock, errno.errorcode[error.errno])
print(failure(time.clock_gettime, 99), failure(time.clock_gettime, -1) != 0, failure(time.clock_settime, 1, 5.0))
before = time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID)
while time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID) < before + 20_000_000:
    pass
thread = time.clock_gettime_ns(time.CLOCK_THREAD_CPUTIME_ID)
print(thread > 0, time.clock_gettime_ns(time.CLOCK_PROCESS_CPUTIME_ID) >= thread)
child = os.fork()
if child == 0:
    time.sleep(0.05)
    os._exit(0)
clock = ctypes.c_int()
print(libc.clock_getcpuclockid(child, ctypes.byref(clock)), failure(time.clock_gettime, clock.value) < 1)
os.waitpid(child, 0)
for wanted in (0.0, 0.001, 0.03):
    start = time.monotonic_ns()
    time.sleep(wanted)
    print(time.monotonic_ns() - start >= int(wanted * 1e9))
print(call("clock_nanosleep", 1, 0, spec(0, 2_000_000_000)[16:], None), call("nanosleep", spec(-1)[16:], None))
now = time.monotonic_ns() + 20_000_000
print(call("clock_nanosleep", 1, 1, struct.pack("2q", now // 10**9, now % 10**9), None), time.monotonic_ns() >= now)
print(libc.clock_nanosleep(3, 0, spec(0, 1)[16:], None), libc.clock_nanosleep(99, 0, spec(0, 1)[16:], None))
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.02)
left = ctypes.create_string_buffer(16)
print(call("nanosleep", spec(5)[16:], left), 4 <= struct.unpack("2q", left.raw)[0] <= 5)
"""
)

TIMERS = (
    START
    + r"""
hits = []
signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
print(signal.setitimer(signal.ITIMER_REAL, 10, 0.5), signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)[1])
while len(hits) < 3:
    signal.pause()
interval = signal.setitimer(signal.ITIMER_REAL, 0)
print(len(hits) >= 3, round(interval[1], 3), signal.getitimer(signal.ITIMER_REAL))
print(failure(signal.setitimer, signal.ITIMER_REAL, -1), call("setitimer", 7, spec(0), None))
print(signal.alarm(100), signal.alarm(0))
for kind, number in ((signal.ITIMER_VIRTUAL, signal.SIGVTALRM), (signal.ITIMER_PROF, signal.SIGPROF)):
    got = []
    signal.signal(number, lambda *_: got.append(1))
    signal.setitimer(kind, 0.02)
    end = time.monotonic() + 10
    while not got and time.monotonic() < end:
        pass
    print(len(got))
event = struct.pack("qii48x", 77, signal.SIGUSR1, 0)
timer = ctypes.c_void_p()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print(call("timer_create", 1, event, ctypes.byref(timer)))
print(call("timer_create", 99, event, ctypes.byref(ctypes.c_void_p())))
print(call("timer_settime", timer, 0, spec(0, 5_000_000, 0, 5_000_000), None))
info = signal.sigwaitinfo([signal.SIGUSR1])
print(info.si_signo == signal.SIGUSR1, info.si_code == -2)
time.sleep(0.06)
signal.sigwaitinfo([signal.SIGUSR1])
print(libc.timer_getoverrun(timer) >= 5)
value = ctypes.create_string_buffer(32)
print(call("timer_gettime", timer, value), struct.unpack("4q", value.raw)[:2])
print(call("timer_settime", timer, 0, spec(0, 2_000_000_000), None), call("timer_settime", timer, 0, spec(0), None))
signal.sigtimedwait([signal.SIGUSR1], 0)  # what was pending may be dropped or not
print(signal.sigtimedwait([signal.SIGUSR1], 0.02), call("timer_delete", timer))
"""
)

DESCRIPTORS = (
    START
    + r"""
fd = call("timerfd_create", 1, os.O_NONBLOCK)
print(fd > 2, call("timerfd_create", 99, 0), call("timerfd_create", 1, 1))
print(call("timerfd_settime", 0, 0, spec(1), None))
print(failure(os.read, fd, 8), failure(os.read, fd, 4), failure(os.write, fd, b"12345678"))
print(call("timerfd_settime", fd, 0, spec(0, 5_000_000, 0, 5_000_000), None))
print(select.select([fd], [], [], 5)[0] == [fd])
time.sleep(0.05)
print(struct.unpack("q", os.read(fd, 8))[0] >= 5)
old = ctypes.create_string_buffer(32)
print(call("timerfd_settime", fd, 0, spec(100), old), struct.unpack("4q", old.raw)[:2])
print(call("timerfd_gettime", fd, old), struct.unpack("4q", old.raw)[2] in (99, 100))
print(call("timerfd_settime", fd, 0, spec(0, 10**9), None), call("timerfd_settime", fd, 9, spec(1), None))
print(call("timerfd_settime", fd, 1, spec(0, 1), None))  # long ago, even a moment after boot
print(select.select([fd], [], [], 5)[0] == [fd], struct.unpack("q", os.read(fd, 8)))
poll = select.epoll()
poll.register(fd, select.EPOLLIN)
print(call("timerfd_settime", fd, 0, spec(0, 20_000_000), None), poll.poll(5) == [(fd, 1)])
print(call("timerfd_settime", fd, 0, spec(0), None), poll.poll(0))
start = time.monotonic()
print(select.select([], [], [], 0.02), poll.poll(0.02), select.poll().poll(20), time.monotonic() - start >= 0.055)
"""
)


@pytest.mark.parametrize("program", [CLOCKS, TIMERS, DESCRIPTORS], ids=["clocks", "timers", "descriptors"])
def test_time_is_what_the_host_says_it_is(same: world.Same, program: str) -> None:
    same([PYTHON, "-c", program])


def test_timers_come_on_every_processor(kaa: world.Kaa) -> None:
    program = (
        START
        + r"""
import threading
os.sched_setaffinity(0, range(os.cpu_count()))
def sleeper(number):
    os.sched_setaffinity(0, [number % os.cpu_count()])
    for _ in range(10):
        start = time.monotonic_ns()
        time.sleep(0.003)
        assert time.monotonic_ns() - start >= 3_000_000
threads = [threading.Thread(target=sleeper, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(os.cpu_count())
"""
    )
    assert kaa(PYTHON, "-c", program, options=["--cpus", "4"], timeout=90) == (0, b"4\n", b"")
