# SPDX-License-Identifier: Apache-2.0
"""What a person uses on their own machine: the command line, QEMU, images, the debugger, benchmarks.

The top floor: it may use the compiler and read the kernel's files; nothing imports it. It runs under CPython only and
is never compiled. `cli` is the command line, `machine.Machine` the SDK that boots a kernel in QEMU, `run` what `./kaa
run` does with it.
"""
