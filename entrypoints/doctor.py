"""Check what is installed, cached and reachable, and say how to mend what is not."""

import argparse
from collections.abc import Sequence

import pandas as pd

from conceptcaps import diagnosis, tracking
from conceptcaps.errors import Failure


def command_line() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=__doc__)


def main(argv: Sequence[str] | None = None) -> None:
    command_line().parse_args(argv)
    store = diagnosis.attempted(
        "tracking store", tracking.state, mend="make server, or unset MLFLOW_TRACKING_URI to use sqlite:///mlflow.db"
    )
    found = [store, *diagnosis.checks()]
    for check in found:
        mend = f"  -> {check.mend}" if check.mend and check.state != "ok" else ""
        print(f"{check.state:<8} {check.what:<20} {check.found}{mend}")
    broken = [check.what for check in found if check.state == "broken"]
    if store.state == "ok":
        with tracking.run("doctor", {}):
            tracking.log_frame(pd.DataFrame(found), "checks.parquet")
            tracking.log_metrics(
                {f"checks/{state}": sum(one.state == state for one in found) for state in diagnosis.STATES}
            )
    if broken:
        raise Failure(f"to mend: {', '.join(broken)}")


if __name__ == "__main__":
    tracking.execute(main)
