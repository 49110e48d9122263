# SPDX-License-Identifier: Apache-2.0
"""Terminal structures, flags and ioctl numbers: termios(3), ioctl_tty(2), tcflow(3).

The values are those of the x86-64 (generic) Linux ABI. `Termios` is the kernel's structure (19 control
characters, no speeds), which TCGETS and TCSETS exchange; the C library's own has 32 and converts.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from kaa.lang import ZERO, Array, struct, u8, u16, u32, width

NCCS = 19
DISABLED = 0
"""_POSIX_VDISABLE: a control character with this value matches nothing."""


@struct
class Termios:
    """struct termios of TCGETS, TCSETS, TCSETSW, TCSETSF."""

    c_iflag: u32 = 0
    c_oflag: u32 = 0
    c_cflag: u32 = 0
    c_lflag: u32 = 0
    c_line: u8 = 0
    c_cc: Array[u8, 19] = ZERO


@struct
class Termios2:
    """struct termios2 of TCGETS2 …: `Termios` and the two speeds in bits per second."""

    c_iflag: u32 = 0
    c_oflag: u32 = 0
    c_cflag: u32 = 0
    c_lflag: u32 = 0
    c_line: u8 = 0
    c_cc: Array[u8, 19] = ZERO
    c_ispeed: u32 = 0
    c_ospeed: u32 = 0


@struct
class Winsize:
    """struct winsize of TIOCGWINSZ: characters, then pixels (mostly zero)."""

    ws_row: u16 = 0
    ws_col: u16 = 0
    ws_xpixel: u16 = 0
    ws_ypixel: u16 = 0


class Control(IntEnum):
    """Indexes into c_cc."""

    VINTR = 0
    VQUIT = 1
    VERASE = 2
    VKILL = 3
    VEOF = 4
    VTIME = 5
    VMIN = 6
    VSWTC = 7
    VSTART = 8
    VSTOP = 9
    VSUSP = 10
    VEOL = 11
    VREPRINT = 12
    VDISCARD = 13
    VWERASE = 14
    VLNEXT = 15
    VEOL2 = 16


@width(u32)
class Input(IntFlag):
    """c_iflag."""

    IGNBRK = 0o1
    BRKINT = 0o2
    IGNPAR = 0o4
    PARMRK = 0o10
    INPCK = 0o20
    ISTRIP = 0o40
    INLCR = 0o100
    IGNCR = 0o200
    ICRNL = 0o400
    IUCLC = 0o1000
    IXON = 0o2000
    IXANY = 0o4000
    IXOFF = 0o10000
    IMAXBEL = 0o20000
    IUTF8 = 0o40000


@width(u32)
class Output(IntFlag):
    """c_oflag. XTABS is TABDLY's value 3: tabs become spaces."""

    OPOST = 0o1
    OLCUC = 0o2
    ONLCR = 0o4
    OCRNL = 0o10
    ONOCR = 0o20
    ONLRET = 0o40
    XTABS = 0o14000


@width(u32)
class Mode(IntFlag):
    """c_cflag."""

    CBAUD = 0o10017
    CSIZE = 0o60
    CS8 = 0o60
    CSTOPB = 0o100
    CREAD = 0o200
    PARENB = 0o400
    HUPCL = 0o2000
    CLOCAL = 0o4000
    B38400 = 0o17
    B115200 = 0o10002
    BOTHER = 0o10000


@width(u32)
class Local(IntFlag):
    """c_lflag."""

    ISIG = 0o1
    ICANON = 0o2
    ECHO = 0o10
    ECHOE = 0o20
    ECHOK = 0o40
    ECHONL = 0o100
    NOFLSH = 0o200
    TOSTOP = 0o400
    ECHOCTL = 0o1000
    ECHOKE = 0o4000
    IEXTEN = 0o100000
    EXTPROC = 0o200000


class Ioctl(IntEnum):
    """Request numbers, ioctl_tty(2)."""

    TCGETS = 0x5401
    TCSETS = 0x5402
    TCSETSW = 0x5403
    TCSETSF = 0x5404
    TCSBRK = 0x5409
    TCXONC = 0x540A
    TCFLSH = 0x540B
    TIOCEXCL = 0x540C
    TIOCNXCL = 0x540D
    TIOCSCTTY = 0x540E
    TIOCGPGRP = 0x540F
    TIOCSPGRP = 0x5410
    TIOCOUTQ = 0x5411
    TIOCSTI = 0x5412
    TIOCGWINSZ = 0x5413
    TIOCSWINSZ = 0x5414
    TIOCMGET = 0x5415
    TIOCGSOFTCAR = 0x5419
    TIOCSSOFTCAR = 0x541A
    FIONREAD = 0x541B
    TIOCPKT = 0x5420
    FIONBIO = 0x5421
    TIOCNOTTY = 0x5422
    TIOCSETD = 0x5423
    TIOCGETD = 0x5424
    TCSBRKP = 0x5425
    TIOCGSID = 0x5429
    TCGETS2 = 0x802C542A
    TCSETS2 = 0x402C542B
    TCSETSW2 = 0x402C542C
    TCSETSF2 = 0x402C542D
    TIOCGPTN = 0x80045430
    TIOCSPTLCK = 0x40045431
    TIOCGDEV = 0x80045432
    TIOCSIG = 0x40045436
    TIOCGPKT = 0x80045438
    TIOCGPTLCK = 0x80045439
    TIOCGEXCL = 0x80045440
    TIOCGPTPEER = 0x5441
    TIOCVHANGUP = 0x5437


class Queue(IntEnum):
    """Argument of TCFLSH."""

    TCIFLUSH = 0
    TCOFLUSH = 1
    TCIOFLUSH = 2


class Flow(IntEnum):
    """Argument of TCXONC."""

    TCOOFF = 0
    TCOON = 1
    TCIOFF = 2
    TCION = 3


class LineDiscipline(IntEnum):
    """Argument of TIOCSETD, value of TIOCGETD."""

    N_TTY = 0
