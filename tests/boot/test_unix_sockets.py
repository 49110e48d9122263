# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX sockets as unmodified programs use them: what python3 says of them on Kaa is what it says on the host."""

from __future__ import annotations

import pytest
import world

pytestmark = pytest.mark.boot
PYTHON = world.python3()

CALLS = r'''
import socket, os, struct, select, threading, array, errno, tempfile


def err(f, *a):
    try:
        return ("ok", f(*a))
    except OSError as e:
        return errno.errorcode.get(e.errno, e.errno)


S = socket
a, b = S.socketpair()
a.sendall(b"hello")
print(b.recv(100))
b.send(b"x" * 3)
print(a.recv(2), a.recv(2))
print(a.family, a.type, a.proto, a.getsockname(), a.getpeername())
print(
    a.getsockopt(S.SOL_SOCKET, S.SO_TYPE),
    a.getsockopt(S.SOL_SOCKET, S.SO_SNDBUF),
    a.getsockopt(S.SOL_SOCKET, S.SO_ERROR),
    a.getsockopt(S.SOL_SOCKET, S.SO_ACCEPTCONN),
)
pc = struct.unpack("3i", a.getsockopt(S.SOL_SOCKET, S.SO_PEERCRED, 12))
print(pc[0] == os.getpid(), pc[1] == os.getuid())
r, w = os.pipe()
print(S.send_fds(a, [b"fd"], [w]))
d, fds, fl, ad = S.recv_fds(b, 10, 4)
print(d, len(fds), fl, ad)
os.write(fds[0], b"via")
print(os.read(r, 9))
os.close(fds[0])
a.send(b"1")
S.send_fds(a, [b"2"], [r])
a.send(b"3")
d, fds, fl, ad = S.recv_fds(b, 10, 4)
print(d, len(fds))
print(b.recv(10))
[os.close(x) for x in fds]
S.send_fds(a, [b"2"], [r, r, r])
d, fds, fl, ad = S.recv_fds(b, 10, 1)
print(d, len(fds), fl & S.MSG_CTRUNC)
[os.close(x) for x in fds]
a.send(b"peek")
print(b.recv(10, S.MSG_PEEK), b.recv(2, S.MSG_PEEK), b.recv(10))
b.setblocking(False)
print(err(b.recv, 1))
print(err(b.recv, 1, S.MSG_DONTWAIT))
b.setblocking(True)
p = select.poll()
p.register(b)
print(p.poll(0)[0][1])
a.send(b"z")
print(p.poll(0)[0][1])
b.recv(1)
a.shutdown(S.SHUT_WR)
print(p.poll(0)[0][1], b.recv(1))
print(err(a.send, b"q"))
b.send(b"unread")
b.close()
print(a.recv(100), a.recv(1))
pa = select.poll()
pa.register(a)
print(pa.poll(0)[0][1])
a.close()
a, b = S.socketpair()
a.send(b"lost")
b.close()
pa = select.poll()
pa.register(a)
print(pa.poll(0)[0][1])
print(err(a.recv, 1), err(a.recv, 1), err(a.send, b"x"))
a.close()
n = 0
a, b = S.socketpair()
a.setblocking(False)
while True:
    try:
        n += a.send(b"x" * 1000)
    except BlockingIOError:
        break
print(n > 50000, select.select([], [a], [], 0)[1])
m = 0
while m < n:
    m += len(b.recv(65536))
print(m == n, len(select.select([], [a], [], 0)[1]))
a.close()
b.close()
for k in (S.SOCK_DGRAM, S.SOCK_SEQPACKET):
    a, b = S.socketpair(S.AF_UNIX, k)
    a.send(b"one")
    a.send(b"")
    a.send(b"three")
    print(b.recv(2), b.recv(9), b.recvmsg(2)[0:3:2])
    a.send(b"12345")
    print(b.recv_into(bytearray(2), 2, S.MSG_TRUNC))
    print(a.recv.__name__, err(a.send, b"x" * 300000))
    cnt = 0
    a.setblocking(False)
    while cnt < 500:
        try:
            a.send(b"m")
            cnt += 1
        except BlockingIOError:
            break
    print(cnt > 5)
    print(b.recvfrom(5))
    a.close()
    print(b.recv(5))
    b.setblocking(False)
    for i in range(cnt - 2):
        b.recv(5)
    print(err(b.recv, 5), err(b.send, b"k"), err(b.send, b"k"))
    b.close()
d = tempfile.mkdtemp()
os.chdir(d)
l = S.socket(S.AF_UNIX)
print(err(l.listen))
l.bind("srv")
print(err(l.bind, "srv2"))
l2 = S.socket(S.AF_UNIX)
print(err(l2.bind, "srv"))
print(err(l2.connect, "srv"), err(l2.connect, "none"), err(l2.connect, "."))
print(oct(os.stat("srv").st_mode), err(os.open, "srv", 0))
l.listen(1)
print(err(l2.connect, "srv"), err(l2.connect, "srv"), l2.getpeername(), l2.getsockname())
l2.send(b"early")
c, ad = l.accept()
print(repr(ad), c.recv(9), c.getsockname(), repr(c.getpeername()))
x = [S.socket(S.AF_UNIX) for i in range(4)]
for s in x:
    s.setblocking(False)
    print(err(s.connect, "srv"))
l.close()
print(err(l2.connect, "srv"), err(S.socket(S.AF_UNIX).connect, "srv"), err(x[0].recv, 1))
[s.close() for s in x]
q = S.socket(S.AF_UNIX, S.SOCK_DGRAM)
q.bind("\x00abs")
print(q.getsockname())
q2 = S.socket(S.AF_UNIX, S.SOCK_DGRAM)
print(err(q2.send, b"x"))
print(q2.sendto(b"dg", "\x00abs"), q.recvfrom(9))
q2.bind("q2")
q2.sendto(b"dg2", "\x00abs")
print(q.recvfrom(9))
q.sendto(b"back", "q2")
print(q2.recvfrom(9))
q2.connect("\x00abs")
q3 = S.socket(S.AF_UNIX, S.SOCK_DGRAM)
q3.bind("")
print(len(q3.getsockname()))
print(err(q3.sendto, b"x", "q2"), err(q3.connect, "srv"), q2.getpeername())
q.close()
print(err(q2.send, b"x"), err(q2.send, b"x"))
a, b = S.socketpair()
b.setsockopt(S.SOL_SOCKET, S.SO_PASSCRED, 1)
a.send(b"c")
r = b.recvmsg(5, 100)
print(r[0], len(r[1]), r[1][0][:2], struct.unpack("3i", r[1][0][2])[0] == os.getpid(), r[2:])
a.sendmsg(
    [b"p", b"qr", b""], [(S.SOL_SOCKET, S.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), os.getuid(), os.getgid()))]
)
bufs = [bytearray(1), bytearray(1), bytearray(9)]
r = b.recvmsg_into(bufs, 100)
print(r[0], bufs, len(r[1]))
print(
    err(a.sendmsg, [b"p"], [(S.SOL_SOCKET, 9, b"1234")]),
    err(a.sendmsg, [b"p"], [(S.SOL_SOCKET, S.SCM_RIGHTS, struct.pack("i", 999))]),
)
a.settimeout(None)
b.setsockopt(S.SOL_SOCKET, S.SO_RCVTIMEO, struct.pack("ll", 0, 50000))
print(err(b.recv, 1))
t = threading.Timer(0.05, lambda: (a.send(b"ab"), a.send(b"cd")))
t.start()
b.setsockopt(S.SOL_SOCKET, S.SO_RCVTIMEO, struct.pack("ll", 0, 0))
print(b.recv(4, S.MSG_WAITALL))
t.join()
print(err(S.socket, 99), err(S.socket, S.AF_UNIX, 7), err(S.socket, S.AF_UNIX, 1, 5))
import fcntl, termios

a.send(b"12345")
print(
    struct.unpack("i", fcntl.ioctl(b, termios.FIONREAD, b"    ")),
    struct.unpack("i", fcntl.ioctl(a, termios.TIOCOUTQ, b"    "))[0] > 0,
)
with open("f", "wb") as f:
    f.write(b"file content")
with open("f", "rb") as f:
    print(os.sendfile(a.fileno(), f.fileno(), 0, 100))
    print(b.recv(100))
os.writev(a.fileno(), [b"x", b"yz"])
bb = [bytearray(2), bytearray(2)]
print(os.readv(b.fileno(), bb), bb)
print(
    err(os.lseek, a.fileno(), 0, 0),
    err(S.socket(S.AF_UNIX).recv, 1),
    err(S.socket(S.AF_UNIX).send, b"1"),
    err(S.socket(S.AF_UNIX).shutdown, 2),
)
ep = select.epoll()
ep.register(b, select.EPOLLIN | select.EPOLLET)
print(ep.poll(0))
a.send(b"q")
print([e for _, e in ep.poll(1)])
print(ep.poll(0))
'''

SERVER = '''
import socketserver, threading, socket, tempfile, os
os.chdir(tempfile.mkdtemp())
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())
with socketserver.ThreadingUnixStreamServer('server', Echo) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for i in range(5):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect('server')
            client.sendall(b'line %d\\n' % i * 3)
            client.shutdown(socket.SHUT_WR)
            print(client.makefile('rb').read())
    server.shutdown()
'''

CONNECTIONS = '''
import multiprocessing as m, os
def child(end):
    while (x := end.recv()) is not None:
        end.send((x, len(x)))
    end.close()
here, there = m.Pipe()
p = m.get_context('fork').Process(target=child, args=(there,)); p.start(); there.close()
for size in (1, 1000, 100000, 1000000):
    here.send('a' * size); print(here.recv()[1], here.poll())
here.send(None); p.join(); print(p.exitcode)
try: here.recv()
except EOFError: print('end')
'''

ASYNCIO = '''
import asyncio, os, tempfile
os.chdir(tempfile.mkdtemp())
async def serve(r, w):
    while line := await r.readline():
        w.write(line[::-1]); await w.drain()
    w.close()
async def main():
    server = await asyncio.start_unix_server(serve, 'sock')
    async def client(n):
        r, w = await asyncio.open_unix_connection('sock')
        w.write(b'%d' % n * 50000 + b'x\\n'); await w.drain(); w.write_eof()
        data = await r.read(); w.close(); return len(data), data[:5]
    print(await asyncio.gather(*(client(n) for n in range(8))))
    server.close()
asyncio.run(main())
'''


NESTED = r'''
import socket as S, os


def chain(depth):
    inner = S.socketpair()
    for i in range(depth):
        outer = S.socketpair()
        S.send_fds(outer[0], [b"x"], [inner[0].fileno(), inner[1].fileno()])
        inner[0].close()
        inner[1].close()
        inner = outer
    inner[0].close()
    inner[1].close()


for depth in (1, 2, 2000, 2000):
    chain(depth)
a, b = S.socketpair()
S.send_fds(a, [b"x"], [b.fileno()])
a.close()
b.close()
print(len(os.listdir("/proc/self/fd")), os.readlink("/proc/self/fd/%d" % S.socket(S.AF_UNIX).fileno())[:8])
'''

SHORT_OF_MEMORY = r'''
import socket as S, os, errno, sys, tempfile

ctl = os.open("/proc/kaa/fail-nth", os.O_RDWR)


def arm(n):
    for i in range(4):
        try:
            os.write(ctl, b"%d" % n)
            return
        except OSError:
            pass


def left():
    try:
        return int(os.pread(ctl, 16, 0))
    except OSError:
        return 1


os.chdir("/tmp")
r, w = os.pipe()


def op_pair(k):
    a, b = S.socketpair(S.AF_UNIX, k)
    try:
        a.send(b"hello")
        S.send_fds(a, [b"x"], [r, a.fileno()])
        b.recv(5)
        d, f, fl, ad = S.recv_fds(b, 5, 4)
        for x in f:
            os.close(x)
        S.send_fds(a, [b"left"], [r, w])
    finally:
        a.close()
        b.close()


def op_conn():
    l = S.socket(S.AF_UNIX)
    c = S.socket(S.AF_UNIX)
    q = None
    try:
        l.bind("n")
        l.listen(1)
        c.connect("n")
        q, _ = l.accept()
        c.send(b"1")
        q.recv(1)
    finally:
        l.close()
        c.close()
        if q:
            q.close()
        try:
            os.unlink("n")
        except FileNotFoundError:
            pass


def op_dg():
    l = S.socket(S.AF_UNIX, S.SOCK_DGRAM)
    c = S.socket(S.AF_UNIX, S.SOCK_DGRAM)
    try:
        l.bind("\x00n")
        c.bind("")
        c.sendto(b"12", "\x00n")
        l.recvfrom(4)
        c.connect("\x00n")
        c.send(b"unread")
    finally:
        l.close()
        c.close()


def objects():
    d = {}
    for x in open("/proc/kaa/objects").read().splitlines():
        name, live, size = x.rsplit(None, 2)
        key = name if name == "(buffers)" else f"{name} of {size}"
        d[key] = d.get(key, 0) + int(live)
    return d


ops = {
    "stream": lambda: op_pair(1),
    "dgram": lambda: op_pair(2),
    "seqpacket": lambda: op_pair(5),
    "connect": op_conn,
    "abstract": op_dg,
}


def everything(op):
    fails = 0
    quiet = 0
    n = 1
    while quiet < 3:
        arm(n)
        e = 0
        try:
            op()
        except OSError as x:
            e = x.errno
        except MemoryError:
            e = errno.ENOMEM
        fired = left() == 0
        arm(0)
        if e not in (0, errno.ENOMEM, errno.ENOBUFS):
            print("errno", n, errno.errorcode[e])
        try:
            os.unlink("n")
        except OSError:
            pass
        fails += e != 0
        quiet = 0 if fired else quiet + 1
        n += 1
    return fails


for name, op in ops.items():
    for i in range(3):
        op()
    everything(op)
    everything(op)
    for i in range(3):  # a leak grows in every round; what the kernel made or gave up meanwhile does not
        a = objects()
        n = everything(op)
        b = objects()
        grown = [(k, a.get(k), b[k]) for k in b if b[k] > a.get(k, 0)]
        if not grown:
            break
    print(name, n > 0, grown, flush=True)
'''


@pytest.mark.parametrize("script", [CALLS, SERVER, CONNECTIONS, ASYNCIO, NESTED],
                         ids=["calls", "socketserver", "multiprocessing", "asyncio", "nested"])
def test_python_sees_the_sockets_it_sees_on_the_host(same: world.Same, script: str) -> None:
    same([PYTHON, "-c", script])


def test_an_allocation_that_fails_leaves_no_socket_behind(kaa: world.Kaa) -> None:
    ended = kaa(PYTHON, "-c", SHORT_OF_MEMORY)
    kinds = ("stream", "dgram", "seqpacket", "connect", "abstract")
    assert (ended.status, ended.stdout.decode()) == (0, "".join(f"{kind} True []\n" for kind in kinds)), ended.stderr
