"""Keep fifty rows of the newest dataset under ``docs/sample``, without clips: ``make sample``."""

from pathlib import Path

import datasets
import pandas as pd

from conceptcaps import tracking
from tools.mlproject import ROOT

PATH = ROOT / "docs" / "sample" / "rows.jsonl"
ROWS = 50


def sample(folder: Path, *, count: int) -> pd.DataFrame:
    """The first rows by id of each split of a dataset, in the shares that the splits have in it.

    Args:
        folder: Of ``build_dataset``.
        count: Rows; what rounding leaves goes to the splits that it took most from.
    """
    parts = {name: rows.to_pandas() for name, rows in datasets.load_dataset(str(folder)).items()}
    total = sum(map(len, parts.values()))
    shares = {name: divmod(count * len(rows), total) for name, rows in parts.items()}
    sizes = {name: whole for name, (whole, _) in shares.items()}
    for name in sorted(shares, key=lambda name: -shares[name][1])[: count - sum(sizes.values())]:
        sizes[name] += 1
    kept = [rows.sort_values("id").head(sizes[name]).assign(split=name) for name, rows in parts.items()]
    return pd.concat(kept, ignore_index=True)


def main() -> None:
    """Renew the sample."""
    rows = sample(tracking.fetch(f"runs:/{tracking.latest('build_dataset')}/dataset"), count=ROWS)
    rows.to_json(PATH, orient="records", lines=True, force_ascii=False)


if __name__ == "__main__":
    main()
