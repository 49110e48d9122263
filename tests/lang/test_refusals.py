# SPDX-License-Identifier: Apache-2.0
"""What the compiler refuses, and in which words: each bad program has its message beside it.

`KAA_GOLDEN=write pytest tests/lang/test_refusals.py` writes the messages anew; read the difference before you commit.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

hostrun = pytest.importorskip("kaa.compiler.hostrun")

FOLDER = Path(__file__).parent / "errors"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_bad_program_is_refused_in_these_words(file: Path) -> None:
    from kaa.compiler.pipeline import Refused

    with pytest.raises(Refused) as caught:
        hostrun.build(file)
    message = str(caught.value).replace(str(FOLDER) + "/", "") + "\n"
    golden = file.with_suffix(".txt")
    if os.environ.get("KAA_GOLDEN") == "write":
        golden.write_text(message)
    assert message == golden.read_text()
