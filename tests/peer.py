"""A peer that is not ours: sockets of the kernel by Python's socket module, one JSON object a line.

    peer.py connect HOST PORT PROTOCOL [LENGTH]
    peer.py listen HOST PROTOCOL [LENGTH]
    peer.py hold HOST PORT PROTOCOL COUNT
    peer.py http HOST PORT PROTOCOL TLS
    peer.py serve HOST PROTOCOL

PROTOCOL is 6 or 262. Without LENGTH one line goes each way. With LENGTH both ends send that many
bytes at once, half-close, and read to the end; the digests are printed. "hold" opens connections
and sleeps: to be killed. "http" makes a request, with TLS 1 by HTTPS without a look at the
certificate; "serve" answers requests with their path. HOST may be a mapped address.
"""

import hashlib
import http.client
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time

SOL_TCP = 6
TCP_IS_MPTCP = 43


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def say(**fields):
    print(json.dumps(fields), flush=True)


def truth(sock):
    return {
        "protocol": sock.getsockopt(socket.SOL_SOCKET, 38),  # SO_PROTOCOL
        "isMptcp": sock.getsockopt(SOL_TCP, TCP_IS_MPTCP) == 1,
    }


def send(sock, length, result):
    digest = hashlib.sha256()
    for start in range(0, length, 1 << 20):
        block = os.urandom(min(1 << 20, length - start))
        digest.update(block)
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)
    result["sent"] = digest.hexdigest()


def exchange(sock, length):
    result = {}
    sender = threading.Thread(target=send, args=(sock, length, result))
    sender.start()
    digest, count = hashlib.sha256(), 0
    while block := sock.recv(256 * 1024):
        digest.update(block)
        count += len(block)
    sender.join()
    return {**result, "received": digest.hexdigest(), "receivedBytes": count}


def talk(sock, length):
    if length is not None:
        say(**truth(sock), **exchange(sock, length))
        return
    sock.sendall(b"ping")
    sock.recv(4, socket.MSG_WAITALL)
    say(**truth(sock))
    sock.recv(1)


def connect(host, port, protocol):
    sock = socket.socket(family_of(host), socket.SOCK_STREAM, protocol)
    sock.connect((host, port))
    return sock


def request(host, port, protocol, tls):
    sock = connect(host, port, protocol)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = ssl._create_unverified_context().wrap_socket(sock) if tls else sock
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read().decode()
    say(**truth(connection.sock), status=response.status, body=body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        say(**truth(self.connection))
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(host, protocol):
    server = http.server.ThreadingHTTPServer((host, 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(family_of(host), socket.SOCK_STREAM, protocol)
    server.socket.bind((host, 0))
    server.socket.listen()
    say(port=server.socket.getsockname()[1])
    server.serve_forever()


def main(command, host, *rest):
    numbers = [int(text) for text in rest]
    if command == "connect":
        port, protocol, *length = numbers
        talk(connect(host, port, protocol), length[0] if length else None)
    elif command == "listen":
        protocol, *length = numbers
        listener = socket.socket(family_of(host), socket.SOCK_STREAM, protocol)
        if family_of(host) == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, 0))
        listener.listen()
        say(port=listener.getsockname()[1])
        talk(listener.accept()[0], length[0] if length else None)
    elif command == "http":
        port, protocol, tls = numbers
        request(host, port, protocol, tls)
    elif command == "serve":
        serve(host, *numbers)
    elif command == "hold":
        port, protocol, count = numbers
        held = [connect(host, port, protocol) for _ in range(count)]
        say(held=len(held))
        time.sleep(60)


main(*sys.argv[1:])
