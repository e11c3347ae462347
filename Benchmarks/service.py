"""Calls over gRPC and starts of whole nodes, beside an etcd with the same keys."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time

from etcd.etcd_bench import Etcd, read_keys, value
from tools import milliseconds, ratios, run, table, thousands, wait_for

RESOLVE = "/cadastre.v1.CatalogReads/Resolve"
RESOLVE_BATCH = "/cadastre.v1.CatalogReads/ResolveBatch"
RANGE = "/etcdserverpb.KV/Range"
BATCH = 1_000
# The same for both sides: connections, streams on each, client threads.
CONNECTIONS, STREAMS, THREADS = 4, 32, 1
# What a client of HTTP/2 begins with: the preface, and settings.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"


def varint(number):
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)


def field(number, data):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def framed(message):
    """A message as gRPC frames it: not compressed, its length, its bytes."""
    return b"\0" + struct.pack(">I", len(message)) + message


class Node:
    """A `cadastre serve`; `with` ends it. `seconds` is what it took to the first right answer."""

    def __init__(self, cadastre, log, key, *options):
        self.cadastre, self.log, self.key, self.options = cadastre, log, key, options

    def __enter__(self):
        file = self.log.with_suffix(".address")
        file.unlink(missing_ok=True)
        begin = time.monotonic()
        self.process = subprocess.Popen(
            [self.cadastre, "serve", "--log", self.log, "--address-file", file,
             "--log-level", "error", *self.options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address = wait_for(lambda: file.exists() and file.read_text().strip())
        answer = run_quietly(self.cadastre, "resolve", "--server", self.address, "--json", self.key)
        self.seconds = time.monotonic() - begin
        if f'"start":"{self.key}"' not in answer:
            sys.exit(f"error: the node gave a wrong answer: {answer}")
        self.port = self.address.rsplit(":", 1)[1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def run_quietly(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {command} ended with status {done.returncode}")
    return done.stdout


def processor_seconds(process):
    """What a process's threads have had of the processors."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_call(port, path, body):
    """Makes one call, which must succeed."""
    done = subprocess.run(
        ["curl", "-sv", "--http2-prior-knowledge", "--output", "/dev/null", "--data-binary",
         f"@{body}", "-H", "content-type: application/grpc", "-H", "te: trailers",
         f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True)
    if not re.search(r"grpc-status: 0\b", done.stderr):
        sys.exit(f"error: {path} failed:\n{done.stderr[-2000:]}")


def load(process, port, path, body, count):
    """Calls so often, and returns what the server's process had of the processors for it."""
    command = [
        "h2load", "-n", str(count), "-c", str(CONNECTIONS), "-m", str(STREAMS), "-t",
        str(THREADS), "-d", str(body), "-H", "content-type: application/grpc", "-H",
        "te: trailers", f"http://127.0.0.1:{port}{path}"]
    print("$ " + " ".join(command), file=sys.stderr, flush=True)
    before = processor_seconds(process)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    spent = processor_seconds(process) - before
    if f"{count} succeeded, 0 failed" not in done.stdout:
        sys.exit(f"error: not all calls of {path} succeeded:\n{done.stdout}")
    finished = re.search(r"finished in ([\d.]+)(ms|s)", done.stdout)
    seconds = float(finished.group(1)) / (1000 if finished.group(2) == "ms" else 1)
    data = int(re.search(r"\((\d+)\) data", done.stdout).group(1))
    return {"bench": path, "requests": count, "seconds": seconds, "cpu_seconds": spent,
            "requests_per_second": count / seconds, "requests_per_core_second": count / spent,
            "answer_bytes": data // count}


def prepare(cadastre, bench, work, quick):
    """A catalog whose routes start at made keys, and these keys."""
    run(bench, "--only", "nothing", "--write", work, *(["--routes", 100_000] if quick else []))
    keys = read_keys(work / "keys.bin")
    (work / "names").write_text("".join(key.decode() + "\n" for key in keys[1:]))
    run(cadastre, "import", work / "names", "--every", "1", "--groups-by", "round-robin",
        "--groups", "1000", "--log", work / "node", "--json")
    return keys


def etcd_is_there():
    if shutil.which("etcd"):
        return True
    print("no etcd on the PATH: it is left out", file=sys.stderr)
    return False


def service(cadastre, bench, work, results, quick, runs):
    """`Resolve` and `ResolveBatch` beside etcd's `Range`, under h2load."""
    if not shutil.which("h2load"):
        return print("no h2load on the PATH: the service is left out", file=sys.stderr)
    keys = prepare(cadastre, bench, work, quick)
    one = len(keys) // 2
    calls, batches = (5_000, 100) if quick else (100_000, 2_000)
    bodies = {name: work / name for name in ("resolve", "batch", "range", "serializable")}
    bodies["resolve"].write_bytes(framed(field(1, keys[one])))
    step = max(1, len(keys) // BATCH)
    bodies["batch"].write_bytes(framed(b"".join(
        field(1, keys[(number * 7919 % BATCH) * step + 1]) for number in range(BATCH))))
    bodies["range"].write_bytes(framed(field(1, keys[one])))
    bodies["serializable"].write_bytes(framed(field(1, keys[one]) + varint(7 << 3) + varint(1)))
    found = {"resolve": [], "batch": [], "range": [], "serializable": []}

    def measure(name, process, port, path, count):
        check_call(port, path, bodies[name])
        if not found[name]:
            load(process, port, path, bodies[name], count // 5)  # Warms it up.
        found[name].append(load(process, port, path, bodies[name], count))

    def measure_ours(node):
        measure("resolve", node.process, node.port, RESOLVE, calls)
        measure("batch", node.process, node.port, RESOLVE_BATCH, batches)

    with Node(cadastre, work / "node", keys[one].decode()) as node:
        if etcd_is_there():
            with Etcd(work / "etcd") as etcd:
                etcd.wait_until_up()
                etcd.fill([key or b"\0" for key in keys])
                for _ in range(runs):
                    measure_ours(node)
                    measure("range", etcd.process, etcd.port, RANGE, calls)
                    measure("serializable", etcd.process, etcd.port, RANGE, calls)
        else:
            for _ in range(runs):
                measure_ours(node)
    results["service"] = found

    def per_core(name):
        return [line["requests_per_core_second"] for line in found[name]]

    rows = []
    for name, words in (("resolve", "Cadastre, `Resolve` of one key"),
                        ("range", "etcd, `Range` of one key"),
                        ("serializable", "etcd, the same, serializable")):
        if found[name]:
            ratio = "" if name == "resolve" else \
                f"{ratios(per_core('resolve'), per_core(name)):.2f}"
            rows.append([
                words, thousands(statistics.median(per_core(name))),
                thousands(statistics.median(l["requests_per_second"] for l in found[name])), ratio])
    table(f"{len(keys):,} keys, over gRPC: h2load, {CONNECTIONS} connections of {STREAMS} streams",
          ["", "calls/core-second", "calls/second", "Cadastre's over it"], rows)
    table("Many keys in a call", ["", "lookups/core-second"], [[
        f"Cadastre, `ResolveBatch` of {BATCH:,} keys",
        thousands(statistics.median(per_core("batch")) * BATCH)]])


class Idlers:
    """Connections to a port that say hello and no more; `with` closes them."""

    def __init__(self, port):
        self.port, self.open = int(port), []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.open:
            connection.close()

    def grow(self, count):
        while len(self.open) < count:
            connection = socket.create_connection(("127.0.0.1", self.port))
            connection.sendall(GREETING)
            self.open.append(connection)
        # The last ones are greeted when all are.
        for connection in self.open[-4:]:
            connection.recv(9)


def crowd(cadastre, bench, work, results, quick, runs):
    """`Resolve` beside etcd's `Range` while thousands of connections are open and silent."""
    if not shutil.which("h2load"):
        return print("no h2load on the PATH: the crowd is left out", file=sys.stderr)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    keys = prepare(cadastre, bench, work, True)
    one = len(keys) // 2
    # Those to both sides are open here at the same time.
    largest = min(10_000, (most - 1_000) // 2)
    calls, crowds = (5_000, (0, 1_000)) if quick else (50_000, (0, 1_000, largest))
    body = work / "body"
    body.write_bytes(framed(field(1, keys[one])))
    found = {"resolve": {}, "range": {}}

    def measure(sides):
        for _, process, port, path in sides:
            check_call(port, path, body)
            load(process, port, path, body, calls)  # Warms it up.
        with contextlib.ExitStack() as stack:
            idlers = [stack.enter_context(Idlers(port)) for _, _, port, _ in sides]
            for count in crowds:
                for side in idlers:
                    side.grow(count)
                for _ in range(runs):
                    for name, process, port, path in sides:
                        found[name].setdefault(count, []).append(
                            load(process, port, path, body, calls))

    with Node(cadastre, work / "node", keys[one].decode(), "--max-connections", "20000") as node:
        sides = [("resolve", node.process, node.port, RESOLVE)]
        if etcd_is_there():
            with Etcd(work / "etcd") as etcd:
                etcd.wait_until_up()
                etcd.fill([key or b"\0" for key in keys])
                measure(sides + [("range", etcd.process, etcd.port, RANGE)])
        else:
            measure(sides)
    results["crowd"] = found

    def per_core(name, count):
        return [line["requests_per_core_second"] for line in found[name].get(count, [])]

    rows = []
    for count in crowds:
        ours, theirs = per_core("resolve", count), per_core("range", count)
        rows.append([
            thousands(count), thousands(statistics.median(ours)),
            thousands(statistics.median(theirs)) if theirs else "",
            f"{ratios(ours, theirs):.2f}" if theirs else ""])
    table(f"Calls a core-second beside connections that are silent, {len(keys):,} keys",
          ["silent connections", "`Resolve`", "etcd's `Range`", "Cadastre's over it"], rows)


def starts(cadastre, bench, work, results, quick, runs):
    """From the start of a process to its first right answer."""
    keys = prepare(cadastre, bench, work, quick)
    last = len(keys) - 1
    ours, theirs = [], []
    has_etcd = etcd_is_there()
    stored = [key or b"\0" for key in keys]
    # The first start makes the checkpoint that later ones start from.
    with Node(cadastre, work / "node", keys[last].decode()) as node:
        first = node.seconds
        time.sleep(1 if quick else 10)
    if has_etcd:
        with Etcd(work / "etcd") as etcd:
            etcd.wait_until_up()
            etcd.fill(stored)
    for _ in range(runs):
        with Node(cadastre, work / "node", keys[last].decode()) as node:
            ours.append(node.seconds)
        if has_etcd:
            begin = time.monotonic()
            with Etcd(work / "etcd") as etcd:
                etcd.wait_for(stored[last], value(last))
                theirs.append(time.monotonic() - begin)
    results["starts"] = {"keys": len(keys), "first": first, "ours": ours, "etcd": theirs}
    rows = [["Cadastre, from its checkpoint", milliseconds(statistics.median(ours)), ""]]
    if theirs:
        rows.append(["etcd", milliseconds(statistics.median(theirs)),
                     f"{ratios(ours, theirs):.2f}"])
    table(f"{len(keys):,} keys: from the start of the process to the first right answer",
          ["", "time", "Cadastre's over it"], rows)
