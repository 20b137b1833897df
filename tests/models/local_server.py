"""A server on this machine that can fail in every way."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILES = Path(__file__).parents[1] / "fixtures" / "checkpoints"
CONTENT = (FILES / "zip.pth").read_bytes()


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `answers`; the last answers for ever."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = [("whole", CONTENT)]
        self.requests = 0
        self.release = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/weights.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        kind, value = server.answers[min(server.requests, len(server.answers) - 1)]
        server.requests += 1
        if kind == "status":
            self.send_error(value)
            return
        self.send_response(200)
        if kind != "endless":
            self.send_header("Content-Length", str(len(value)))
        self.end_headers()
        try:
            if kind == "cut":
                self.wfile.write(value[: len(value) // 2])
            elif kind == "hang":
                self.wfile.write(value[: len(value) // 2])
                self.wfile.flush()
                server.release.wait(30)
            elif kind == "endless":
                for _ in range(1000):
                    self.wfile.write(value)
            else:
                self.wfile.write(value)
        except ConnectionError:  # the client has had enough
            pass

    def log_message(self, *_):
        pass


def files(cache):
    """What lies in a cache, but for the lock."""
    return sorted(
        str(path.relative_to(cache))
        for path in cache.rglob("*")
        if path.is_file() and path.name != "lock"
    )
