"""YAML as DVC reads it: version 1.2, where ``010`` is ten, ``1e-3`` a number and ``yes`` a string.

DVC decides by its own reading of params.yaml whether a stage must run again, so all other code must read it alike.
"""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.util import load_yaml_guess_indent

__all__ = ["YAMLError", "edit_yaml", "explain_yaml", "parse_yaml"]


def parse_yaml(text: str) -> Any:
    """Parse a document.

    Raises:
        YAMLError: If the text is not valid YAML, or repeats a key.
    """
    return YAML(typ="safe").load(text)


def explain_yaml(error: YAMLError) -> str:
    """Describe in one line what is wrong with a document, and where."""
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def edit_yaml(text: str, changes: Mapping[str, Any]) -> str:
    """Change some values of a document; comments and the notation of all other values stay as they are.

    Args:
        text: A document that is a mapping.
        changes: New values by top-level key. A mapping is merged into the mapping that the document has.

    Returns:
        The new text.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1000  # so that no line is wrapped
    _, sequence, offset = load_yaml_guess_indent(text)
    yaml.indent(sequence=sequence, offset=offset)
    values = yaml.load(text)
    for key, value in changes.items():
        if isinstance(value, Mapping):
            values[key] |= value
        else:
            values[key] = value
    edited = io.StringIO()
    yaml.dump(values, edited)
    return edited.getvalue()
