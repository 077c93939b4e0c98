"""Which languages can be told from a text: the codes (ISO 639) that `data.clean.languages` may name."""

from __future__ import annotations

_CODES = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr "
    "fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko "
    "ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru "
    "rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo "
    "yue zh zu zxx"
)
TELLABLE = tuple(_CODES.split())
"""What py3langid 0.4 tells apart; `zxx` is text in no language."""

_NAMES = {"english": "en", "german": "de", "french": "fr", "spanish": "es", "chinese": "zh", "cn": "zh", "jp": "ja"}


def refusal(code: str) -> str | None:
    """Say why a code is none of them; None where it is one."""
    if code in TELLABLE:
        return None
    # "deu", "zh-CN": longer codes begin as the short ones do, mostly.
    close = _NAMES.get(code.lower()) or next(iter(each for each in TELLABLE if each == code[:2].lower()), None)
    hint = f"did you mean `{close}`? " if close else ""
    return f"`{code}` is no language that can be told from a text: {hint}Allowed are {', '.join(TELLABLE)}"
