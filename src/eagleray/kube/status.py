"""What the operator tells of a document in the cluster: the status of both kinds."""

from __future__ import annotations

from typing import Any

from eagleray.kube.structural import MAX_LENGTH

Schema = dict[str, Any]


def of_fine_tune() -> Schema:
    """How far a run is, and what came of it."""
    return _status(
        {
            "phase": _text("Where in its life it is."),
            "message": _text("What that means, in words."),
            "document": _text("Which document the job carries, by its digest."),
            "attempt": _number("Which job of that document it is."),
            "finished": _text("Which document has come to its end, by its digest."),
            "outcome": _text("How that one ended: Promoted, NotPromoted or Failed."),
            "run": _text("The run on the storage."),
            "progress": _text("Steps done, of how many: 120/600."),
            "bestMetric": _text("The best there is so far: f1_macro 0.912."),
            "version": _number("The registered version that came of it."),
            "endpointURL": _text("Where the model answers."),
            "restarts": _number("How often its pods were made anew."),
        }
    )


def of_endpoint() -> Schema:
    """Whether an endpoint answers, with what, and where."""
    return _status(
        {
            "phase": _text("Where in its life it is."),
            "message": _text("What that means, in words."),
            "failed": _text("What did not come to answer and was taken back, by its digest."),
            "rollout": _text("What is asked for now, by its digest."),
            "rolloutSince": _text("Since when."),
            "versions": _text("The versions that answer: demo@3."),
            "endpointURL": _text("Where it answers."),
            "replicas": _number("Pods that answer."),
            "selector": _text("The labels of those pods, for `kubectl scale`."),
        }
    )


def _status(keys: dict[str, Schema]) -> Schema:
    known = {
        "conditions": _conditions(),
        "observedGeneration": _number("The generation of the document that this tells of."),
        **keys,
    }
    return {"type": "object", "description": "What became of it; the operator writes it.", "properties": known}


def _conditions() -> Schema:
    """As the Kubernetes API conventions have them, each type once."""
    entry = {
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": _text("What it is about.", max_length=316),
            "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
            "observedGeneration": _number("The generation of the document that it was found of."),
            "lastTransitionTime": {"type": "string", "format": "date-time", "description": "Since when."},
            "reason": _text("Why, in a word.", max_length=1024),
            "message": _text("Why, and what to do about it.", max_length=32768),
        },
    }
    return {
        "type": "array",
        "description": "What holds of it, and what does not.",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": entry,
    }


def _text(description: str, *, max_length: int = MAX_LENGTH) -> Schema:
    return {"type": "string", "maxLength": max_length, "description": description}


def _number(description: str) -> Schema:
    return {"type": "integer", "format": "int64", "description": description}
