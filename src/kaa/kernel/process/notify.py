# SPDX-License-Identifier: Apache-2.0
"""Telling a parent what became of its child: SIGCHLD (or the signal clone(2) was given) and waking its wait calls."""

from __future__ import annotations

from kaa.kernel.abi.signal import SIG_IGN, SIGNAL_COUNT, Code, SigAction, SigInfo, Signal, SignalFlags
from kaa.kernel.process import accounting, foreign, tree
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.signal import send
from kaa.lang import i32, u64


def job_change(group: ThreadGroup, code: i32, status: i32) -> None:
    """A child stopped or went on: SIGCHLD unless the parent said SA_NOCLDSTOP."""
    with tree.lock:
        parent = group.parent
        if parent is None:
            return
        action = _disposition(parent)
        if action.handler != SIG_IGN and (action.flags & SignalFlags.SA_NOCLDSTOP) == 0:
            send.send_group(parent, i32(Signal.SIGCHLD), _child_info(group, i32(Signal.SIGCHLD), code, status))
        parent.child_news.fetch_add(1)
        parent.child_waiters.wake_all()


def child_exit(group: ThreadGroup, parent: ThreadGroup) -> bool:
    """A process has become a zombie. True when the parent does not care and it must reap itself. Under `tree.lock`; the
    parent's wait calls are to be woken then."""
    parent.child_news.fetch_add(1)
    signo = group.exit_signal
    reaps_itself = False
    if signo == Signal.SIGCHLD:
        action = _disposition(parent)
        ignored = action.handler == SIG_IGN
        reaps_itself = ignored or (action.flags & SignalFlags.SA_NOCLDWAIT) != 0
        if ignored:
            signo = 0
    if 0 < signo <= SIGNAL_COUNT:
        status = group.exit_status
        code = Code.CLD_EXITED if (status & 0x7F) == 0 else Code.CLD_KILLED
        value = (status >> 8) & 0xFF if (status & 0x7F) == 0 else status & 0x7F
        send.send_group(parent, signo, _child_info(group, signo, i32(code), value))
    return reaps_itself


def _disposition(parent: ThreadGroup) -> SigAction:
    """What the parent does with SIGCHLD, now."""
    action = SigAction()
    with parent.signal_lock:
        parent.handlers.get(i32(Signal.SIGCHLD), action)
    return action


def _child_info(group: ThreadGroup, signo: i32, code: i32, status: i32) -> SigInfo:
    info = SigInfo(signo, 0, code)
    leader = group.leader
    uid = 0
    if leader is not None:
        uid = foreign.user_of(leader)
    info.set_sender(group.tgid, uid)
    info.word1 = u64(status)
    info.word2 = accounting.ticks(group.usage.user_ns)
    info.word3 = accounting.ticks(group.usage.system_ns)
    return info
