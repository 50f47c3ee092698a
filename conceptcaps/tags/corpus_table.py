"""Tables of captions with aspects as others publish them: which column is which, and what their cells say."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from conceptcaps.errors import InputError

KNOWN = {  # names of columns, the first that a table has is taken
    "caption": ("caption", "caption_writing", "main_caption", "text", "prediction"),
    "aspects": ("aspect_list", "aspects", "tags", "tag", "genre"),
    "id": ("ytid", "id", "caption_id", "track_id", "file_name", "fname", "path", "location"),
}
AUTO = dict.fromkeys(KNOWN, "auto")
_PARAMETERS = {"caption": "caption_column", "aspects": "aspect_column", "id": "id_column"}


def read(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file.

    Raises:
        InputError: If it is none.
    """
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False)
    except ValueError as error:  # as pandas, pyarrow and the decoder say it
        raise InputError(f"expected a CSV file in UTF-8, or a Parquet file, in {path}, got: {error}") from error


def parse_rows(frame: pd.DataFrame, *, source: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """Turn a table into the columns of ``corpus.load_corpus``.

    Args:
        frame: Captions, and what else is known of each.
        source: Names it in errors.
        columns: Its column of ``caption``, ``aspects`` and ``id``: a name or ``auto``; of aspects also ``none``, which
            leaves them empty.
    """
    caption = _column(frame, "caption", columns["caption"], source=source)
    aspects = None if columns["aspects"] == "none" else _column(frame, "aspects", columns["aspects"], source=source)
    counted = columns["id"] == "auto" and not any(name in frame.columns for name in KNOWN["id"])
    key = "row" if counted else _column(frame, "id", columns["id"], source=source)
    if frame.empty:
        raise InputError(f"expected at least one row in {source}, got none")
    ids = [str(number) for number in range(1, len(frame) + 1)] if counted else frame[key].astype(str).tolist()
    cells: list[object] = [[]] * len(frame) if aspects is None else frame[aspects].tolist()
    where = [f"row {number} ({key} {row_id}) of {source}" for number, row_id in enumerate(ids, start=1)]
    parse = parse_aspects if aspects in (None, "aspect_list") else parse_tags
    evaluation = frame["is_audioset_eval"] if "is_audioset_eval" in frame.columns else [False] * len(frame)
    parsed = pd.DataFrame(
        {
            "row_id": ids,
            "caption": frame[caption].fillna("").astype(str).to_numpy(),
            "aspects": [parse(cell, where=place) for cell, place in zip(cells, where, strict=True)],
            "is_eval": [str(flag).lower() == "true" for flag in evaluation],
        }
    )
    repeated = parsed["row_id"][parsed["row_id"].duplicated()]
    if len(repeated):
        raise InputError(
            f"expected each {key} once in {source}, got {repeated.iloc[0]} again in row {repeated.index[0] + 1}; "
            "id_column names another column"
        )
    return parsed


def parse_aspects(cell: object, *, where: str) -> list[str]:
    """Aspects of a cell that holds a list of strings, or one as Python writes it; an error names ``where`` it stood."""
    try:
        parsed = list(cell) if isinstance(cell, (list, tuple, np.ndarray)) else ast.literal_eval(str(cell))
    except (ValueError, SyntaxError):
        parsed = None
    if not isinstance(parsed, list) or not all(isinstance(aspect, str) for aspect in parsed):
        raise InputError(f"expected a list of strings as aspect_list in {where}, got {str(cell)[:60]!r}")
    return [aspect.strip() for aspect in parsed if aspect.strip()]


def parse_tags(cell: object, *, where: str) -> list[str]:
    """As ``parse_aspects``, or of text with commas, semicolons or tabs between; without MTG-Jamendo's kind of tag.

    >>> parse_tags("genre---jazz, mood/theme---happy", where="row 1")
    ['jazz', 'happy']
    """
    text = isinstance(cell, str) and not cell.lstrip().startswith("[")
    named = re.split(r"[,;\t]", str(cell)) if text else parse_aspects(cell, where=where)
    return [tag for tag in (name.rpartition("---")[2].strip() for name in named) if tag]


def _column(frame: pd.DataFrame, kind: str, asked: str, *, source: str) -> str:
    """The column that is asked for, or the first known one of its kind."""
    names = KNOWN[kind] if asked == "auto" else (asked,)
    found = [name for name in names if name in frame.columns]
    if not found:
        raise InputError(
            f"expected column {' or '.join(names)} in {source}, got columns {', '.join(map(str, frame.columns))}; "
            f"{_PARAMETERS[kind]} names another{', or none' if kind == 'aspects' else ''}"
        )
    return found[0]
