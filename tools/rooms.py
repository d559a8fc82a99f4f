"""An import-linter contract type: what one room of the house may import, as a list of what is allowed.

The built-in `forbidden` type names what is not allowed and refuses to run while a named package does not
exist yet. Rooms appear one by one, and a new one must start closed, so this type is the other way round.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class RoomContract(Contract):
    """`room` imports, of our rooms, only those in `may_import`; of other packages anything, or `externals`.

    `rooms`: packages that this contract is about; one that does not exist yet is passed over.
    `may_import`: packages they may import directly, besides themselves.
    `externals`: when given, the only third-party packages they may import; the standard library always.
    """

    type_name = "room"

    rooms = fields.SetField(subfield=fields.StringField())
    may_import = fields.SetField(subfield=fields.StringField(), required=False)
    externals = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Kept when no room imports directly what it may not."""
        rooms: set[str] = self.rooms  # type: ignore[assignment]  # fields are descriptors of plain values
        broken = [link for room in sorted(rooms) for link in self._forbidden_links(graph, room)]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, line in check.metadata["broken"]:
            output.print_error(f"{importer} must not import {imported} (line {line})")

    def _forbidden_links(self, graph: ImportGraph, room: str) -> Iterator[tuple[str, str, int]]:
        inside = {module for module in graph.modules if module == room or module.startswith(f"{room}.")}
        for importer in sorted(inside):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if imported not in inside and not self._allows(imported, root=room.split(".")[0]):
                    details = graph.get_import_details(importer=importer, imported=imported)
                    yield importer, imported, details[0]["line_number"] if details else 0

    def _allows(self, imported: str, root: str) -> bool:
        if imported == root:
            return True  # the package itself: its version
        may_import: set[str] = self.may_import or set()  # type: ignore[assignment]
        if imported.startswith(f"{root}."):
            return any(imported == room or imported.startswith(f"{room}.") for room in may_import)
        externals: set[str] | None = self.externals  # type: ignore[assignment]
        top = imported.split(".")[0]
        return externals is None or top in externals or top in sys.stdlib_module_names
