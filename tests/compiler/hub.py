"""A stand-in for the Hugging Face Hub on loopback: the few routes that `snapshot_download` uses, over one folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


@contextmanager
def hub(folder: Path, repository: str, revision: str) -> Iterator[tuple[str, list[str]]]:
    """Serve `folder` as one commit of a repository; gives the endpoint, and the files that were asked for so far."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # the name that http.server calls
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            resolved = f"/{repository}/resolve/{revision}/"
            if path == f"/api/models/{repository}/revision/{revision}":
                siblings = [{"rfilename": name} for name in files]
                self._send(json.dumps({"id": repository, "sha": revision, "siblings": siblings}).encode(), with_body)
            elif path == f"/api/models/{repository}/tree/{revision}":
                entries = [{"type": "file", "path": name, "oid": "0" * 40, "size": 0} for name in files]
                self._send(json.dumps(entries).encode(), with_body)
            elif path.startswith(resolved) and path.removeprefix(resolved) in files:
                name = path.removeprefix(resolved)
                asked.append(name)
                self._send((folder / name).read_bytes(), with_body)
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RevisionNotFound" if repository in path else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _send(self, content: bytes, with_body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", revision)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: the list of files is the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
