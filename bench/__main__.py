"""`./podium bench [--json]` measures; `./podium bench growth` draws curves; `./podium bench faults --kills N
[--seed S]` kills."""

from __future__ import annotations

import argparse
import json
import signal
import sys


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["faults"]:
        return _faults(arguments[1:])
    if arguments[:1] == ["growth"]:
        return _growth(arguments[1:])
    return _figures(arguments)


def _faults(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="podium bench faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="how many processes to kill (default 50)")
    parser.add_argument("--seed", type=int, help="play a campaign again")
    parser.add_argument(
        "--json", action="store_true", help="accepted for symmetry; the answer always is JSON"
    )
    chosen = parser.parse_args(arguments)
    from bench.faults import run_campaign

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
    chosen = parser.parse_args(arguments)
    from bench.figures import measure

    figures = measure(chosen.only, full=chosen.full, times=chosen.times)
    return tell(figures, chosen)


def _growth(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="podium bench growth", description=__doc__)
    parser.add_argument("--full", action="store_true", help="to 1,000,000 tasks and 500 agents")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    chosen = parser.parse_args(arguments)
    from bench.growth import grown, table

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
