"""Serves a gallery with the fake network: python serving.py TESTS GALLERY RULES PORT.

RULES are `Rules` as JSON; beside them may stand "set", new values of the web modules' constants
(``{"server.HEAD_S": 1}``), and "wait", seconds that the network takes for each photo. Prints the
address, and the link if there is one, each on a line.
"""

import json
import sys
import time
from importlib import import_module


def main(tests, gallery, rules, port):
    sys.path.insert(0, tests)
    from fakes import fake_embedder
    from houndsight import Gallery
    from houndsight.web.guard import Rules
    from houndsight.web.server import serve

    def started(address, link):
        print(address, flush=True)
        print(link or "", flush=True)

    given = json.loads(rules)
    for name, value in given.pop("set", {}).items():
        module, constant = name.split(".")
        module = import_module(f"houndsight.web.{module}")
        assert hasattr(module, constant)
        setattr(module, constant, value)
    embedder, wait = fake_embedder(), given.pop("wait", 0)
    run = embedder.runtime.run

    def slow(pixels, outputs):
        time.sleep(wait)
        return run(pixels, outputs)

    embedder.runtime.run = slow
    given["names"] = frozenset(given.get("names", ()))
    with Gallery(gallery) as library:
        serve(library, embedder, Rules(**given), port=int(port), started=started)
    print("stopped", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
