"""`./podium bench [--json]` measures; `./podium bench growth` draws curves; `./podium bench faults --kills N
[--seed S]` kills. All, with `--database postgresql`, on a cluster of their own."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["faults"]:
        return _faults(arguments[1:])
    if arguments[:1] == ["growth"]:
        return _growth(arguments[1:])
    return _figures(arguments)


@contextmanager
def _on(database: str) -> Iterator[None]:
    """Whatever is measured inside stands on that database."""
    if database == "sqlite":
        yield
        return
    from podium.testing.databases import chosen
    from podium.testing.postgresql import Cluster

    cluster = Cluster()
    try:
        cluster.start()
        chosen.use(cluster.databases)
        yield
    finally:
        cluster.remove()


def _database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")


def _faults(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="podium bench faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how many processes to kill (default 50)")
    parser.add_argument("--seed", type=int, help="play a campaign again")
    parser.add_argument(
        "--json", action="store_true", help="accepted for symmetry; the answer always is JSON"
    )
    _database(parser)
    chosen = parser.parse_args(arguments)
    from bench.faults import run_campaign

    with _on(chosen.database):
        result = run_campaign(chosen.kills, chosen.seed)
    print(json.dumps(result))
    return 1 if result["lost"] or result["doubled"] or result["stuck"] else 0


def _figures(arguments: list[str]) -> int:
    from bench.telling import add_options, tell

    parser = argparse.ArgumentParser(prog="podium bench", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="figures whose name contains this word")
    parser.add_argument("--full", action="store_true", help="also 500 agents and 1,000,000 tasks")
    parser.add_argument(
        "--times", type=int, default=1, metavar="N", help="take each N times, tell the median"
    )
    add_options(parser)
    _database(parser)
    chosen = parser.parse_args(arguments)
    from bench.figures import measure

    with _on(chosen.database):
        figures = measure(chosen.only, full=chosen.full, times=chosen.times)
    return tell(figures, chosen)


def _growth(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="podium bench growth", description=__doc__)
    parser.add_argument("--full", action="store_true", help="to 1,000,000 tasks and 500 agents")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    _database(parser)
    chosen = parser.parse_args(arguments)
    from bench.growth import grown, table

    with _on(chosen.database):
        curves = grown(full=chosen.full)
    if chosen.json:
        print(json.dumps(curves))
    else:
        for name, rows in curves.items():
            print("\n".join((*table(name, rows), "")))
    return 0


if __name__ == "__main__":
    # So that a bench that is stopped ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
