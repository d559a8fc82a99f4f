"""The small real project of `podium demo`: a cash register with three bugs, a failing test for each, and
the scripts by which three agents mend them. Plain data."""

from __future__ import annotations

import json
import sys
from typing import Any

FILES: dict[str, str] = {
    "README.md": "# till\n\nThe arithmetic of a cash register. `python -m unittest` runs its tests.\n",
    "till/__init__.py": '"""The arithmetic of a cash register."""\n',
    "till/money.py": '''"""Amounts as people write them."""


def parse_amount(text: str) -> int:
    """Cents of an amount such as `12.50` or `1,234.50`."""
    whole, _, fraction = text.strip().partition(".")
    return int(whole) * 100 + int(fraction.ljust(2, "0") or 0)
''',
    "till/tax.py": '''"""Taxes on amounts in cents."""


def with_tax(net: int, percent: int) -> int:
    """The gross amount, half a cent rounded up."""
    return net + net * percent // 100
''',
    "till/receipt.py": '''"""What the printer gets."""

WIDTH = 24


def line(name: str, cents: int) -> str:
    """One line of a receipt, never wider than the paper."""
    amount = f"{cents // 100}.{cents % 100:02d}"
    return name.ljust(WIDTH - len(amount)) + amount
''',
    "tests/__init__.py": "",
    "tests/test_money.py": """import unittest

from till.money import parse_amount


class Money(unittest.TestCase):
    def test_plain_amounts(self):
        self.assertEqual(parse_amount("12.50"), 1250)

    def test_amounts_with_thousands_separators(self):
        self.assertEqual(parse_amount("1,234.50"), 123450)
""",
    "tests/test_tax.py": """import unittest

from till.tax import with_tax


class Tax(unittest.TestCase):
    def test_whole_cents(self):
        self.assertEqual(with_tax(1000, 19), 1190)

    def test_half_a_cent_is_rounded_up(self):
        self.assertEqual(with_tax(150, 19), 179)
""",
    "tests/test_receipt.py": """import unittest

from till.receipt import WIDTH, line


class Receipt(unittest.TestCase):
    def test_the_amount_stands_at_the_right(self):
        self.assertEqual(line("Tea", 250), "Tea" + " " * 17 + "2.50")

    def test_a_long_name_does_not_widen_the_paper(self):
        self.assertEqual(len(line("Sparkling mineral water", 1250)), WIDTH)
""",
}


class Repair:
    """One bug: what the agent is asked, what it thinks, what it changes."""

    def __init__(self, module: str, title: str, thought: str, old: str, new: str) -> None:
        self.title = title
        self.module = module
        self._thought = thought
        self._old = old
        self._new = new

    @property
    def test(self) -> list[str]:
        # -B: bytecode would be a file that nobody committed.
        return [sys.executable, "-B", "-m", "unittest", f"tests.test_{self.module}"]

    @property
    def prompt(self) -> str:
        """The task, and below it the script that a model would otherwise have thought of."""
        return f"{self.title}: make tests/test_{self.module}.py pass.\n\n```script\n{self._script()}\n```\n"

    def _script(self) -> str:
        path = f"till/{self.module}.py"
        steps: list[dict[str, Any]] = [
            {"id": "see-it-fail", "do": "run", "argv": self.test, "expect_code": 1},
            {"id": "think", "do": "think", "text": self._thought},
            {"id": "look-around", "do": "wait", "duration_ms": 300},
            {"id": "mend", "do": "edit", "path": path, "old": self._old, "new": self._new},
            {"id": "see-it-pass", "do": "run", "argv": self.test, "expect_code": 0},
            {"id": "save", "do": "commit", "message": self.title},
            {"id": "account", "do": "usage", "input_tokens": 1200, "output_tokens": 90},
            {"id": "report", "do": "say", "text": f"{self.title}: mended in {path}, its tests pass."},
        ]
        return json.dumps({"steps": steps}, indent=1)


REPAIRS = (
    Repair(
        "money",
        "Read amounts with thousands separators",
        "int() refuses the comma; separators carry no meaning, so drop them first.",
        "int(whole) * 100",
        'int(whole.replace(",", "")) * 100',
    ),
    Repair(
        "tax",
        "Round half a cent up",
        "Floor division cuts; adding half of the divisor first rounds half up.",
        "net * percent // 100",
        "(net * percent + 50) // 100",
    ),
    Repair(
        "receipt",
        "Keep long names within the paper",
        "ljust never cuts; take the part of the name that fits before the amount.",
        "name.ljust(WIDTH - len(amount))",
        "name[: WIDTH - len(amount)].ljust(WIDTH - len(amount))",
    ),
)
