"""`python -m esm` is the command `esm`."""

from __future__ import annotations

from esm.cli.main import main

main()
