"""``python -m lensfold``."""

from lensfold.cli import main

main()
