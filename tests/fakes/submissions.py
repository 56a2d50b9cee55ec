"""Files of eight scores, and what a checker expects of them."""

from pathlib import Path

import pandas as pd

from lensfold.submission.check import Expected

GOLDEN = Path(__file__).parents[1] / "golden"
IDS = pd.Index(range(200001, 200009), name="ID")
#: 200008 has no image
EXPECTED = Expected(IDS, IDS[-1:], "eight IDs")


def written(tmp_path: Path, content: str | bytes, name: str = "s.csv") -> Path:
    """A file with this content."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
