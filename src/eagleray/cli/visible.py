"""What of a text from elsewhere may reach a terminal? What prints, and the ends of lines; the rest is shown as escapes.

A label, a file name or an answer of a server may hold sequences that move the cursor, rename the window or turn what is
read around. A terminal must not obey them, and a log must not have lines that nobody wrote.
"""

from __future__ import annotations

import logging

_ENDS = {"\n", "\t"}
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)
"""What has a terminal show the characters after it in another order than they stand."""
_ESCAPES = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *_DIRECTIONS, 0x2028, 0x2029)
    if chr(code) not in _ENDS
}
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in _ESCAPES if code >= 0x7F}


def visible(text: str) -> str:
    """The text with everything that a terminal would obey as an escape, such as \\x1b."""
    return text.translate(_ESCAPES)


def visible_json(text: str) -> str:
    """JSON that means the same; what stands below 0x20 is escaped in it already."""
    return text.translate(_JSON_ESCAPES)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def guard_log() -> None:
    """Have warnings that nobody has set a handler for look as they do anyway, but for what a terminal would obey."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Formatter())
