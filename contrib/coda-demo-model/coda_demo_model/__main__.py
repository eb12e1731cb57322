"""``python -m coda_demo_model``."""

from coda_demo_model.cli import main

main()
