"""Manifests as text: the same manifest is always the same text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from eagleray.spec.yaml_text import UNICODE_BREAKS


class _Dumper(yaml.SafeDumper):
    """Lists indented as kubectl writes them, texts of several lines as blocks, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if UNICODE_BREAKS.intersection(value) else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(value: Mapping[str, Any]) -> str:
    """One mapping, its keys sorted."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=True, default_flow_style=False, allow_unicode=True, width=120)


def dump_all(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Several documents in one text."""
    return "---\n".join(dump(manifest) for manifest in manifests)
