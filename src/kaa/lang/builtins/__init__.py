# SPDX-License-Identifier: Apache-2.0
"""Python's containers and text, written in the language: what compiled code means by list, dict, deque and str.

Which class and method a use means natively:

| written | is |
| --- | --- |
| `list[T]` | `list.List[T]` |
| `dict[K, V]`, K an integer or bytes | `dict.Dict[K, V]`; look-ups take a `Lookup[K]`: any `Bytes` where K is bytes |
| `deque[T]` | `deque.Deque[T]` |
| `xs.pop(i)` | `xs.pop_at(i)` |
| `d.pop(k, x)`, `d.get(k, x)` | `d.pop_default(k, x)`, `d.get_default(k, x)` |
| `reversed(xs)` | `xs.__reversed__()` |

Each module has a CPython-only `freeze(value)`: the fields of the frozen object, each Ptr field as the Python list of
its elements (None for a null pointer). A frozen container's buffers are not from the heap, so it is marked (`frozen`)
and never releases them; its elements are released as usual.
"""
