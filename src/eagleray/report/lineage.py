"""What was a run made of, and what was made of it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eagleray.report.history import History
from eagleray.store.lineage import VersionRecord


def lineage(history: History, versions: Sequence[VersionRecord]) -> list[tuple[str, str]]:
    """Facts by name, those that are known."""
    record, lock = history.record, history.lock
    fork = record.forked_from
    kept = "with its optimizer and place in the data" if fork and fork.keeps_position else "its weights alone"
    facts = {
        "pretrained model": str(history.key("model.source", "")),
        "its sha256": lock.model_sha256 if lock else "",
        "began with": f"step {fork.step:,} of {fork.run}, {kept}" if fork else "",
        "training rows": str(history.key("data.train", "") or ""),
        "fingerprint of the data": lock.data_fingerprint if lock else "",
        "commit of the working directory": lock.git_commit if lock else "",
        "seed": str(lock.seed) if lock else "",
        "software": _listed({"python": lock.python, **lock.versions}) if lock else "",
        "hardware": _listed(lock.hardware) if lock else "",
        "checkpoints": ", ".join(f"step {manifest.step:,}" for manifest in history.manifests),
        "registered as": ", ".join(f"{each.name}@{each.version}" for each in versions),
    }
    return [(name, value) for name, value in facts.items() if value]


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
