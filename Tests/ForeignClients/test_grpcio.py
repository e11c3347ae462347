#!/usr/bin/env python3
"""Drives a node with Python's grpcio, as a client that knows nothing but the protocol's files.

  CADASTRE_BINARY=PATH .build/python/bin/python3 Tests/ForeignClients/test_grpcio.py

The stubs are generated from proto/ into a temporary folder; nodes are real processes.
"""

import hashlib
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
from google.protobuf import descriptor_pool, message_factory
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


def varint(number):
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(written) + bytes([number])


def record(route):
    """The bytes that stand for a route in a digest, by FORMAT.md."""
    text = b"\x01" + route.id.to_bytes(8, "little") + varint(len(route.start)) + route.start
    if route.HasField("end"):
        text += b"\x01" + varint(len(route.end)) + route.end
    else:
        text += b"\x00"
    text += route.group_id.to_bytes(8, "little") + bytes([route.state - 1])
    text += route.parent_id.to_bytes(8, "little") + varint(len(route.allowed_regions))
    for region in route.allowed_regions:
        text += varint(len(region)) + region.encode()
    return text + route.version.to_bytes(8, "little") + route.changed_at.to_bytes(8, "little")


def digest(routes):
    """The digest of routes: the sum of the hashes of their records."""
    total = sum(
        int.from_bytes(hashlib.sha256(record(route)).digest(), "little") for route in routes)
    return (total % 2**256).to_bytes(32, "little")


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
        self.assertEqual(list(answer.routes), [])
        answer = self.reads.ResolveBatch(
            reads_pb2.ResolveBatchRequest(keys=[b"zz", b"h", b"g"], include_routes=True),
            timeout=PATIENCE)
        # Each route once, as the keys first met it.
        self.assertEqual([route.id for route in answer.routes], [3, 2])
        code, detail = self.refusal(
            lambda: self.reads.ResolveBatch(
                reads_pb2.ResolveBatchRequest(keys=[b"a"] * 10_001), timeout=PATIENCE))
        self.assertEqual((code, detail.code), (grpc.StatusCode.INVALID_ARGUMENT, "malformed"))

    def test_a_batch_of_commands_is_all_or_nothing(self):
        version = self.bootstrap(b"g").version
        points = [commands_pb2.SplitPoint(at=at) for at in (b"a", b"m", b"x")]
        done = self.commands.SplitBatch(
            commands_pb2.SplitBatchRequest(header=self.header(), splits=points), timeout=PATIENCE)
        self.assertEqual((done.version, len(done.new_route_ids)), (version + 1, 3))
        points = [commands_pb2.SplitPoint(at=b"b"), commands_pb2.SplitPoint(at=b"z", route_id=1)]
        code, detail = self.refusal(
            lambda: self.commands.SplitBatch(
                commands_pb2.SplitBatchRequest(header=self.header(), splits=points),
                timeout=PATIENCE))
        self.assertEqual(code, grpc.StatusCode.FAILED_PRECONDITION)
        # The refusal names the route that was meant and the one that holds the key.
        self.assertEqual([route.id for route in detail.newer_routes], [1])
        self.assertEqual(detail.holder.start, b"x")
        answer = self.reads.GetStatus(reads_pb2.GetStatusRequest(), timeout=PATIENCE)
        self.assertEqual((answer.stamp.version, answer.route_count), (version + 1, 5))

    def test_pages(self):
        version = self.bootstrap(*(b"k%02d" % number for number in range(25))).version
        starts, token = [], b""
        while True:
            page = self.reads.ListRoutes(
                reads_pb2.ListRoutesRequest(page_size=10, page_token=token), timeout=PATIENCE)
            self.assertEqual(page.stamp.version, version)
            starts += [route.start for route in page.routes]
            token = page.next_page_token
            if not token:
                break
            self.split(b"z%d" % len(starts))  # The listing goes on at its version.
        self.assertEqual(starts, [b""] + [b"k%02d" % number for number in range(25)])

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
        self.assertEqual([(route.start, route.end) for route in detail.newer_routes], [(b"", b"m")])
        move = commands_pb2.MoveRequest(header=self.header(), route_ids=[99], group_id=1)
        code, detail = self.refusal(lambda: self.commands.Move(move, timeout=PATIENCE))
        self.assertEqual((code, detail.code), (grpc.StatusCode.NOT_FOUND, "no_such_route"))
        # An id that was used for something else: the details say where.
        header = self.header()
        first = self.commands.Move(
            commands_pb2.MoveRequest(header=header, route_ids=[1], group_id=5), timeout=PATIENCE)
        code, detail = self.refusal(
            lambda: self.commands.Move(
                commands_pb2.MoveRequest(header=header, route_ids=[1], group_id=6),
                timeout=PATIENCE))
        self.assertEqual((code, detail.code),
                         (grpc.StatusCode.ALREADY_EXISTS, "command_id_reused"))
        self.assertEqual(detail.position, first.position)
        code, detail = self.refusal(
            lambda: self.reads.ListRoutes(
                reads_pb2.ListRoutesRequest(at_version=1000), timeout=PATIENCE))
        # It may come yet.
        self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
        self.assertTrue(detail.code and detail.remedy)
        unknown = self.channel.unary_unary("/cadastre.v1.CatalogReads/Guess")
        code, _ = self.refusal(lambda: unknown(b"", timeout=PATIENCE))
        self.assertEqual(code, grpc.StatusCode.UNIMPLEMENTED)

    def test_deadlines(self):
        self.bootstrap()
        request = reads_pb2.ResolveRequest(
            key=b"a", demand=types_pb2.ReadDemand(min_catalog_version=1000))
        # Answered before the deadline, with what there is.
        code, detail = self.refusal(lambda: self.reads.Resolve(request, timeout=PATIENCE))
        self.assertEqual((code, detail.code), (grpc.StatusCode.UNAVAILABLE, "behind"))
        self.assertEqual(detail.catalog_version, 1)
        # One that was over when it came.
        code, _ = self.refusal(lambda: self.reads.Resolve(request, timeout=0))
        self.assertEqual(code, grpc.StatusCode.DEADLINE_EXCEEDED)
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

    def test_a_watch_that_is_open_hears_of_the_end(self):
        self.bootstrap()
        call = self.watches.Watch(watch_pb2.WatchRequest(), timeout=PATIENCE)
        self.assertEqual(next(call).WhichOneof("kind"), "started")
        self.node.end(signal.SIGKILL)
        code, _ = self.refusal(lambda: list(call))
        self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
        self.node.start()

    def test_routes_add_up_to_the_digests_that_are_told(self):
        self.bootstrap(b"g", b"p")
        routes = {}
        call = self.watches.Watch(watch_pb2.WatchRequest(), timeout=PATIENCE)
        proven = set()
        for message in call:
            kind = message.WhichOneof("kind")
            if kind == "snapshot":
                routes.update((route.id, route) for route in message.snapshot.routes)
                if message.snapshot.last:
                    self.assertEqual(digest(routes.values()), message.snapshot.routes_digest)
                    self.split(b"k")
                    self.commands.Merge(
                        commands_pb2.MergeRequest(
                            header=self.header(),
                            merges=[commands_pb2.MergePair(left_route_id=2, right_route_id=4)]),
                        timeout=PATIENCE)
            elif kind == "deltas":
                for delta in message.deltas.deltas:
                    for route_id in delta.removed_ids:
                        del routes[route_id]
                    routes.update((route.id, route) for route in delta.upserted)
                    if delta.routes_digest:
                        self.assertEqual(digest(routes.values()), delta.routes_digest)
                        proven.add(delta.version)
            if 3 in proven:
                break
        call.cancel()
        self.assertEqual(sorted(routes), [1, 2, 3])

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
        watch = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=PATIENCE)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        watch.cancel()

    def test_a_call_by_reflection_alone(self):
        self.bootstrap(b"g")
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        method = pool.FindServiceByName("cadastre.v1.CatalogReads").methods_by_name["Resolve"]
        request = message_factory.GetMessageClass(method.input_type)(key=b"house")
        answer = message_factory.GetMessageClass(method.output_type)
        call = self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString)
        self.assertEqual(call(request, timeout=PATIENCE).route.group_id, 2)

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
