"""A page as it was written: its tags, what it says, and its scripts."""

from __future__ import annotations

from html.parser import HTMLParser


class Read(HTMLParser):
    """The tags of a page, its text without scripts and styles, and its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        last = self.tags[-1][0] if self.tags else ""
        if last == "script":
            self.scripts.append(data)
        elif last != "style":
            self.words.append(data)

    def figures(self) -> list[str | None]:
        return [attrs["id"] for _, attrs in self.tags if attrs.get("class") == "figure"]
