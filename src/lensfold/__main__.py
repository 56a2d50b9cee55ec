"""``python -m lensfold``."""

from lensfold.cli.main import main

main()
