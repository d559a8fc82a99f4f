"""`python -m tools.config_reference > docs/reference/configuration.md`: every setting, from its docstring."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Iterator
from typing import Any

from podium.kernel.config import ONLY_IN_FILE, Settings

HEAD = """# Configuration

Made by `python -m tools.config_reference` from `podium.kernel.config`; a test compares the two. A setting is
a line of `$PODIUM_HOME/config.toml` (`capacity = 4`), a variable (`PODIUM_CAPACITY=4`) or, for some, a flag
of `podium up`; the later wins. An unknown key is refused, naming the one that was probably meant.
`podium doctor --config` shows each value in force and where it comes from. `$PODIUM_HOME` itself (default
`~/.podium`) holds everything that Podium writes.

The table `[harnesses]` gives further kinds of agents a name:

```
[harnesses]
mine = "my_package.my_module:MyHarness"
```

A harness is a class as `podium.harness.base` describes it, importable where Podium runs (server and every
worker). All that are named are loaded at the start, and one that cannot be is an error there; what is merely
installed is never looked at. A name of ours in the table replaces ours.

| setting | variable | default | meaning |
|---|---|---|---|
"""


def reference() -> str:
    rows = (
        f"| `{name}` | {_variable(name)} | {_shown(default)} | {meaning} |"
        for name, default, meaning in settings()
    )
    return HEAD + "\n".join(rows) + "\n"


def settings() -> Iterator[tuple[str, Any, str]]:
    """(name, default, what its docstring says) of each, in their order. Raises KeyError for a lack of one."""
    said = _docstrings(inspect.getsource(Settings))
    plain = Settings()
    for name in Settings.__struct_fields__:
        yield name, getattr(plain, name), " ".join(said[name].split())


def _docstrings(source: str) -> dict[str, str]:
    """Python itself forgets the strings that follow fields."""
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    found = {}
    for field, after in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[field.target.id] = str(after.value.value)
    return found


def _variable(name: str) -> str:
    return "only in the file" if name in ONLY_IN_FILE else f"`PODIUM_{name.upper()}`"


def _shown(default: Any) -> str:
    if default is None or default == {}:
        return "unset"
    return f"`{str(default).lower() if isinstance(default, bool) else format(default)}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
