"""YAML as people write recipes in it: read to whatever stands there, and written with short lists on one line.

Owns the text alone; what the values mean is `recipe`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from ftft_core.config.unique_keys import UniqueKeyLoader
from ftft_core.errors import InputError


def values_of(text: str, *, what: str = "The recipe") -> object:
    """Read what stands in YAML, whatever it is.

    :raises InputError: when it is no YAML.
    """
    half = re.search(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}", text)
    if half:
        raise InputError(f"{what} is not valid YAML ({half[0]} is half of a character; write the character itself).")
    try:
        return yaml.load(text, Loader=UniqueKeyLoader)
    except RecursionError as failure:
        raise InputError(f"{what} is not valid: its lists or mappings are nested too deeply.") from failure
    except (yaml.YAMLError, ValueError) as failure:
        said = " ".join(str(failure).replace('in "<unicode string>", ', "").split())
        raise InputError(f"{what} is not valid YAML ({said}).") from failure


def yaml_of(values: Mapping[str, Any]) -> str:
    """Write a recipe's mapping as YAML, short lists on one line."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values, and mappings of them, on one line; 2.0 is written 2."""


def _one_line(dumper: yaml.SafeDumper, value: Any) -> yaml.Node:
    parts = value.values() if isinstance(value, dict) else value
    is_flat = not any(isinstance(part, dict | list | tuple) for part in parts)
    if isinstance(value, dict):
        return dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=is_flat and "suite" not in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=is_flat)


def _plainly(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    return dumper.represent_data(int(value)) if value == int(value) else yaml.SafeDumper.represent_float(dumper, value)


for _kind in (dict, list, tuple):
    _Dumper.add_representer(_kind, _one_line)
_Dumper.add_representer(float, _plainly)
