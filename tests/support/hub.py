"""A hub of one data set on this machine, as far as `datasets` asks it: who sets HF_ENDPOINT to it needs no network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = hashlib.sha1(b"the only one").hexdigest()
REVISIONS = ("main", "v1.0", COMMIT)


@contextmanager
def served(name: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a hub that has these files of the data set `name`, at every one of `REVISIONS`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(name, files))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(name: str, files: Mapping[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            kind, _, rest = path.removeprefix("/api").removeprefix(f"/datasets/{name}").strip("/").partition("/")
            revision, _, file = rest.partition("/")
            if not path.removeprefix("/api").startswith(f"/datasets/{name}"):
                self._refuse("RepoNotFound")
            elif revision and revision not in REVISIONS:
                self._refuse("RevisionNotFound")
            elif kind == "resolve" and file in files:
                self._answer(files[file], "application/octet-stream")
            elif kind == "tree":
                self._tell([_entry(each, files[each]) for each in files])
            elif kind in ("", "revision"):
                self._tell({"id": name, "sha": COMMIT, "siblings": [{"rfilename": each} for each in files]})
            else:
                self._refuse("EntryNotFound")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._tell([_entry(each, files[each]) for each in body["paths"] if each in files])

        def _tell(self, answer: Any) -> None:
            self._answer(json.dumps(answer).encode(), "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{_digest(body)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": _digest(content)}


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
