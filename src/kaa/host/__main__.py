# SPDX-License-Identifier: Apache-2.0
"""`python -m kaa.host`: the command line."""

from __future__ import annotations

import sys

from kaa.host import cli


def main() -> None:
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
