"""Requests that no client would send, and what a refusal has to be."""

import asyncio
import json
from dataclasses import dataclass

from starlette.datastructures import Headers

from houndsight.web.app import ROUTERS

HOST = ("host", "127.0.0.1:8000")


@dataclass
class Reply:
    """An answer to `call`."""

    status_code: int
    headers: Headers
    content: bytes
    asked: int  # how often the app asked for more of the body

    @property
    def text(self):
        return self.content.decode()

    def json(self):
        return json.loads(self.content)


async def call(app, method, path, *, headers=(), chunks=(), query="", then="wait", pause=0.0):
    """Call an app directly: any headers, twice if need be, and a body in any pieces.

    After the last chunk the body ends (`then="end"`), or the client keeps still (``wait``) or goes
    (``go``).
    """
    left, asked, sent = list(chunks), 0, []

    async def receive():
        nonlocal asked
        asked += 1
        if left:
            await asyncio.sleep(pause)
            more = len(left) > 1 or then != "end"
            return {"type": "http.request", "body": left.pop(0), "more_body": more}
        if then == "go":
            return {"type": "http.disconnect"}
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    await asyncio.wait_for(app(scope, receive, send), 10)
    if not sent:
        return None
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(sent[0]["status"], Headers(raw=sent[0]["headers"]), body, asked)


def refused(answer, status, code):
    """Assert that an answer is a refusal in JSON, with what can be done about it."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["remedy"]
    return error


def routes(item="0" * 16, query="0" * 64):
    """Return each (method, path) that the app has, what is variable in it filled in."""
    found = []
    for route in [route for router in ROUTERS for route in router.routes]:
        key = query if route.path.startswith("/query") else item
        path = route.path.format(item_id=item, key=key, number=1, side="query")
        found += [(method, path) for method in sorted(route.methods)]
    assert len(found) > 30
    return found


def multipart(*parts, boundary=b"frontier"):
    """Return a body of (head of a part, its content), and its content type."""
    lines = [b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, data) for head, data in parts]
    return b"".join(
        lines
    ) + b"--%b--\r\n" % boundary, f"multipart/form-data; boundary={boundary.decode()}"


def image_part(data, name=b"mine.jpg"):
    return b'Content-Disposition: form-data; name="image"; filename="%b"' % name, data
