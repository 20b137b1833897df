"""Serves a gallery with the fake network: python serving.py TESTS GALLERY RULES PORT.

RULES are `Rules` as JSON. Prints the address, and the link if there is one, each on a line.
"""

import json
import sys


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
    given["names"] = frozenset(given.get("names", ()))
    with Gallery(gallery) as library:
        serve(library, fake_embedder(), Rules(**given), port=int(port), started=started)
    print("stopped", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
