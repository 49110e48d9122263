# SPDX-License-Identifier: Apache-2.0
"""The compiler: a statically typed part of Python in, C and then an ELF file out.

The passes, each a module that can be read alone:

    source     where a live function's syntax tree is, and what its module's names mean
    types      what a value can be
    classes    fields, layout, hierarchy of the classes and structs in use
    program    the set of functions that the entry points reach
    lower/     one function: syntax tree → typed IR (names, types, narrowing, inlining, clean-up)
    ir         the instructions, and their printed form
    raises     which functions can raise
    effects    which fields a call may overwrite
    ownership  borrowed or owned: what each local holds
    rewriting  where counts are touched
    freeze     module-level objects → initialised data
    emit/      IR → C
    build      C → ELF
"""
