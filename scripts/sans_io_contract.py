"""An import-linter contract: a module that reaches I/O, also indirectly, must say so in its name."""

from __future__ import annotations

from typing import Any

from importlinter import Contract, ContractCheck, fields, output


class SansIoContract(Contract):  # type: ignore[misc]  # import-linter has no types
    """`io_names`: last words of module or package names that may do I/O; `forbidden_modules`: what I/O is."""

    io_names = fields.ListField(subfield=fields.StringField())
    forbidden_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: Any, verbose: bool) -> ContractCheck:
        reaching: set[str] = set()
        for forbidden in self.forbidden_modules:
            if forbidden in graph.modules:
                reaching |= graph.find_downstream_modules(forbidden)
        roots = set(self.session_options["root_packages"])
        chains = []
        for module in sorted(reaching):
            if module.split(".")[0] in roots and not self._may_do_io(module):
                found = (
                    graph.find_shortest_chain(module, forbidden)
                    for forbidden in self.forbidden_modules
                    if forbidden in graph.modules
                )
                chains.append(min(filter(None, found), key=len))
        return ContractCheck(kept=not chains, metadata={"chains": chains})

    def _may_do_io(self, module: str) -> bool:
        return any(part.strip("_").split("_")[-1] in self.io_names for part in module.split("."))

    def render_broken_contract(self, check: ContractCheck) -> None:
        for chain in check.metadata["chains"]:
            output.print_error(" -> ".join(chain))
        output.print("\nMove the I/O out, or give the module a name that says what it touches.")
