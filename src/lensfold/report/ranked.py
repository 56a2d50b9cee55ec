"""A ranked pack for a person: the page of the first objects, and the table that ends the command.

The page opens from the disk: all links are relative, style and script are inside, pictures in a folder beside it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import lensfold
from lensfold.console import PIPED, show_table, show_text, width
from lensfold.files import write_if_changed
from lensfold.report.contents import relative
from lensfold.report.gallery import Card, Filter, write_pictures
from lensfold.report.pages import templates

#: objects on the page, those of them that moved most since the last round, and objects in the terminal
ON_PAGE, MOVED, IN_TERMINAL = 200, 24, 20
#: columns of the terminal that flags may take; all of them are in the list
FLAGS_WIDTH = 26
#: what marks are exported with, beside ID, mark and note
EXPORTED = ("rank", "score", "name", "ra", "dec", "flags")
#: stands where a position is not known
NOTHING = "–"


@dataclass(frozen=True)
class Ranking:
    """A ranked pack.

    ``table``: of `lensfold.pipeline.results.ranking`; ``target``: its file; ``network``: which one scored it and why;
    ``notes``: what to know of the scores; ``purity``: what that in the list rests on; ``skipped``: how many files are
    in no pack, and the list of them.
    """

    pack: str
    table: pd.DataFrame
    target: Path
    network: str
    notes: tuple[str, ...]
    purity: str
    skipped: int
    skipped_file: Path
    synthetic: bool
    #: objects whose label would teach most, of `lensfold.pipeline.results.teaching`, by the column ID
    teach: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"ID": []}))

    @property
    def page(self) -> Path:
        """The page of the first objects."""
        return self.target.with_suffix(".html")

    @property
    def scored(self) -> int:
        """Objects that have a rank."""
        return int(self.table["rank"].notna().sum())

    @property
    def counts(self) -> str:
        """How many objects were ranked, and how many not, in words."""
        unscored = len(self.table) - self.scored
        left = f", {unscored} not scored (last in the list, with the reason)" if unscored else ""
        return f"{self.scored:,} object{'' if self.scored == 1 else 's'} ranked{left}"


def write_ranked_page(ranking: Ranking, cache_folder: Path) -> Path:
    """Write the page of the first ON_PAGE objects and their pictures beside it; return its path.

    Raises InputError where something cannot be written.
    """
    folder = ranking.page.with_suffix("")
    lists = _lists(ranking)
    pictures = write_pictures(folder, cache_folder, [card.id for one in lists for card in one["cards"]])
    teaches = set(ranking.teach["ID"])
    filters = [Filter("flagged", {"no": "without flags", "yes": "with flags"})]
    if ranking.table["before"].notna().any():
        filters.append(Filter("new", {"yes": f"new in the first {ON_PAGE}", "no": "there before"}))
    if teaches:
        filters.append(Filter("teaches", {"yes": "would teach most", "no": "others"}))
    text = (
        templates()
        .get_template("ranked.html")
        .render(
            version=lensfold.__version__,
            ranking=ranking,
            pack=ranking.pack,
            synthetic=ranking.synthetic,
            lists=lists,
            filters=filters,
            pictures=pictures,
            folder=folder.name,
            skipped=relative(ranking.skipped_file, folder.parent),
            exported=EXPORTED,
        )
    )
    write_if_changed(ranking.page, text.encode("utf-8"))
    return ranking.page


def _lists(ranking: Ranking) -> list[dict]:
    """Return the page's lists: what is not labelled yet, the highest score first, and beyond it what would teach most,
    and what moved most."""
    table, teaches = ranking.table, ranking.teach["ID"].tolist()
    rest = table[table["label"].isna()]
    first, labelled = rest.head(ON_PAGE), len(table) - len(rest)
    about = f"The first {len(first)} of {len(rest):,}; the whole list is {ranking.target.name}."
    if labelled:
        about = f"{labelled:,} have a label and are left out. {about}"
    lists = [
        {"key": "ranked", "title": "Most like a lens first", "about": about, "empty": "There is none.",
         "cards": [_card(row, "ranked", teaches) for row in first.to_dict("records")]}
    ]  # fmt: skip
    beyond = rest.iloc[ON_PAGE:]
    if teaches:
        more = beyond.set_index("ID", drop=False).reindex([i for i in teaches if i not in set(first["ID"])])
        lists.append(
            {"key": "teach", "title": "Would teach most", "empty": "All of them are in the first list.",
             "about": "Near the boundary, networks disagree, unlike what was learnt from: the "
             f"{len(teaches)} of teach.csv, but for {len(teaches) - len(more)} that are tagged in the first list.",
             "cards": [_card(row, "teach", teaches) for row in more.to_dict("records")]}
        )  # fmt: skip
    moved = _moved(beyond[~beyond["ID"].isin(teaches)])
    if len(moved):
        lists.append(
            {"key": "moved", "title": "Climbed most since the last round", "empty": "There is none.",
             "about": "Those beyond the first list whose rank is the smallest part of what it was.",
             "cards": [_card(row, "moved", ()) for row in moved.to_dict("records")]}
        )  # fmt: skip
    return lists


def _moved(table: pd.DataFrame) -> pd.DataFrame:
    """Return up to MOVED objects that rank higher than before, by the ratio of the ranks."""
    known = table[table["before"].notna() & table["rank"].notna()]
    ratio = known["rank"].astype(float) / known["before"].astype(float)
    return known.loc[ratio[ratio < 1].sort_values(kind="stable").index[:MOVED]]


def _card(row: dict, list_name: str, teaches: Collection[int]) -> Card:
    place = "not scored" if pd.isna(row["rank"]) else f"{row['rank']}."
    ra, dec = _degrees(row["ra"]), _degrees(row["dec"], "+")
    lines = (f"score {_number(row['score'])}", f"RA {ra}, Dec {dec}", f"ID {row['ID']}")
    known = {name: "" if pd.isna(row[name]) else str(row[name]) for name in EXPORTED}
    is_new = pd.notna(row["before"]) and row["before"] > ON_PAGE and list_name == "ranked"
    data = {**known, "flagged": "yes" if row["flags"] else "no", "new": "yes" if is_new else "no"}
    data["teaches"] = "yes" if row["ID"] in teaches else "no"
    tags = [tag for tag, is_so in (("new", is_new), ("teaches", row["ID"] in teaches)) if is_so]
    before = "" if pd.isna(row["before"]) else f"before: {row['before']:,}"
    title = f"{place} {row['name']}"
    return Card(int(row["ID"]), list_name, title, ", ".join(tags), before, lines, row["flags"], data)


def show_ranking(ranking: Ranking) -> None:
    """Print what the purity rests on, the first objects, how many were ranked and skipped, and where the list is."""
    show_text(ranking.purity)
    room = min(width(), PIPED) - FLAGS_WIDTH - 38  # what rank, score, RA, Dec and the gaps between columns take
    rows = [
        [NOTHING if pd.isna(row["rank"]) else row["rank"], _number(row["score"]), _shortened(row["name"], room),
         _degrees(row["ra"]), _degrees(row["dec"], "+"), _shortened(row["flags"], FLAGS_WIDTH, ends=False)]
        for row in ranking.table.head(IN_TERMINAL).to_dict("records")
    ]  # fmt: skip
    columns = ["rank", "score", "name", "RA", "Dec", *(["flags"] if any(row[-1] for row in rows) else [])]
    cells = [row[: len(columns)] for row in rows]
    show_table(f"most like a lens first · pack {ranking.pack}", columns, cells, left=3)
    skipped = (
        f"{ranking.skipped:,} skipped, with the reasons in {ranking.skipped_file}"
        if ranking.skipped
        else "none skipped"
    )
    show_text(f"{ranking.counts}; {skipped}.")
    print(f"the whole list: {ranking.target}")
    if len(ranking.teach):
        print(f"the {len(ranking.teach)} whose labels would teach most: {ranking.target.with_name('teach.csv')}")
    print(f"look, mark, export: {ranking.page}")


def _shortened(text: str, most: int, ends: bool = True) -> str:
    """Return a text of at most so many characters, cut in the middle or, without ``ends``, behind."""
    if len(text) <= most:
        return text
    behind = (most - 1) // 2 if ends else 0
    return f"{text[: most - 1 - behind]}…{text[len(text) - behind :]}"


def _number(score: float) -> str:
    return NOTHING if pd.isna(score) else f"{score:.4f}"


def _degrees(value: float, sign: str = "") -> str:
    return NOTHING if pd.isna(value) else f"{value:{sign}.5f}"
