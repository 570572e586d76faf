"""Settings of a task and parameters of a URI: meaning, allowed values and default, from their docstrings."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import docstring_parser
import msgspec
from msgspec import inspect as types

from inmateria.cli.terminal_output import plain

_NO_DEFAULT = object()


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A setting of a task, or a parameter in the query of a URI.

    Parameters
    ----------
    name : str
        As it is given; ``group.field`` for the field of a group.
    allowed : str
        Type and range, in words.
    default : str
        Default as it would be given; empty if there is none.
    meaning : str
        From the docstring, with the unit.
    """

    name: str
    allowed: str
    default: str
    meaning: str


def settings_of(settings: type[msgspec.Struct]) -> list[Parameter]:
    """List the settings of a task, from the type that holds them."""
    meanings: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        meanings |= _meanings(base)
    return [
        Parameter(
            field.encode_name, _allowed(types.type_info(field.type)), _shown(field.default),
            meanings.get(field.name, ""),
        )
        for field in msgspec.structs.fields(settings)
    ]  # fmt: skip


def parameters_of(make: Callable[..., object], among: tuple[str, ...] = ()) -> list[Parameter]:
    """List what a class or function takes that can be written in a URI, groups of parameters with their fields.

    Parameters
    ----------
    make : callable
        Class or function with a numpydoc docstring.
    among : tuple of str, optional
        Names to list; all by default.
    """
    return list(_parameters(make, among, ""))


def parameter_table(parameters: list[Parameter], title: str) -> Any:
    """Make a table of parameters, a row each, for rich."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("default", overflow="fold", max_width=24)
    table.add_column("allowed", overflow="fold", max_width=28)
    table.add_column("meaning", overflow="fold", ratio=1)
    for each in parameters:
        table.add_row(*(Text(plain(words)) for words in (each.name, each.default, each.allowed, each.meaning)))
    return table


def _parameters(make: Callable[..., object], among: tuple[str, ...], group: str) -> Iterator[Parameter]:
    from inmateria.simulators.parameters import group_types, type_name

    hints = get_type_hints(inspect.unwrap(make.__init__ if inspect.isclass(make) else make))
    meanings = _meanings(make)
    for name, parameter in inspect.signature(make).parameters.items():
        if among and name not in among:
            continue
        default = _NO_DEFAULT if parameter.default is parameter.empty else parameter.default
        kinds = group_types(hints.get(name))
        if kinds:
            chosen = type_name(type(default)) if type(default) in kinds else ""
            names = " or ".join(type_name(kind) for kind in kinds) if len(kinds) > 1 else "its fields below"
            yield Parameter(group + name, names, chosen if len(kinds) > 1 else "", meanings.get(name, ""))
            for kind in kinds:
                for field in _parameters(kind, (), f"{group}{name}."):
                    of = f"{type_name(kind)}: " if len(kinds) > 1 else ""
                    yield dataclasses.replace(field, meaning=of + field.meaning)
        else:
            words = _words(hints.get(name))
            if words or (group and not among):
                yield Parameter(group + name, words, _shown(default), meanings.get(name, ""))


def _meanings(documented: Any) -> dict[str, str]:
    """Read the Parameters section of a docstring: name to meaning."""
    own = documented.__dict__.get("__doc__") if inspect.isclass(documented) else documented.__doc__
    text = inspect.cleandoc(own or "")
    found: dict[str, str] = {}
    for entry in docstring_parser.parse(text, docstring_parser.DocstringStyle.NUMPYDOC).params:
        meaning = _without_markup(" ".join((entry.description or "").split()))
        found |= dict.fromkeys((name.strip() for name in entry.arg_name.split(",")), meaning)
    return found


def _without_markup(text: str) -> str:
    """Write reStructuredText as a terminal can show it: no roles, formulas in letters, no references."""
    text = re.sub(r":math:`(.+?)`", lambda found: re.sub(r"\\mathrm|[\\{}]", "", found[1]), text)
    return re.sub(r"``(.+?)``|`(.+?)`| ?\[\d+\]_", r"\1\2", text)


def _shown(default: Any) -> str:
    """Write a default as it would be given on the command line."""
    if default is _NO_DEFAULT or default is msgspec.NODEFAULT or default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple | list):
        return ",".join(map(_shown, default))
    return str(default)


def _words(hint: Any) -> str:
    """Describe the types of an annotation that a word of a URI can have; empty if there are none."""
    parts = get_args(hint) if get_args(hint) and get_origin(hint) is not Literal else (hint,)
    known: list[str] = []
    for each in parts:
        if get_origin(each) is Literal:
            known += map(str, get_args(each))
        elif each in (int, float, bool, str):
            known.append(_allowed(types.type_info(each)))
    return " or ".join(known)


def _allowed(kind: Any) -> str:
    """Describe a type of msgspec, with its range."""
    if isinstance(kind, types.UnionType):
        return " or ".join(_allowed(each) for each in kind.types if not isinstance(each, types.NoneType))
    if isinstance(kind, types.LiteralType):
        return " or ".join(map(str, kind.values))
    if isinstance(kind, types.IntType | types.FloatType):
        word = "whole number" if isinstance(kind, types.IntType) else "number"
        if kind.ge is not None and kind.le is not None:
            return f"{word}, {kind.ge:g} to {kind.le:g}"
        bounds = (
            ("more than {:g}", kind.gt),
            ("{:g} or more", kind.ge),
            ("less than {:g}", kind.lt),
            ("at most {:g}", kind.le),
        )
        return ", ".join([word, *(words.format(bound) for words, bound in bounds if bound is not None)])
    if isinstance(kind, types.BoolType):
        return "true or false"
    if isinstance(kind, types.StrType):
        return "text"
    if isinstance(kind, types.VarTupleType):
        return f"list, each {_allowed(kind.item_type)}"
    if isinstance(kind, types.TupleType):
        return f"{len(kind.item_types)} values, each {_allowed(kind.item_types[0])}"
    return type(kind).__name__.removesuffix("Type").lower()
