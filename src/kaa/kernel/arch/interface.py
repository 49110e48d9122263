# SPDX-License-Identifier: Apache-2.0
"""What a machine provides. `machine` = `kaa.kernel.arch.x86_64`; each heading is one of its modules.

regs: `Registers`, the trap frame.
  user_mode(), stack_pointer(), set_stack_pointer(v), program_counter(), set_program_counter(v), result(),
    set_result(i64)
  system_call() -> u64: its number, or NO_SYSTEM_CALL; argument(n) -> u64
  restart_system_call(): go back to the instruction, with the first arguments; forget_system_call(): nothing to restart
  start_user(regs, entry, stack): clears all, as execve wants
percpu
  current() -> Task, set_current(task), cpu_id()
  here() -> Cpu: this processor's sched.cpu.Cpu (borrowed), set_here(cpu)
  add(which, amount): to one of 128 sums that each processor keeps a part of; total(which) -> u64: all parts together
  prepared() -> u32: processors that run or are about to start have numbers below
  preempt_disable(), preempt_enable(), preempt_count(), need_resched(), set_need_resched(), clear_need_resched()
running
  word() -> u64: a number for the running task, not 0, a multiple of 8; on_another(word) -> bool: another CPU runs it
  may_be_absent() -> bool: processors may be taken away by a host
irq
  disable(), enable(), save() -> u64, restore(flags), enabled(), in_interrupt()
  halt(): interrupts on and sleep, without a gap between the two
  relax(): a hint that this processor spins; relax_for(spins): so often, of the short spins of a virtual processor
  allocate_vector() -> u32, register(vector, handler: Callable[[u32], None])
  connect(line, handler, level=False, low=False) -> u32: a line of the interrupt controller, unmasked, to `handler`;
    gives the vector. ISA interrupt n is line n, ACPI's overrides being applied; PCI and virtio-mmio lines are global.
  spread(): the lines connected so far go to all processors by turns; message_target() -> u32: where MSIs are to go
interrupt_counts: rows of /proc/interrupts, from 0 to ROWS, NMI_ROW and those after it a processor's own
  present(row), line(row) -> u32 (a device's), label(row) and text(row) -> Bytes, count(row, processor) -> u64
cpuinfo: show(out: TextBuffer, number, cores): what /proc/cpuinfo says of a processor
context: `Context`, a struct in each Task (its field `context`).
  switch(prev, next): interrupts off; the scheduler has made `next` current. Loads next.mm's page table. What runs for
    the first time calls sched.core.finish_switch() before anything else, with interrupts off.
  new_kernel_thread(task, entry: Callable[[u64], None], argument): prepares task.kernel_stack; `entry` does not return
  fork_return(child, regs): the child will leave to user mode with a copy of regs, result 0 and the FPU state
  user_registers(task) -> Registers, enter_user(task) -> NoReturn, set_tls(task, base), reset_fpu(task) (for execve)
  allocate_stack() -> u64 (top; raises MemoryError), free_stack(top)
paging
  entries are raw u64: entry_present(e), entry_pfn(e), entry_writable(e), entry_dirty(e), entry_accessed(e),
    entry_user(e), entry_executable(e), make_entry(pfn, writable, executable, user), with_write(e), without_write(e)
  flush_page(va), flush_all(), direct_map(physical) -> u64, physical(direct) -> u64
  map_device(physical, size) -> u64, map_kernel(va, pfn), unmap_kernel(va) -> u64 (pfn)
  PageTable(): root, activate(), leave() (nobody uses it any more), get(va), set(va, pfn, writable, executable),
    set_entry(va, entry), reserve(va), clear(va) -> u64, protect(va, …), protect_range(start, end, writable,
    executable), free_range(start, end);
    generators: entries(start, end), take_range(start, end) and copy_range(child, start, end) give (va, entry)
user: ranges that do not lie below USER_END are refused whole
  copy_from_user(destination, source, n) and copy_to_user(destination, source, n) -> usize: bytes NOT copied
  clear_user(address, n) -> usize: bytes not cleared
  copy_string_from_user(destination, source, maximum) -> isize: length without the NUL; -1 fault; maximum: no NUL so far
  cmpxchg_user(address, old, new) -> i64: the word found, or -1 for a fault; load_user(address) -> i64; store_user(…)
clock
  cycles(), monotonic_ns(), realtime_ns(), set_realtime(ns)
  set_deadline(ns): one timer interrupt at that monotonic time; 0 switches the timer off
  shoot_down(table, start, end): the entries of a user range were changed; back when no processor uses the old ones.
    Interrupts are on; preemption may be off. Pages are freed after it.
  shoot_down_kernel(): the same for map_kernel's
smp: processors are numbered from 0, the one that boots; a set of them is one u64
  count() -> u32: how many there are; online_mask() -> u64: those that run; start_others(): once, in process 1
  send_reschedule(cpu): it chooses anew who runs; kick(cpu): it comes into the kernel and goes back
  call(set, function: Callable[[u64], None], argument): runs on each of the set with interrupts off, this one too if it
    is in it; back when all have. Never with interrupts off, from an interrupt, or under what they may spin for with
    interrupts off
power: off(status), reboot(), panic_stop()
signal_frame
  push(regs, delivery: Delivery, info: Slice[u8]) and pop(regs, delivery); both raise OSError(EFAULT)
elf
  MACHINE, PLATFORM, hardware_capabilities() -> u64, minimum_signal_stack() -> usize
  VDSO_PAGES (data first, then code), vdso_page(index) -> u64 (pfn), VDSO_CODE_OFFSET

What the machine calls: mm.page_fault.handle(address, access, regs) -> bool; signal.deliver.exception(signo, code,
address, regs); signal.deliver.return_to_user(regs) when task.work is non-zero before a return to user mode;
sched.core.preempt() and finish_switch(); abi.syscall.TABLE and unknown(nr); time.tick.interrupt().
"""

from __future__ import annotations
