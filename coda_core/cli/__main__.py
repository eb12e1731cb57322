"""``python -m coda_core.cli`` is ``coda``."""

from coda_core.cli import main

main()
