"""The seed paper, reproduced: every table and figure of it beside what this kit measures on a pack."""

from lensfold.paper.reproduction import reproduce_paper

__all__ = ["reproduce_paper"]
