"""Conversion of TOML to frozen dataclasses, with checked keys and types."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from srkit.errors import ResourceError, UsageError, nearest
from srkit.recipes.bounds import Bounded

R = TypeVar("R")
SHIPPED = Path(__file__).parent


class Recipe(Bounded):
    """Base class of recipes that are recorded; subclasses are frozen dataclasses."""

    @property
    def sha256(self) -> str:
        """Hash of the resolved recipe, which is recorded in the weights' header."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()


def shipped_recipes() -> list[str]:
    """Names of the recipes shipped with the package."""
    return sorted(p.stem for p in SHIPPED.glob("*.toml"))


def read_table(source: str | Path, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Plain, unchecked values of a recipe, from a shipped name or a TOML file, with `key=value` settings applied.

    Raises:
        UsageError: the file is not TOML, or a setting is not `key=value`.
        ResourceError: the recipe or file does not exist.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = SHIPPED / f"{source}.toml"
        if not path.is_file():
            known = shipped_recipes()
            raise ResourceError(
                f"There is no recipe '{source}'; shipped are {', '.join(known)}, or give a .toml file."
                f"{nearest(str(source), known)}"
            )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResourceError(
            f"The recipe '{path}' cannot be read: {error.strerror}; check the path."
        ) from error
    except (ValueError, RecursionError) as error:  # bad TOML, bad UTF-8, numbers too long, tables too deep
        raise UsageError(f"The recipe '{path}' is not valid TOML: {error}.") from error
    set_values(table, settings)
    return table


def set_values(table: dict[str, Any], settings: Sequence[str]) -> None:
    """Apply `key=value` settings to a recipe's plain values in order; later settings override earlier ones.

    Raises:
        UsageError: a setting is not `key=value`, or its key treats a value as a table.
    """
    for setting in settings:
        lay_over(table, *_key_and_value(setting))


def from_settings(kind: type[R], settings: Sequence[str], flags: Mapping[str, Any]) -> R:
    """Recipe from defaults, overridden by `key=value` settings, overridden by flags.

    Args:
        flags: values by key; a flag that equals the recipe's default does not override a setting.

    Raises:
        UsageError: as `from_mapping` and `set_values`.
    """
    table = to_mapping(kind())
    defaults = copy.deepcopy(table)
    set_values(table, settings)
    for key, value in flags.items():
        default: Any = defaults
        for part in key.split("."):
            default = default[part]
        if value != default:
            lay_over(table, key, value)
    return from_mapping(kind, table)


def from_mapping(kind: type[R], table: Mapping[str, Any], where: str = "") -> R:
    """Build the dataclass `kind` from a mapping; keys and types are checked recursively.

    Raises:
        UsageError: an unknown key (the nearest is named), a missing one, a wrong type, or a number out of bounds.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            known = _nearest_key(key, hints) or f" Known are {', '.join(hints)}."
            raise UsageError(f"'{where}{key}' is no setting of this recipe.{known}")
        values[key] = _convert(hints[key], value, f"{where}{key}")
    for field in dataclasses.fields(typing.cast(Any, kind)):
        if field.name not in values and not _has_default(field):
            raise UsageError(f"The recipe lacks '{where}{field.name}'; add it.")
    return kind(**values)


def lay_over(table: dict[str, Any], key: str, value: Any) -> None:
    """Set `key`, in which dots separate the names of nested tables, in a recipe's plain values.

    Raises:
        UsageError: an inner name of the key is a value, not a table.
    """
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UsageError(f"'{key}' cannot be set: '{parent}' is a value, not a table.")
    table[last] = value


def merge(table: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Merge plain values into a recipe's, table by table."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), dict):
            merge(table[key], value)
        else:
            table[key] = copy.deepcopy(value)  # later changes of the table must not change `over`


def to_mapping(recipe: Any) -> dict[str, Any]:
    """Plain values of the whole recipe, defaults included."""
    return dataclasses.asdict(recipe)


def to_toml(recipe: Any) -> str:
    """The resolved recipe as TOML, which loads back to an equal recipe."""
    return _toml_table(to_mapping(recipe), "").lstrip("\n")


def _nearest_key(key: str, hints: Mapping[str, Any]) -> str:
    """Closest known key, as by `nearest`; the key of a nested table is preferred, with the table's name."""
    for name, hint in hints.items():
        if dataclasses.is_dataclass(hint) and key in typing.get_type_hints(hint):
            return f" Did you mean '{name}.{key}'?"
    return nearest(key, hints)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _key_and_value(setting: str) -> tuple[str, Any]:
    key, sep, text = setting.partition("=")
    if not sep or not key:
        raise UsageError(f"'{setting}' is no setting; write key=value, for example optim.lr=2e-4.")
    try:
        return key.strip(), tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return key.strip(), text  # a bare word is a string


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, where)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UsageError(f"'{where}' is {value!r}; it must be one of {', '.join(map(repr, choices))}.")
        return value
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UsageError(f"'{where}' is {value!r}; it must be a table.")
        return from_mapping(typing.cast(type[Any], hint), value, f"{where}.")
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise UsageError(f"'{where}' is {value!r}; it must be a list.")
        return tuple(_convert(typing.get_args(hint)[0], v, where) for v in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UsageError(f"'{where}' is {value!r}; it must be a table.")
        return {key: _convert(typing.get_args(hint)[1], v, f"{where}.{key}") for key, v in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise UsageError(f"'{where}' is {value!r}; it must be of type {hint.__name__}.")
    return value


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """Convert to the first of several types that accepts the value; errors are those of the last type."""
    if value is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    for option in options[:-1]:
        try:
            return _convert(option, value, where)
        except UsageError:
            continue
    return _convert(options[-1], value, where)


def _toml_table(table: Mapping[str, Any], prefix: str) -> str:
    plain = [
        f"{_toml_key(k)} = {_toml_value(v)}"
        for k, v in table.items()
        if not isinstance(v, Mapping) and v is not None
    ]
    text = "\n".join(plain) + ("\n" if plain else "")
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = prefix + _toml_key(key)
            text += f"\n[{name}]\n" + _toml_table(value, f"{name}.")
    return text


def _toml_key(key: str) -> str:
    """Key, quoted if it is not a valid bare key: names of a network's parts contain dots."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are valid in TOML except for this character; invalid UTF-8 becomes a question mark.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        return text.encode("utf-8", "replace").decode("utf-8")
    return repr(value)
