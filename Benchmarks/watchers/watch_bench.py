#!/usr/bin/env python3
"""Measures what watchers cost a node, and how soon they hear of a commit.

  Benchmarks/watchers/watch_bench.py CADASTRE FOLDER [--routes N] [--watchers N,N,…] [--commits N]

Starts a leader in FOLDER and loads it from this process, over loopback: watches and commands as a
gRPC client sends them, many streams to a connection or one. Prints a JSON line a figure. The frames of
HTTP/2 are taken apart here, by hand and as far as needed: a gRPC library in Python would take more
time for a thousand streams than the node that is measured.
"""

import argparse
import collections
import json
import os
import pathlib
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
LARGEST_WINDOW = 2**31 - 1


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """A protobuf field: a varint, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Connection:
    """One HTTP/2 connection; hands each gRPC message to the handler of its stream."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.authority = f"{host}:{port}"
        self.next_stream = 1
        self.handlers = {}
        self.partial = {}
        self.rest = b""
        self.consumed = 0
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, LARGEST_WINDOW))
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - 65535)))

    def call(self, path, message, handler):
        """Sends one message and leaves the stream open for the answers."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.handlers[stream] = handler
        block = b"".join(
            # A literal without indexing: no table has to be kept.
            b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
            for name, value in (
                (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()),
                (b":authority", self.authority.encode()), (b"te", b"trailers"),
                (b"content-type", b"application/grpc")))
        self.socket.sendall(
            frame(HEADERS, END_HEADERS, stream, block)
            + frame(DATA, END_STREAM, stream, b"\0" + struct.pack(">I", len(message)) + message))
        return stream

    def cancel(self, stream):
        self.handlers[stream] = lambda message: None
        self.socket.sendall(frame(RESET, 0, stream, struct.pack(">I", 8)))

    def receive(self):
        """Reads what is there."""
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            sys.exit("error: the node closed a connection")
        data = self.rest + chunk if self.rest else chunk
        at, end = 0, len(data)
        while end - at >= 9:
            size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if end - at - 9 < size:
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5:at + 9], "big") & LARGEST_WINDOW
            payload = data[at + 9:at + 9 + size]
            at += 9 + size
            if kind == DATA:
                self.consumed += size
                self.take(stream, payload)
            elif kind == HEADERS and flags & END_STREAM and self.handlers[stream]:
                self.handlers[stream](None)
            elif kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            elif kind in (RESET, GOAWAY):
                sys.exit(f"error: the node ended stream {stream}: {payload!r}")
        self.rest = data[at:]
        if self.consumed > 1 << 28:
            self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self.consumed)))
            self.consumed = 0

    def take(self, stream, payload):
        before = self.partial.pop(stream, None)
        if before is not None:
            payload = before + payload
        at = 0
        while len(payload) - at >= 5:
            size = int.from_bytes(payload[at + 1:at + 5], "big")
            if len(payload) - at - 5 < size:
                break
            self.handlers[stream](payload[at + 5:at + 5 + size])
            at += 5 + size
        if at < len(payload):
            self.partial[stream] = payload[at:]


def versions(message):
    """The versions of a message of a watch; none for `started` and `progress`."""
    if not message or message[0] != 3 << 3 | 2:
        return []
    size, at = read_varint(message, 1)
    found = []
    while at < len(message):
        size, at = read_varint(message, at + 1)
        # The version is the delta's first field.
        found.append(read_varint(message, at + 1)[0])
        at += size
    return found


class Node:
    """A leader with some routes; `with` ends it."""

    def __init__(self, program, folder, routes):
        self.program, self.folder = program, pathlib.Path(folder)
        names = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(1, routes + 1)]
        self.folder.mkdir(parents=True)
        (self.folder / "names").write_text("\n".join(names) + "\n")
        subprocess.run(
            [program, "import", self.folder / "names", "--every", "1", "--groups-by", "round-robin",
             "--groups", "1000", "--log", self.folder / "log"], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.count = 0
        self.version = 1

    def __enter__(self):
        address = self.folder / "address"
        address.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [self.program, "serve", "--log", self.folder / "log", "--listen", "127.0.0.1:0",
             "--address-file", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not (address.exists() and address.read_text().strip()):
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit("error: the node did not start")
            time.sleep(0.02)
        host, port = address.read_text().strip().rsplit(":", 1)
        self.address = (host, int(port))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def cpu(self):
        """Seconds of CPU that all its threads have used."""
        nanoseconds = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass  # It ended meanwhile.
        return nanoseconds / 1e9

    def memory(self):
        """Bytes that are resident."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def split(self):
        """The next request: a cut where none was."""
        self.count += 1
        key = f"{self.count * 0xD1B54A32D192ED03 % 2**64:016x}~".encode()
        header = field(1, os.urandom(16)) + field(3, b"bench")
        return field(1, header) + field(2, field(1, key))


class Load:
    """The connections of this process, on one thread."""

    def __init__(self, node):
        self.node = node
        self.selector = selectors.DefaultSelector()
        self.commands = self.connect()

    def connect(self):
        connection = Connection(*self.node.address)
        self.selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def turn(self, timeout=None):
        for key, _ in self.selector.select(timeout):
            key.data.receive()

    def until(self, done, limit=120):
        end = time.monotonic() + limit
        while not done():
            if time.monotonic() > end:
                sys.exit(f"error: waited {limit} s for the node")
            self.turn(1)

    def pause(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.turn(left)

    def close(self, connections):
        for connection in connections:
            self.selector.unregister(connection.socket)
            connection.socket.close()

    def submit(self, done):
        def handle(message):
            if message is None:
                return
            done(time.perf_counter())

        self.commands.call("/cadastre.v1.CatalogCommands/Split", self.node.split(), handle)

    def watch(self, connection, start, handler):
        # A bookmark every 5 s, as by default.
        return connection.call(
            "/cadastre.v1.CatalogWatch/Watch", field(1, start) + field(2, 5000), handler)


def percentiles(values):
    ordered = sorted(values)
    return {f"p{part}_us": ordered[min(len(ordered) - 1, len(ordered) * part // 100)] * 1e6
            for part in (50, 99)}


def fan_out(node, watchers, per_connection, commits, idle_seconds):
    """One commit after the other, each once all have heard of the one before."""
    load = Load(node)
    load.pause(0.5)
    memory = node.memory()
    started, heard = [0], []

    def handle(message):
        if message is None:
            sys.exit("error: the node ended a watch")
        found = versions(message)
        if not found:
            started[0] += 1
        elif found != [node.version]:
            sys.exit(f"error: version {node.version} was expected, {found} came")
        else:
            heard.append(time.perf_counter())

    connections = []
    for number in range(watchers):
        if number % per_connection == 0:
            connections.append(load.connect())
        load.watch(connections[-1], node.version, handle)
        load.turn(0)
    load.until(lambda: started[0] >= watchers)
    load.pause(1)
    idle_begin, cpu = time.monotonic(), node.cpu()
    load.pause(idle_seconds)
    idle = (node.cpu() - cpu) / (time.monotonic() - idle_begin)
    receipts, after, acknowledged = [], [], []
    cpu = 0
    for number in range(-commits // 10, commits):
        if number == 0:
            cpu, memory_with = node.cpu(), node.memory()
            receipts, after, acknowledged = [], [], []
        heard.clear()
        answer = []
        node.version += 1
        begin = time.perf_counter()
        load.submit(answer.append)
        load.until(lambda: answer and len(heard) == watchers)
        acknowledged.append(answer[0] - begin)
        receipts += [moment - begin for moment in heard]
        after += [moment - answer[0] for moment in heard]
    cpu = (node.cpu() - cpu) / commits
    load.close(connections + [load.commands])
    line = {
        "bench": "watchers", "watchers": watchers, "connections": len(connections),
        "commits": commits, "memory_bytes": memory_with - memory, "idle_cores": idle,
        "cpu_us_per_commit": cpu * 1e6,
        **{f"acknowledged_{name}": value for name, value in percentiles(acknowledged).items()}}
    if watchers:
        line |= {f"received_{name}": value for name, value in percentiles(receipts).items()}
        line |= {f"after_commit_{name}": value for name, value in percentiles(after).items()}
    return line


def history(node, count):
    """Commits `count` versions, many at a time."""
    load = Load(node)
    done = []
    for begun in range(count):
        while begun - len(done) >= 64:
            load.turn(1)
        load.submit(done.append)
        load.turn(0)
    load.until(lambda: len(done) == count)
    load.close([load.commands])
    node.version += count


def catch_up(node, count, rounds):
    """How many versions a second one watcher is told that has `count` to hear of."""
    rates, messages = [], []
    load = Load(node)
    connection = load.connect()
    for _ in range(rounds):
        told = collections.Counter()

        def handle(message):
            if found := versions(message):
                told["versions"] += len(found)
                told["messages"] += 1
                told["bytes"] += len(message)

        begin = time.perf_counter()
        stream = load.watch(connection, node.version - count, handle)
        load.until(lambda: told["versions"] == count)
        rates.append(count / (time.perf_counter() - begin))
        messages.append(told["messages"])
        connection.cancel(stream)
        load.pause(0.01)
    load.close([connection, load.commands])
    return {"bench": "watcher.catch_up", "versions": count,
            "versions_per_second": statistics.median(rates),
            "messages": statistics.median(messages), "bytes": told["bytes"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cadastre")
    parser.add_argument("folder")
    parser.add_argument("--routes", type=int, default=100_000)
    parser.add_argument("--watchers", default="0,1,100,1000")
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--idle", type=float, default=10, help="seconds")
    parser.add_argument("--backlog", type=int, default=50_000, help="versions in the log")
    arguments = parser.parse_args()
    node = Node(arguments.cadastre, arguments.folder, arguments.routes)
    for count in [int(text) for text in arguments.watchers.split(",")]:
        # Many to a connection, as behind a proxy; one each, as from many machines. A process each:
        # what one has freed would hide what the next one takes.
        for per_connection in [100, 1] if count > 1 else [1]:
            with node:
                print(json.dumps(fan_out(
                    node, count, per_connection, arguments.commits, arguments.idle)), flush=True)
    with node:
        history(node, arguments.backlog)
        # The last 1,024 versions are in memory.
        for count, rounds in ((1000, 20), (arguments.backlog, 3)):
            print(json.dumps(catch_up(node, count, rounds)), flush=True)


main()
