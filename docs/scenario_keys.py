"""The keys of a scenario file as a table, made from the models that check them (`harness/scenario.py`)."""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ByteSize

from harness import scenario

WRITTEN = {
    scenario.parse_duration: 'time: `"400 ms"`',
    scenario.parse_share: 'share: `"2%"`',
}
"""What reads a value -> how it is written in the file, with its unit."""


def keys_table(name: str) -> str:
    """Return a Markdown table of the keys of one of the models: what they mean, how written, and what is usual.

    Args:
        name: Of the class in `harness/scenario.py`.

    Raises:
        KeyError: A key is not described in the docstring of its model.
        AttributeError: There is no such model.
        TypeError: A key is of a type that this does not know.
    """
    model: type[BaseModel] = getattr(scenario, name)
    meanings = _attributes(inspect.getdoc(model) or "")
    rows = ["| key | | written | if left out |", "| --- | --- | --- | --- |"]
    for key, field in model.model_fields.items():
        parts = [*field.metadata, *_parts(field.annotation)]
        several = any(get_origin(part) is tuple for part in parts)
        more = "" if not several else ", in a list" if model is scenario.Scenario else ", or a list: an axis"
        if key == "name":
            usual = "the file's name"
        else:
            usual = "it is needed" if field.is_required() else _usual(field.default, parts)
        rows.append(f"| `{key}` | {meanings[key]} | {_written(parts)}{more} | {usual} |")
    return "\n".join(rows)


def _attributes(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    _, _, text = docstring.partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", text, re.MULTILINE)
    return {key: _in_the_file(" ".join(words.split())) for key, words in found}


def _in_the_file(words: str) -> str:
    """Return what is said of a value in the program in the words of the file, where values carry their units."""
    return re.sub(r",? in (seconds|bytes)\b(?! per)", "", words).replace("None", "left out")


def _parts(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - types have none
    """Yield a type and all that it is made of, validators included."""
    yield annotation
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from _parts(part)


def _written(parts: list[Any]) -> str:
    for part in parts:
        if isinstance(part, BeforeValidator) and part.func in WRITTEN:
            return WRITTEN[part.func]
        if part is ByteSize:
            return 'size: `"64 KiB"`'
        if get_origin(part) is Literal:
            return ", ".join(f'`"{value}"`' for value in get_args(part))
    if any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts):
        return "a table"
    names = {bool: "`true` or `false`", int: "number", float: "number", str: "text"}
    for kind, words in names.items():
        if kind in parts:
            return words
    raise TypeError(f"there are no words for how {parts[0]} is written")


def _usual(value: Any, parts: list[Any]) -> str:  # noqa: ANN401 - of any key
    values = value if isinstance(value, tuple) else (value,)
    if not values or value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "as below"
    if any(isinstance(part, BeforeValidator) and part.func is scenario.parse_duration for part in parts):
        return f'`"{values[0]:g} s"`' if values[0] else "none"
    return f"`{str(values[0]).lower() if isinstance(values[0], bool) else values[0]}`"
