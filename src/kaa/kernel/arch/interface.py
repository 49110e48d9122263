# SPDX-License-Identifier: Apache-2.0
"""What a machine provides, as documented signatures. `machine` = `kaa.kernel.arch.x86_64`; each heading is one of its modules.

regs        `Registers`, the trap frame: user_mode(), stack_pointer(), set_stack_pointer(v), program_counter(), set_program_counter(v),
            result(), set_result(i64), system_call() -> u64 (its number, or NO_SYSTEM_CALL), forget_system_call() (no restart any more),
            restart_system_call() (go back to the instruction, with the first arguments), argument(n) -> u64.
            `start_user(regs, entry, stack)`: clears all, as execve wants.
percpu      current() -> Task, set_current(task), preempt_disable(), preempt_enable(), preempt_count(), need_resched(), set_need_resched(),
            clear_need_resched(), cpu_id().
irq         disable(), enable(), save() -> u64, restore(flags), enabled(), halt() (interrupts on and sleep, atomically), in_interrupt(),
            allocate_vector() -> u32, register(vector, handler: Callable[[u32], None]),
            connect(line, handler, level=False, low=False) -> u32: a line of the interrupt controller (ISA IRQ n is line n, with ACPI's
            overrides applied; PCI and virtio-mmio lines are global system interrupts) to `handler`, unmasked; gives the vector.
context     `Context`, a struct in each Task (field `context`).
            switch(prev, next): interrupts off, called by the scheduler only. Loads next's page table when next.mm is not None.
            A thread that runs for the first time calls `kaa.kernel.sched.core.finish_switch()` before anything else: do there what
            follows switch() in schedule(); it starts with interrupts off and the preempt count schedule() had.
            new_kernel_thread(task, entry: Callable[[u64], None], argument: u64): prepares task.kernel_stack; `entry` must not return.
            fork_return(child, regs): the child will leave to user mode with a copy of regs and result 0; copies the FPU state.
            user_registers(task) -> Registers, enter_user(task) -> NoReturn, set_tls(task, base),
            reset_fpu(task) (execve), allocate_stack() -> u64 (top), free_stack(top).
paging      `PageTable`: see its docstring; entries are raw u64: entry_present(e) entry_pfn(e) entry_writable(e) entry_dirty(e)
            entry_accessed(e) entry_user(e) entry_executable(e), make_entry(pfn, writable, executable, user) -> u64,
            with_write(e) / without_write(e), flush_page(va), flush_all(), direct_map(physical) -> u64, physical(direct) -> u64,
            map_device(physical, size) -> u64, map_kernel(va, pfn), unmap_kernel(va) -> u64 (pfn).
            PageTable walks for mm: get(va), set(va, pfn, writable, executable), set_entry(va, entry), clear(va), protect(va, …),
            generators entries(start, end) -> (va, entry), take_range(start, end) -> (va, entry) (clears), copy_range(child, start, end,
            share) -> entry (fork), protect_range(start, end, writable, executable); free_range(start, end) frees empty tables.
user        copy_from_user(destination, source, n) -> usize (bytes NOT copied), copy_to_user(destination, source, n), clear_user(address, n),
            copy_string_from_user(destination, source, maximum) -> isize (length without the NUL; -1 fault; `maximum` if no NUL within it).
            All check that the user range lies below USER_END.
            cmpxchg_user(address, old: u32, new: u32) -> i64 (the word found, or -1 on a fault), load_user(address) -> i64 (u32 or -1).
clock       cycles(), monotonic_ns(), realtime_ns(), set_realtime(ns), set_deadline(ns) (0 switches the timer off).
power       off(status), reboot(), panic_stop().
signal_frame push(regs, delivery: Delivery, info: Slice[u8]) raises OSError(EFAULT); pop(regs, delivery) raises OSError(EFAULT)
            (fills in delivery.mask and alt_*): see its docstring.
elf         MACHINE (EM_X86_64), PLATFORM (b"x86_64"), hardware_capabilities() -> u64, MINIMUM_SIGNAL_STACK() -> usize,
            VDSO_PAGES (data page first, then code), vdso_page(index) -> u64 (pfn, a reference of the kernel's own), VDSO_CODE_OFFSET.

What the machine calls: `mm.page_fault.handle(address, access, regs) -> bool`, `signal.deliver.exception(signo, code, address, regs)`,
`signal.deliver.return_to_user(regs)` when task.work is non-zero before a return to user mode, `sched.core.schedule()`,
`sched.core.finish_switch()`, `abi.syscall.TABLE` and `unknown(nr)`, `time.tick.interrupt()`.
"""

from __future__ import annotations
