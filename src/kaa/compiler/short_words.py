# SPDX-License-Identifier: Apache-2.0
"""Source texts in less space: what Kaa's lines often say is one byte, from 128 on, of the table of tracebacks.

The words were chosen once, greedily by what each saves, from the kernel's own lines; other texts only get less short.
"""

from __future__ import annotations

from collections.abc import Iterable

FIRST = 128
LENGTH = 12
"""The longest word, and what each takes in the table."""
WORDS: tuple[bytes, ...] = (
    b"self.", b", ", b"re", b" = ", b"in", b"er", b"turn ", b"src/kaa/k", b"ta", b") -> None:", b"en", b"de", b"le",
    b"ou", b"it", b"lock", b"ad", b"se", b"on", b"or", b"()", b"ue", b"class ", b"name", b"st", b"<drop ", b"if ",
    b"ce", b"u64(", b"al", b" + ", b"size", b": ", b"ch", b"pa", b"ge", b"te", b"ma", b"numb", b"flags", b"an", b"s.",
    b"nel/", b"tr", b"ti", b"not ", b"ss", b"fi", b" - ", b"u32", b"sk", b"t.", b"ro", b") ", b"copy_", b"t_", b"...",
    b"th", b"= ", b"ke", b"))", b"lo", b"d(", b"me", b"nt", b"PAGE_SIZE", b".p", b"d_", b"wa", b"ign", b"ne", b"ol",
    b"la", b"t(", b"f ", b"tty", b"i32", b"un", b"op", b"ve", b"show_", b"id", b"no", b"mpfs", b"argum", b"rt", b"gr",
    b"pu", b"_s", b"64", b" is ", b"of", b".c", b"ed", b"ct", b"at", b"buf", b" el", b"> ", b"ck", b"Fi", b"b\"",
    b"vi", b"ts", b"li", b"__", b"own", b"faul", b"us", b"d ", b"pfn", b"wr", b"e.", b"s_", b"ab", b"riv", b"):",
    b"(s", b"to", b"up", b"y.", b" | ", b"ap", b"om", b"il", b"ra", b"ca", b"g.",
)  # fmt: skip
SIZE = LENGTH * len(WORDS)


def shorten(texts: Iterable[str], known: dict[str, bytes] | None = None) -> list[bytes]:
    """The texts, without characters that are not ASCII, each word as its byte. `known` has some and then has these."""
    texts, known = list(texts), {} if known is None else known
    news = [text for text in texts if text not in known]
    joined = "\0".join(news).encode("ascii", "replace")
    for number, word in enumerate(WORDS if news else ()):
        joined = joined.replace(word, bytes((FIRST + number,)))
    known.update(zip(news, joined.split(b"\0"), strict=False))
    for old in known.keys() - set(texts):
        del known[old]
    return [known[text] for text in texts]


def lengthen(short: bytes, words: bytes) -> str:
    """The text again; `words` is what `table` gave."""
    out = b"".join(
        bytes((byte,)) if byte < FIRST else words[LENGTH * (byte - FIRST) :][:LENGTH].rstrip(b"\0") for byte in short
    )
    return out.decode("ascii", "replace")


def table() -> bytes:
    """The words as the kernel finds them."""
    return b"".join(word.ljust(LENGTH, b"\0") for word in WORDS)
