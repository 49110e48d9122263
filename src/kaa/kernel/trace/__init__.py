# SPDX-License-Identifier: Apache-2.0
"""What the kernel writes down of itself for `./kaa trace`.

- `sched_trace`: who ran where when, in a ring for each processor; on when the command line says kaa.trace=sched.
- `lock_counts`: how often each class of locks was taken and waited for; only in a kernel built with KAA_LOCK_STATS.
- `proc`: both as text, under /proc/kaa. docs/tracing.md has the formats.
"""
