# SPDX-License-Identifier: Apache-2.0
"""The ratio table: the better of Linux's figures, turned so that less is better."""

from __future__ import annotations

import pathlib

from kaa.host import bench

HEAD = "# label x\nname\tunit\ticount\twall1\n"


def table(at: pathlib.Path, rows: str) -> pathlib.Path:
    at.write_text(HEAD + rows)
    return at


def test_ratios_use_the_better_linux_and_turn_bandwidths_round(tmp_path: pathlib.Path) -> None:
    stock = table(tmp_path / "a", "call\tns\t400\t1\npipe_bw\tMB/s\t1000\t1\ngone\tns\t7\t1\nfails\tns\t9\t1\n")
    lean = table(tmp_path / "b", "call\tns\t300\t1\npipe_bw\tMB/s\t1300\t1\nfails\tns\tFAIL:38\t1\n")
    ours = table(tmp_path / "c", "call\tns\t150\t1\npipe_bw\tMB/s\t2600\t1\nfails\tns\tFAIL:38\t1\n")
    rows = bench.compare(ours, [stock, lean])
    assert [(row.name, row.linux, row.ratio) for row in rows] == [
        ("call", 300, 0.5), ("pipe_bw", 1300, 0.5), ("fails", 9, None)]
    assert "| fails | ns | 9 | FAIL:38 | - |" in bench.markdown(rows)
