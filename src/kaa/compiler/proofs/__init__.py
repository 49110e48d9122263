# SPDX-License-Identifier: Apache-2.0
"""Proofs about the whole program: what Linux looks for at run time (lockdep, might_sleep, stack checks), refused here.

They read the lowered IR after counts are inserted (a release may run a `__del__`), and change nothing. The modules, in
the order in which they work:

    locks     lock classes: the name of a lock (`Inode.lock`), its kind, its bit in the masks of all summaries
    targets   what a Callable value may be
    graph     the call graph: a Node per function and per class that can be dropped, with the Sites that matter
    held      in one function: which locks are held, what was given back, where interrupts are off, before each Site
    summary   across functions: what a call may take, give back, sleep in; strongly connected components, callees first
    context   proof: nobody sleeps in an atomic context; a lock that handlers take is only taken with interrupts off
    order     proof: the order of lock classes has no cycle
    lockdoc   docs/locks.md and docs/locks.svg: what the order proof found
    stack     proof: the deepest path from each entry fits its stack; recursion has a bound
    protection*, sharing   proof: each access to a field holds what its type says; shared fields say something
    user_*    proof: users' numbers are checked before they can do harm
    paths     the calls from one place to another, for messages
    run       all of them: `prove(program) -> Findings`

**What a new proof builds on** (protection, user memory: the interface is stable)

`graph.Graph(program)`: `.nodes`, `.of(fn) -> Node`. A Node has `.fn` (None for a drop), `.blocks`: for each ir.Block
the list of its Sites in order; a Site is an instruction with `.event` (ir.Event) or `.callees` (Nodes), and `.place()`
for messages. `graph.components()` gives lists of Nodes, callees first.

`locks.LockTable`: `bit_of(fn, value, kind)` names a lock *value* of a function; `.names[bit]`, `.kinds[bit]`. Bits are
stable after `summarise`. The first bits stand for contexts (IRQ, PREEMPT, HANDLER, RCU), the next for "the lock that is
my parameter n", which a call replaces by what it passes.

`held.Flow(node, …).before(instruction) -> State`: what holds just before an instruction of the function (any, not only
Sites). `State.held` is a tuple of `Held(bit, path, shared, must)`: `path` is the *instance*, as a path from a variable
("p_self.lock", "v_inode.lock", "kz_tree_lock": `locks.path_of(fn, value)` gives the same spelling for any value, so an
access to `base.field` guarded by "lock" is right if `path_of(base) + ".lock"` is held); `must` is False where only some
of the ways here hold it; `shared` says that it is held for reading. `State.minus` are the bits of locks that callers
held and this function gave back. `State.irq_off`, `.preempt_off`, `.rcu`, `.handler` are the contexts made here; what a
caller made is in the callers' flows (`summary.Summary.contexts` collects them at the entries).

`Function.marks["requires"]` is what `@requires("lock", …)` said: `held.entry_state` puts these locks into the state at
the function's start; whether callers hold them is the protection proof's to check, at each Site that calls it.
`Function.marks["trusted"]` is {proof: reason}: `findings.Findings.refuse(proof, node, error)` heeds and counts it.

Errors are compiler.errors.CompileError with the path as notes, one line each.
"""
