"""Entry by path, without site-packages: `python -I -S __main__.py template FD | holder RUN_DIR | cgroup`."""

from __future__ import annotations

import os
import sys


def main(argv: list[str]) -> int:
    """Become the template on an inherited socket or one holder, or say where cgroup leaves can be made.

    Returns the exit code.
    """
    # `-I -S` is what keeps these processes small; it also leaves our own package off the path.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    match argv:
        case ["template", channel]:
            from podium.process import template

            template.serve(int(channel))
            return 0
        case ["holder", run_dir]:
            from podium.process import holder

            holder.hold(run_dir, holder.get_ready(set()))
            return 0
        case ["cgroup"]:
            from podium.process import cgroup

            sys.stdout.write(cgroup.find_parent())
            return 0
    sys.stderr.write("usage: template FD | holder RUN_DIR | cgroup\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
