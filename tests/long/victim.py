"""A client process to be killed: `victim.py ADDRESS,PORT,PROTOCOL,KIND...`, PROTOCOL 6 or 262.

Opens the connections, keeps each in the middle of a transfer, and prints "ready". KIND is "download",
"upload", "idle" or "http".
"""

import array
import selectors
import socket
import struct
import sys
import time

VICTIM = 7
FOREVER = 0xFFFFFFF0
WORDS = 16384
REQUEST = b"GET /bytes?stream=1&length=1000000000 HTTP/1.1\r\nHost: x\r\n\r\n"


class Upload:
    """Words that are their position added to the number of the stream."""

    def __init__(self, stream):
        self.next = stream
        self.rest = b""

    def write(self, sock):
        if not self.rest:
            self.rest = array.array("I", range(self.next, self.next + WORDS)).tobytes()
            self.next += WORDS
        self.rest = self.rest[sock.send(self.rest):]


selector = selectors.DefaultSelector()
for index, argument in enumerate(sys.argv[1:]):
    host, port, protocol, kind = argument.split(",")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, int(protocol))
    sock.settimeout(20)
    try:
        sock.connect((host, int(port)))
        up, down = (FOREVER if kind == name else 0 for name in ("upload", "download"))
        sock.sendall(REQUEST if kind == "http" else struct.pack("<4I", index, VICTIM, up, down))
    except OSError as error:
        print("failed", error, flush=True)
        continue
    sock.setblocking(False)
    if kind == "upload":
        selector.register(sock, selectors.EVENT_WRITE, Upload(index))
    else:
        selector.register(sock, selectors.EVENT_READ)

print("ready", flush=True)
while True:
    time.sleep(0.005)
    for key, _ in selector.select():
        try:
            if key.data is not None:
                key.data.write(key.fileobj)
            elif not key.fileobj.recv(65536):
                selector.unregister(key.fileobj)
        except BlockingIOError:
            pass
        except OSError:
            selector.unregister(key.fileobj)
