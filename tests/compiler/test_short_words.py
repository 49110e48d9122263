# SPDX-License-Identifier: Apache-2.0
"""Texts that were made shorter are the same when they are written out again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kaa.compiler import short_words

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
WORDY = st.lists(st.one_of(PRINTABLE, st.sampled_from([w.decode() for w in short_words.WORDS]))).map("".join)


@given(st.lists(WORDY, min_size=1, max_size=5))
def test_texts_come_back(texts: list[str]) -> None:
    short = short_words.shorten(texts)
    assert [short_words.lengthen(s, short_words.table()) for s in short] == texts
    assert all(len(s) <= len(t) for s, t in zip(short, texts, strict=True))


def test_what_the_kernel_often_says_takes_less_than_two_thirds() -> None:
    lines = ["        return self.length", "raise OSError(errno.EINVAL)", "if task is not machine.percpu.current():"]
    assert sum(map(len, short_words.shorten(lines))) * 3 < sum(map(len, lines)) * 2


def test_words_fit_their_places() -> None:
    assert len(short_words.WORDS) <= 128 and all(0 < len(w) <= short_words.LENGTH for w in short_words.WORDS)
    assert len(short_words.table()) == short_words.SIZE


@given(texts=st.lists(WORDY), before=st.lists(WORDY))
def test_what_is_remembered_is_what_would_be_made(texts: list[str], before: list[str]) -> None:
    known: dict[str, bytes] = {}
    short_words.shorten(before, known)
    assert short_words.shorten(texts, known) == short_words.shorten(texts)
    assert known.keys() == set(texts)
