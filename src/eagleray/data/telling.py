"""Which language is a text in?"""

from __future__ import annotations

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier


def language(text: str) -> tuple[str, float]:
    """Return the likeliest language (ISO 639) and how sure that is, 0 to 1; near 0 for what is in none, as emoji."""
    code, confidence = _identifier().classify(text)
    return str(code), float(confidence)


@cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
