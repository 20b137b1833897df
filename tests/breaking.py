"""A process that decodes as ours do, but for photos with a mark: see tests/test_isolation.py."""

import ctypes
import os
import sys
import time

from houndsight import images
from houndsight.isolation import worker

decode = images.decode


def broken(data, *, path, at_least):
    match os.path.basename(path):
        case b"segfault.jpg":
            ctypes.string_at(0)
        case b"abort.jpg":
            os.abort()
        case b"exit.jpg":
            os._exit(7)
        case b"hang.jpg":
            time.sleep(600)
        case b"eat.jpg":
            held = []
            while True:
                held.append(bytearray(64 << 20))
        case b"nonsense.jpg":
            os.write(int(sys.argv[1]), b"\0\0\0\x03[1]")
            time.sleep(600)
        case b"long.jpg":
            os.write(int(sys.argv[1]), b"\x7f\xff\xff\xff")
            time.sleep(600)
    return decode(data, path=path, at_least=at_least)


images.decode = broken
worker.main(*map(int, sys.argv[1:]))
