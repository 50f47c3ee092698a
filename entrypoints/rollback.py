"""Make the previous champion of a model the champion again."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name in the registry, such as conceptcaps-vae")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("rollback", vars(args)):
        name = args.model.removeprefix("models:/").partition("@")[0]
        with tracking.turn(name):
            before = tracking.alias_version(name, "champion")
            _, version, _ = tracking.model_version(f"models:/{name}@previous")
            tracking.crown(name, version)
        tracking.set_tags({"champion_before": before or "none", "champion": version})
        tracking.say(f"  rolled back  {name}: champion is version {version} again, previous is version {before}")


if __name__ == "__main__":
    tracking.execute(main)
