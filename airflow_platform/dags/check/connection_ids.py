"""Which connection ids a text names: as they stand there, or by a name that is given to one."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

HOOK = "SnowflakeHook"
"""The hook whose first argument is a connection id."""

_LONGEST = 250
"""Characters of a connection id, in Airflow's database."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Elsewhere:
    """A name of another file."""

    module: str
    """With dots; "" where only dots stand before the name."""
    level: int = 0
    """Dots before it."""
    name: str = ""
    """In that module; "" for the module itself."""

    def below(self, names: list[str]) -> Elsewhere:
        """What `this.names` means: the name may be a module itself."""
        parts = [part for part in (self.module, self.name, *names[:-1]) if part]
        return Elsewhere(".".join(parts), self.level, names[-1])


@dataclass(frozen=True)
class Connection:
    """A connection id that stands in the text."""

    id: str
    """ "" where another file has it."""
    line: int
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True)
class Constant:
    """A text that is given a name at the top of a file, and could be a connection id."""

    name: str
    value: str


_Scope = Mapping[str, str | Elsewhere | None]
"""What names mean; None for what is known when it runs only."""


def of(tree: ast.Module) -> tuple[Connection, ...]:
    """All connection ids that a file names, by line."""
    found = set(_below(tree, _bound(tree.body)))
    return tuple(sorted(found, key=lambda each: (each.line, each.id, str(each.elsewhere))))


def constants(tree: ast.Module) -> tuple[Constant, ...]:
    """What other files could name."""
    bound = _bound(tree.body).items()
    return tuple(
        Constant(name, value) for name, value in bound if isinstance(value, str) and _could_be(value)
    )


def _could_be(value: str) -> bool:
    return 0 < len(value) <= _LONGEST and "{{" not in value and not any(map(str.isspace, value))


def _below(node: ast.AST, scope: _Scope) -> Iterator[Connection]:
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, _Function):
            arguments = child.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            inner = {**scope, **dict.fromkeys(each.arg for each in every), **_bound(child.body)}
        elif isinstance(child, ast.Call):
            yield from _named(child, scope)
        yield from _below(child, inner)


def _named(call: ast.Call, scope: _Scope) -> Iterator[Connection]:
    """The ids that a call is given."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [each.value for each in call.keywords if (each.arg or "").endswith("conn_id")]
    if called in (HOOK, "get_connection") and call.args:
        given.append(call.args[0])
    for value in given:
        meant = _meaning(value, scope)
        if isinstance(meant, Elsewhere):
            yield Connection("", value.lineno, meant)
        elif meant and "{{" not in meant:
            yield Connection(meant, value.lineno)


def _meaning(value: ast.expr, scope: _Scope) -> str | Elsewhere | None:
    if isinstance(value, ast.Constant):
        return value.value if isinstance(value.value, str) else None
    names: list[str] = []
    while isinstance(value, ast.Attribute):
        names.insert(0, value.attr)
        value = value.value
    meant = scope.get(value.id) if isinstance(value, ast.Name) else None
    if isinstance(meant, Elsewhere):
        return meant.below(names) if names else meant if meant.name else None
    return None if names else meant


def _bound(statements: Iterable[ast.stmt]) -> dict[str, str | Elsewhere | None]:
    """What names mean in a scope; a name that means several things is known when it runs only."""
    found: dict[str, str | Elsewhere | None] = {}
    constant: set[int] = set()
    for node in _own(statements):
        given = list(_given(node))
        constant.update(id(name) for name, _ in given)
        meanings = [*_imported(node), *((name.id, value) for name, value in given)]
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in constant:
            meanings.append((node.id, None))
        for name, meaning in meanings:
            found[name] = meaning if found.get(name, meaning) == meaning else None
    return found


def _imported(node: ast.AST) -> Iterator[tuple[str, Elsewhere | None]]:
    """The names that an import statement gives."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, Elsewhere(alias.name if alias.asname else top)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, Elsewhere(node.module or "", node.level, alias.name)


def _given(node: ast.AST) -> Iterator[tuple[ast.Name, str]]:
    """The names that an assignment gives to a text."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
        for target in node.targets if isinstance(node, ast.Assign) else (node.target,):
            if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                yield target, node.value.value


def _own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of functions and classes in it."""
    for node in nodes:
        yield node
        if not isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            yield from _own(ast.iter_child_nodes(node))
