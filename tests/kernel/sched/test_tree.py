# SPDX-License-Identifier: Apache-2.0
"""The tree of waiting tasks against a sorted list."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kaa.kernel.sched.links import TreeNode
from kaa.kernel.sched.tree import Tree, following
from kaa.lang import u64

WRAP = 1 << 64


def node(key: int, vruntime: int) -> TreeNode:
    made = TreeNode()
    made.key = u64(key % WRAP)
    made.vruntime = u64(vruntime % WRAP)
    return made


def check(of: TreeNode | None, up: TreeNode | None, base: int) -> list[TreeNode]:
    """Links, order, ranks and least virtual times are right; gives the members in order."""
    if of is None:
        return []
    assert of.up is up
    assert up is None or up.rank >= of.rank
    left, right = check(of.left, of, base), check(of.right, of, base)
    members = [*left, of, *right]
    assert (of.least - base) % WRAP == min((m.vruntime - base) % WRAP for m in members)
    return members


steps = st.lists(st.tuples(st.sampled_from("iire"), st.integers(0, 40), st.integers(0, 40)), max_size=80)


@settings(max_examples=300, deadline=None)
@given(steps, st.sampled_from([0, 1 << 62, (1 << 63) - 20, (1 << 64) - 20]))
def test_members_stay_in_order_and_the_first_eligible_is_found(script: list[tuple[str, int, int]], base: int) -> None:
    tree = Tree()
    model: list[TreeNode] = []
    for kind, number, other in script:
        if kind == "i":
            new = node(base + number, base + other)
            tree.insert(new)
            place = sum(1 for m in model if (m.key - base) % WRAP <= number)
            model.insert(place, new)
        elif kind == "r" and model:
            victim = model.pop(number % len(model))
            tree.remove(victim)
            assert victim.left is None and victim.right is None and victim.up is None
        else:
            limit = (base + number) % WRAP
            expected = [m for m in model if (m.vruntime - base) % WRAP <= number]
            assert tree.first_eligible(u64(limit)) is (expected[0] if expected else None)
        assert [id(m) for m in check(tree.root, None, base)] == [id(m) for m in model]
        assert tree.first() is (model[0] if model else None)
        walked = []
        at = tree.first()
        while at is not None:
            walked.append(id(at))
            at = following(at)
        assert walked == [id(m) for m in model]


def test_the_tree_stays_low_when_keys_come_in_order() -> None:
    tree = Tree()
    for key in range(2000):
        tree.insert(node(key, 0))

    def depth(of: TreeNode | None) -> int:
        return 0 if of is None else 1 + max(depth(of.left), depth(of.right))

    assert depth(tree.root) < 45
