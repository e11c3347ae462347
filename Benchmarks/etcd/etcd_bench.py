#!/usr/bin/env python3
"""Measures an etcd that holds the same keys as a catalog: how long it takes to start, to save a
snapshot and to restore one.

  Benchmarks/etcd/etcd_bench.py keys.bin FOLDER

`keys.bin` is what `index-bench --write` writes: a u32 length and the bytes, for each key. FOLDER is
where the data goes. One etcd, alone on loopback, with its limits raised so that loading takes a
minute; loading is not what is measured. Prints a JSON line a figure. Needs `etcd` and `etcdctl`.
"""

import base64
import http.client
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import time

KEYS_A_TRANSACTION = 4000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Etcd:
    """One server process; `with` ends it."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.peer_port = free_port(), free_port()

    def __enter__(self):
        client = f"http://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{self.peer_port}"
        self.process = subprocess.Popen(
            [
                "etcd", "--name", "bench", "--data-dir", str(self.folder),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"bench={peer}", "--max-txn-ops", str(KEYS_A_TRANSACTION),
                "--max-request-bytes", str(64 << 20), "--quota-backend-bytes", str(8 << 30),
                "--log-level", "error",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"})
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def call(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{path}: {answer}")
        return answer

    def value_of(self, key):
        kvs = self.call("/v3/kv/range", {"key": encoded(key)}).get("kvs", [])
        return base64.b64decode(kvs[0]["value"]) if kvs else None

    def fill(self, keys):
        """Puts all keys, each with the value of its number."""
        for start in range(0, len(keys), KEYS_A_TRANSACTION):
            self.call("/v3/kv/txn", {"success": [
                {"requestPut": {"key": encoded(key), "value": encoded(value(start + i))}}
                for i, key in enumerate(keys[start : start + KEYS_A_TRANSACTION])]})

    def wait_for(self, key, value):
        """Until the first right answer."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if self.value_of(key) == value:
                    return
            except (OSError, RuntimeError, http.client.HTTPException):
                pass
            time.sleep(0.002)
        sys.exit("error: etcd gave no answer within two minutes")

    def wait_until_up(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                return self.call("/v3/maintenance/status", {})
            except (OSError, RuntimeError, http.client.HTTPException):
                time.sleep(0.02)
        sys.exit("error: etcd did not start within a minute")

    def etcdctl(self, *words):
        subprocess.run(
            ["etcdctl", "--endpoints", f"127.0.0.1:{self.port}", *map(str, words)], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "ETCDCTL_API": "3"})


def encoded(data):
    return base64.b64encode(data).decode()


def read_keys(path):
    data = pathlib.Path(path).read_bytes()
    keys, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        keys.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return keys


def value(number):
    """What a route's row holds: id, group, version."""
    return struct.pack("<QQQ", number + 1, number % 1000, 1)


def size_of(path):
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def report(name, **figures):
    print(json.dumps({"bench": f"etcd.{name}", **figures}), flush=True)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    # etcd refuses the empty key; one byte stands for it.
    keys = [key or b"\0" for key in read_keys(sys.argv[1])]
    work = pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folder, snapshot, restored = work / "data", work / "snapshot.db", work / "restored"
    with Etcd(folder) as etcd:
        etcd.wait_until_up()
        begin = time.monotonic()
        etcd.fill(keys)
        report("load", keys=len(keys), seconds=time.monotonic() - begin)
        begin = time.monotonic()
        etcd.etcdctl("snapshot", "save", snapshot)
        report(
            "snapshot_save", keys=len(keys), seconds=time.monotonic() - begin,
            bytes=snapshot.stat().st_size)
    report("disk", keys=len(keys), bytes=size_of(folder))
    last = len(keys) - 1
    for _ in range(3):
        begin = time.monotonic()
        with Etcd(folder) as etcd:
            etcd.wait_for(keys[last], value(last))
            report("start", keys=len(keys), seconds=time.monotonic() - begin)
    begin = time.monotonic()
    Etcd(restored).etcdctl("snapshot", "restore", snapshot, "--data-dir", restored)
    report("snapshot_restore", keys=len(keys), seconds=time.monotonic() - begin)
    begin = time.monotonic()
    with Etcd(restored) as etcd:
        etcd.wait_for(keys[last], value(last))
        report("start_restored", keys=len(keys), seconds=time.monotonic() - begin)


if __name__ == "__main__":
    main()
