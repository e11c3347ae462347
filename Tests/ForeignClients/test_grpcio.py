#!/usr/bin/env python3
"""Drives a node with Python's grpcio, as a client that knows nothing but the protocol's files.

  CADASTRE_BINARY=PATH .build/python/bin/python3 Tests/ForeignClients/test_grpcio.py

The stubs are generated from proto/ into a temporary folder; nodes are real processes.
"""

import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUBS = tempfile.TemporaryDirectory(prefix="cadastre-stubs-")
PROTOS = sorted((ROOT / "proto" / "cadastre" / "v1").glob("*.proto"))
status = protoc.main(
    ["protoc", f"-I{ROOT / 'proto'}", f"--python_out={STUBS.name}",
     f"--grpc_python_out={STUBS.name}", *map(str, PROTOS)])
if status != 0:
    sys.exit("error: the protocol's files do not compile")
sys.path.insert(0, STUBS.name)

from cadastre.v1 import (  # noqa: E402
    commands_pb2, commands_pb2_grpc, reads_pb2, reads_pb2_grpc, types_pb2, watch_pb2,
    watch_pb2_grpc,
)

BINARY = os.environ.get("CADASTRE_BINARY", str(ROOT / ".build" / "debug" / "cadastre"))
PATIENCE = 60  # seconds, for what takes milliseconds on an idle machine


def quiet_port():
    """A free port below those that the system gives to callers: a caller that looks for a node which
    is not there could be given the very port, and find itself."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(16_000, 32_000)))
            except OSError:
                continue
            return probe.getsockname()[1]


class Node:
    """A leader over a folder; started again it takes the same port."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, quiet_port(), None

    def start(self):
        address = pathlib.Path(self.folder) / "address"
        address.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [BINARY, "serve", "--log", f"{self.folder}/catalog", "--listen",
             f"127.0.0.1:{self.port}", "--address-file", str(address)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE
        while not address.exists():
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read())
            if time.monotonic() > deadline:
                raise RuntimeError("the node did not listen within a minute")
            time.sleep(0.01)
        self.address = address.read_text().strip()
        self.port = int(self.address.rsplit(":", 1)[1])

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self.process.stderr.close()


class ForeignClient(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="cadastre-grpcio-")
        self.addCleanup(folder.cleanup)
        subprocess.run(
            [BINARY, "init", f"{folder.name}/catalog", "--empty"], check=True,
            stdout=subprocess.DEVNULL)
        self.node = Node(folder.name)
        self.node.start()
        self.addCleanup(lambda: self.node.end(signal.SIGTERM))
        self.channel = grpc.insecure_channel(
            self.node.address, options=[("grpc.initial_reconnect_backoff_ms", 50)])
        self.addCleanup(self.channel.close)
        self.reads = reads_pb2_grpc.CatalogReadsStub(self.channel)
        self.commands = commands_pb2_grpc.CatalogCommandsStub(self.channel)
        self.watches = watch_pb2_grpc.CatalogWatchStub(self.channel)

    def header(self):
        return commands_pb2.CommandHeader(
            command_id=uuid.uuid4().bytes, actor="grpcio", reason="a test")

    def bootstrap(self, *starts):
        seeds = [
            commands_pb2.RouteSeed(start=start, group_id=number + 1)
            for number, start in enumerate((b"", *starts))]
        return self.commands.Bootstrap(
            commands_pb2.BootstrapRequest(header=self.header(), routes=seeds), timeout=PATIENCE)

    def split(self, at):
        return self.commands.Split(
            commands_pb2.SplitRequest(
                header=self.header(), split=commands_pb2.SplitPoint(at=at)), timeout=PATIENCE)

    def refusal(self, call):
        """The status code and the typed details that a call is refused with."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        rich = rpc_status.from_call(caught.exception)
        detail = types_pb2.RefusalDetail()
        if rich is not None:
            for any_message in rich.details:
                any_message.Unpack(detail)
        return caught.exception.code(), detail

    # Calls

    def test_unary_calls(self):
        made = self.bootstrap(b"g", b"p")
        answer = self.reads.Resolve(reads_pb2.ResolveRequest(key=b"house"), timeout=PATIENCE)
        self.assertEqual((answer.route.start, answer.route.end), (b"g", b"p"))
        self.assertEqual(answer.route.group_id, 2)
        self.assertEqual(answer.stamp.version, made.version)
        last = self.reads.Resolve(reads_pb2.ResolveRequest(key=b"zoo"), timeout=PATIENCE)
        self.assertFalse(last.route.HasField("end"))

    def test_batches(self):
        self.bootstrap(b"g", b"p")
        answer = self.reads.ResolveBatch(
            reads_pb2.ResolveBatchRequest(keys=[b"", b"g", b"zz", b"h"]), timeout=PATIENCE)
        self.assertEqual(list(answer.group_ids), [1, 2, 3, 2])

    def test_the_same_command_twice(self):
        self.bootstrap()
        request = commands_pb2.SplitRequest(
            header=self.header(), split=commands_pb2.SplitPoint(at=b"m"))
        first = self.commands.Split(request, timeout=PATIENCE)
        second = self.commands.Split(request, timeout=PATIENCE)
        self.assertEqual(first.position, second.position)
        self.assertEqual(second.outcome, commands_pb2.COMMAND_OUTCOME_REPEATED)

    def test_status_codes_and_details(self):
        code, detail = self.refusal(
            lambda: self.reads.Resolve(reads_pb2.ResolveRequest(key=b"a"), timeout=PATIENCE))
        self.assertEqual((code, detail.code),
                         (grpc.StatusCode.FAILED_PRECONDITION, "not_bootstrapped"))
        code, detail = self.refusal(
            lambda: self.reads.Resolve(
                reads_pb2.ResolveRequest(key=b"a" * 5000), timeout=PATIENCE))
        self.assertEqual((code, detail.code), (grpc.StatusCode.INVALID_ARGUMENT, "malformed"))
        self.bootstrap()
        version = self.split(b"m").version
        header = self.header()
        header.expected_version = version - 1
        code, detail = self.refusal(
            lambda: self.commands.Split(
                commands_pb2.SplitRequest(
                    header=header, split=commands_pb2.SplitPoint(at=b"f")), timeout=PATIENCE))
        self.assertEqual((code, detail.code), (grpc.StatusCode.ABORTED, "stale_version"))
        self.assertEqual(detail.catalog_version, version)

    def test_deadlines(self):
        self.bootstrap()
        request = reads_pb2.ResolveRequest(
            key=b"a", demand=types_pb2.ReadDemand(min_catalog_version=1000))
        code, _ = self.refusal(lambda: self.reads.Resolve(request, timeout=PATIENCE))
        # A leader knows that nobody has that version; it does not let the caller wait for it.
        self.assertIn(code, (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT,
                             grpc.StatusCode.FAILED_PRECONDITION))
        code, _ = self.refusal(
            lambda: list(self.watches.Watch(watch_pb2.WatchRequest(), timeout=0.3)))
        self.assertEqual(code, grpc.StatusCode.DEADLINE_EXCEEDED)

    # A watch

    def follow(self, version, through):
        """The versions that a watch tells from `version` on, until it has told `through`."""
        seen = []
        request = watch_pb2.WatchRequest(from_version=version)
        call = self.watches.Watch(request, timeout=PATIENCE)
        try:
            for message in call:
                kind = message.WhichOneof("kind")
                if kind == "deltas":
                    seen += [delta.version for delta in message.deltas.deltas]
                self.assertNotEqual(kind, "snapshot", "a watch that can go on starts over")
                if seen and seen[-1] >= through:
                    break
        finally:
            call.cancel()
        return seen

    def test_a_watch_goes_on_across_a_restart(self):
        version = self.bootstrap().version
        for number in range(5):
            last = self.split(b"a%d" % number).version
        self.assertEqual(self.follow(version, last), list(range(version + 1, last + 1)))
        self.node.end(signal.SIGKILL)
        self.node.start()
        grpc.channel_ready_future(self.channel).result(PATIENCE)
        for number in range(5):
            newest = self.split(b"b%d" % number).version
        self.assertEqual(self.follow(last, newest), list(range(last + 1, newest + 1)))

    # What tools ask

    def test_health(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "cadastre.v1.CatalogCommands"):
            answer = health.Check(
                health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        code, _ = self.refusal(
            lambda: health.Check(
                health_pb2.HealthCheckRequest(service="nothing"), timeout=PATIENCE))
        self.assertEqual(code, grpc.StatusCode.NOT_FOUND)

    def test_reflection(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        services = set(database.get_services())
        self.assertLessEqual(
            {"cadastre.v1.CatalogReads", "cadastre.v1.CatalogWatch", "grpc.health.v1.Health"},
            services)
        for service in services:
            file = database.FindFileContainingSymbol(service)
            self.assertIn(service.rsplit(".", 1)[1], [s.name for s in file.service])


if __name__ == "__main__":
    unittest.main()
