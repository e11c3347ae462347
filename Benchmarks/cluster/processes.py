"""The processes of one cluster, all on loopback: etcds, nodes, and a client that writes all the time."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time

from etcd.etcd_bench import Etcd, free_port
from tools import ask, wait_for

CLUSTER = "bench"


class EtcdMember(Etcd):
    """An etcd with the settings that it has by itself, but for ports, folder and how much it logs."""

    def __init__(self, name, folder):
        super().__init__(folder)
        self.name, self.process = name, None
        self.peer = f"http://127.0.0.1:{self.peer_port}"

    def start(self, members):
        client = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["etcd", "--name", self.name, "--data-dir", self.folder,
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
             "--initial-cluster", ",".join(f"{m.name}={m.peer}" for m in members),
             "--log-level", "error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def leads(self):
        status = self.call("/v3/maintenance/status", {})
        return status["leader"] == status["header"]["member_id"]

    def metrics(self):
        """The calls that it began, by method, and its syncs of the write-ahead log."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        counts = {}
        for method, count in re.findall(
                r'^grpc_server_started_total\{grpc_method="(\w+)".*\} (\S+)$', text, re.M):
            counts[method] = counts.get(method, 0) + float(count)
        for figure in ("count", "sum"):
            value = re.search(rf"^etcd_disk_wal_fsync_duration_seconds_{figure} (\S+)$", text, re.M)
            counts[f"wal_sync_{figure}"] = float(value.group(1))
        return counts


class Member:
    """A node of the cluster, with a folder and an address of its own."""

    def __init__(self, cluster, number):
        self.cluster, self.name, self.process = cluster, f"node{number}", None
        self.folder = cluster.work / self.name
        self.address = f"127.0.0.1:{free_port()}"

    def start(self):
        self.process = subprocess.Popen(
            [self.cluster.cadastre, "serve", "--log", self.cluster.url, "--folder", self.folder,
             "--member", self.name, "--region", "bench", "--listen", self.address,
             "--log-level", "error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait()
        self.process = None


class Cluster:
    """So many etcds and a catalog whose log is there; `with` ends it, nodes first."""

    def __init__(self, cadastre, work, etcds):
        self.cadastre, self.work = cadastre, work
        self.etcds = [EtcdMember(f"etcd{n}", work / f"etcd{n}") for n in range(etcds)]
        self.endpoints = ",".join(f"127.0.0.1:{etcd.port}" for etcd in self.etcds)
        self.url = f"etcd://{self.endpoints}/{CLUSTER}"
        self.nodes = []

    def __enter__(self):
        self.work.mkdir()
        try:
            for etcd in self.etcds:
                etcd.start(self.etcds)
            for etcd in self.etcds:
                etcd.wait_until_up()
            subprocess.run(
                [self.cadastre, "cluster", "init", self.work / "node0", "--log", self.url],
                check=True, stdout=subprocess.DEVNULL)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in [each.process for each in self.nodes + self.etcds if each.process]:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def make(self):
        """The next node, which is not started yet."""
        node = Member(self, len(self.nodes))
        self.nodes.append(node)
        return node

    def status(self):
        done = subprocess.run(
            [self.cadastre, "cluster", "status", "--log", self.url, "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def leader(self):
        """The node that leads, once one does and says so itself."""
        def look():
            name = (self.status() or {}).get("leader")
            node = next((n for n in self.nodes if n.process and n.name == name), None)
            if node and (ask(self.cadastre, node.address) or {}).get("role") == "leader":
                return node
        return wait_for(look)

    def other(self):
        """A node that does not lead."""
        leader = self.leader()
        return next(node for node in self.nodes if node is not leader)

    def etcd_leader(self):
        return wait_for(lambda: next((etcd for etcd in self.etcds if etcd.leads()), None))

    def settle(self):
        """Waits until all are up and have what the log has now, and one leads."""
        for etcd in self.etcds:
            etcd.wait_until_up()
        self.leader()
        end = wait_for(self.status)["position"]
        for node in self.nodes:
            if node.process:
                wait_for(lambda: (ask(self.cadastre, node.address) or {}).get("position", 0) >= end)

    def metrics(self):
        """What the etcds counted, added up."""
        total = {}
        for etcd in self.etcds:
            for name, count in etcd.metrics().items():
                total[name] = total.get(name, 0) + count
        return total


class Probe:
    """One client that writes all the time, through whichever node takes it; `with` ends it."""

    def __init__(self, bench, nodes, pause=0.005):
        self.command = [bench, "probe", "--pause", str(pause)]
        for node in nodes:
            self.command += ["--node", node.address]
        self.acknowledged = []

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_for(lambda: self.writes(0))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.reader.join()

    def read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.acknowledged.append(json.loads(line)["acknowledged"] / 1e9)
            else:
                print(line, file=sys.stderr)

    def writes(self, since):
        """Whether it was acknowledged something after `since`."""
        if self.process.poll() is not None:
            sys.exit("error: the client that writes all the time has ended")
        return self.acknowledged and self.acknowledged[-1] > since

    def longest_gap(self, since, watch):
        """The longest time between two acknowledgements, of which the second came after `since`;
        looks for so many seconds, and until writes go on."""
        wait_for(lambda: time.monotonic() >= since + watch
                 and self.writes(time.monotonic() - 0.2))
        times = self.acknowledged[:]
        return max(later - earlier for earlier, later in zip(times, times[1:]) if later > since)
