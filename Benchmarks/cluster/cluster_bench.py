"""A cluster whose log is on etcd: commands beside plain puts, what they ask of etcd, when other members
show them, times without writes, and how fast a late member catches up. All on one machine."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from cluster.processes import CLUSTER, Cluster, Probe
from tools import milliseconds, pick, ratios, run, table, thousands, wait_for

CLIENTS = (1, 16, 256)


class Size:
    """How much is measured."""

    def __init__(self, quick):
        self.rounds, self.seconds = (1, 0.3) if quick else (3, 2)
        self.counted = dict(zip(CLIENTS, (40, 160, 1_000) if quick else (300, 3_000, 15_000)))
        self.idle = 1 if quick else 3
        self.commits = 40 if quick else 500
        self.faults, self.watch = (1, 2) if quick else (5, 4)
        self.entries, self.batches = (2_000, 20) if quick else (100_000, 1_000)


def cluster(cadastre, bench, work, results, quick):
    if not shutil.which("etcd"):
        return print("no etcd on the PATH: the cluster is left out", file=sys.stderr)
    size = Size(quick)
    found = {"etcd": etcd_version(), "disk": disk(work), "rates": [], "calls": [], "lags": []}
    results["cluster"] = found
    for etcds in (1, 3):
        with Cluster(cadastre, work / f"on-{etcds}", etcds) as members:
            for nodes in (1, 3):
                while len(members.nodes) < nodes:
                    members.make().start()
                members.settle()
                facts = {"etcds": etcds, "nodes": nodes}
                found["rates"] += rates(bench, members, size, facts)
                found["calls"] += calls(bench, members, size, facts)
            members.settle()
            found["lags"].append(lag(bench, members, size, {"etcds": etcds}))
            if etcds == 1:
                found["catch_up"] = catch_up(bench, members, size)
            else:
                found["outages"] = outages(bench, members, size)
    show(found)


# What is measured

def disk(work):
    """The file system, and what a synced append of an entry's size takes there."""
    times, file = [], os.open(work / "disk", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(200):
            begin = time.perf_counter()
            os.write(file, bytes(300))
            os.fdatasync(file)
            times.append((time.perf_counter() - begin) * 1e6)
    finally:
        os.close(file)
    kind = subprocess.run(["stat", "-f", "-c", "%T", work], stdout=subprocess.PIPE, text=True)
    times.sort()
    return {"file_system": kind.stdout.strip(), "sync_p50_us": times[100], "sync_p99_us": times[197]}


def etcd_version():
    done = subprocess.run(["etcd", "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split("\n", 1)[0].removeprefix("etcd Version: ")


def rates(bench, members, size, facts):
    leader = members.leader()
    other = ["--other", members.other().address] if len(members.nodes) > 1 else []
    lines = run(bench, "rates", "--node", leader.address, *other, "--etcd", members.endpoints,
                "--cluster", CLUSTER, "--clients", ",".join(map(str, CLIENTS)),
                "--rounds", size.rounds, "--seconds", size.seconds)
    return [{**facts, **line} for line in lines]


def calls(bench, members, size, facts):
    """What a command asks of etcd, less what a cluster asks where nothing happens."""
    begin, before = time.monotonic(), members.metrics()
    time.sleep(size.idle)
    idle = difference(members.metrics(), before, time.monotonic() - begin)
    found = [{**facts, "clients": 0, "a_second": idle}]
    for clients, count in size.counted.items():
        begin, before = time.monotonic(), members.metrics()
        fill(bench, members, clients, count)
        passed, after = time.monotonic() - begin, members.metrics()
        each = {name: (change - idle.get(name, 0) * passed) / count
                for name, change in difference(after, before, 1).items()}
        syncs = (after["wal_sync_sum"] - before["wal_sync_sum"]) / max(
            1, after["wal_sync_count"] - before["wal_sync_count"])
        found.append({**facts, "clients": clients, "commands": count, "a_command": each,
                      "wal_sync_us": syncs * 1e6})
    return found


def difference(after, before, by):
    return {name: (count - before.get(name, 0)) / by for name, count in after.items()
            if count > before.get(name, 0)}


def fill(bench, members, clients, commands, splits=1):
    return run(bench, "fill", "--node", members.leader().address, "--clients", clients,
               "--commands", commands, "--splits", splits)


def lag(bench, members, size, facts):
    lines = run(bench, "lag", "--node", members.leader().address, "--other", members.other().address,
                "--etcd", members.endpoints, "--cluster", CLUSTER, "--commands", size.commits)
    return {**facts, **pick(lines, bench="cluster.lag")}


# Times without writes: each fault returns what puts things right again.

def nothing(members, number):
    return lambda: None


def stop_leader(members, number):
    node = members.leader()
    node.stop()
    return node.start


def kill_leader(members, number):
    node = members.leader()
    node.stop(signal.SIGKILL)
    return node.start


def kill_etcd(etcd, members):
    etcd.kill()
    return lambda: etcd.start(members.etcds)


def kill_etcd_leader(members, number):
    return kill_etcd(members.etcd_leader(), members)


def kill_etcd_follower(members, number):
    leader = members.etcd_leader()
    followers = [etcd for etcd in members.etcds if etcd is not leader]
    # One of them may be the one that Cadastre's leader calls: each in turn.
    return kill_etcd(followers[number % len(followers)], members)


def move_lead(members, number):
    run(members.cadastre, "cluster", "leader", "move", "--log", members.url, "--json")
    return lambda: None


FAULTS = [
    ("nothing", nothing, "nothing happens"),
    ("move", move_lead, "`cluster leader move`"),
    ("stop", stop_leader, "the leader is stopped (SIGTERM)"),
    ("kill", kill_leader, "the leader is killed (SIGKILL)"),
    ("etcd_leader", kill_etcd_leader, "etcd's leader is killed"),
    ("etcd_follower", kill_etcd_follower, "an etcd that does not lead is killed"),
]


def outages(bench, members, size):
    found = []
    with Probe(bench, members.nodes) as probe:
        for name, fault, _ in FAULTS:
            for number in range(size.faults):
                members.settle()
                begin = time.monotonic()
                mend = fault(members, number)
                found.append({"fault": name, "seconds": probe.longest_gap(begin, size.watch)})
                print(f"{name}: {found[-1]['seconds']:.3f} s", file=sys.stderr, flush=True)
                mend()
    return found


# Catching up

def catch_up(bench, members, size):
    members.settle()
    missing = size.entries - members.status()["position"]
    if missing > 0:
        fill(bench, members, 256, missing)
    members.settle()
    late = members.make()
    found = [start_late(bench, members, late, 0, "all that there are")]
    # With nothing to fetch, what a start takes by itself; then appends of one entry each; then large
    # entries.
    for what, clients, count, splits in (
            ("nothing", 0, 0, 1), ("appended one by one", 1, size.batches, 1),
            ("of 100 splits each", 16, size.batches, 100)):
        members.settle()
        had = wait_for(members.status)["position"]
        late.stop()
        if count:
            fill(bench, members, clients, count, splits)
        found.append(start_late(bench, members, late, had, what, splits))
    return found


def start_late(bench, members, node, had, what, splits=1):
    """Starts a member that has the entries up to `had`, and waits until it has all."""
    status = wait_for(members.status)
    end = status["position"]
    begin = time.monotonic()
    node.start()
    line = pick(run(bench, "await", "--node", node.address, "--position", end),
                bench="cluster.stored")
    return {"what": what, "entries": end - had, "events": (end - had) * splits,
            "from_etcd": end - max(had, status["trimmed_through"]), "seconds": line["at"] / 1e9 - begin,
            "first_answer_seconds": line["first_at"] / 1e9 - begin,
            "first_answer_entries": max(0, line["first_position"] - had)}


# What people read

def show(found):
    show_rates(found["rates"])
    show_calls(found["calls"])
    size = found["disk"]
    print(f"\netcd {found['etcd']} with its own settings, so that it syncs its log before it answers; "
          f"a synced append of 300 bytes on this disk ({size['file_system']}) takes "
          f"{size['sync_p50_us'] / 1000:.2f} ms (p99 {size['sync_p99_us'] / 1000:.2f} ms). All "
          f"processes share {os.cpu_count()} cores.")
    show_lags(found["lags"])
    show_outages(found["outages"])
    show_catch_up(found["catch_up"])


def several(count, what):
    return f"{count:,} {what}{'s' if count > 1 else ''}"


def setting(facts):
    return ", ".join(several(facts[f"{what}s"], what) for what in ("etcd", "node", "client"))


def show_rates(lines):
    def rounds(side, figure, facts):
        return [line[figure] for line in lines
                if line["side"] == side and all(line[k] == v for k, v in facts.items())]

    def figures(side, facts):
        if not rounds(side, "calls", facts):
            return ["", "", ""]
        return [thousands(statistics.median(rounds(side, "calls_per_second", facts))), *(
            f"{statistics.median(rounds(side, figure, facts)) / 1000:.2f} ms"
            for figure in ("p50_us", "p99_us"))]

    rows = []
    for etcds, nodes in sorted({(line["etcds"], line["nodes"]) for line in lines}):
        for clients in CLIENTS:
            facts = {"etcds": etcds, "nodes": nodes, "clients": clients}
            pairs = ((rounds("leader", figure, facts), rounds("put", figure, facts))
                     for figure in ("calls_per_second", "p50_us"))
            rows.append([setting(facts),
                         *figures("leader", facts), *figures("put", facts),
                         *(f"{ratios(*pair):.2f}" for pair in pairs), *figures("member", facts)])
    table(f"Commands in a cluster, beside plain puts of the {lines[0]['value_bytes']} bytes of an entry", [
        "", "commands/s", "p50", "p99", "puts/s", "p50", "p99", "commands over puts", "p50 over p50",
        "through another member, commands/s", "p50", "p99"], rows)


def show_calls(lines):
    rows = []
    for line in lines:
        if not line["clients"]:
            continue
        each = dict(line["a_command"])
        syncs = each.pop("wal_sync_count", 0) / line["etcds"]
        each.pop("wal_sync_sum", None)
        transactions, reads = each.pop("Txn", 0), each.pop("Range", 0)
        rows.append([setting(line), f"{transactions:.3f}", f"{reads:.3f}",
                     f"{max(0, sum(each.values())):.3f}", f"{syncs:.3f}",
                     f"{line['wal_sync_us'] / 1000:.2f} ms"])
    table("What a command asks of etcd, all nodes together", [
        "", "transactions", "reads", "other calls", "syncs of each etcd", "a sync takes"], rows)


def show_lags(lines):
    parts = ("sent_to_acknowledged", "sent_to_shown", "acknowledged_to_shown", "appended_to_shown")
    table("From a command at the leader to a watcher of another member, one command at a time", [
        "", "sent to acknowledged, p50", "p99", "sent to shown, p50", "p99",
        "acknowledged to shown, p50", "p99", "seen in etcd to shown, p50", "p99"], [
        [several(line["etcds"], "etcd"),
         *(f"{line[f'{part}_{figure}_us'] / 1000:.2f} ms"
           for part in parts for figure in ("p50", "p99"))] for line in lines])


def show_outages(lines):
    rows = []
    for name, _, words in FAULTS:
        seconds = [line["seconds"] for line in lines if line["fault"] == name]
        rows.append([words, f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s",
                     len(seconds)])
    table("The longest time without an acknowledged write, three etcds and three nodes",
          ["", "median", "longest", "times"], rows)


def show_catch_up(lines):
    start = pick(lines, what="nothing")["seconds"]
    rows = []
    for line in lines:
        if line["what"] == "nothing":
            continue
        fetching = max(1e-3, line["seconds"] - start)
        rows.append([f"{line['entries']:,} entries, {line['what']}", thousands(line["from_etcd"]),
                     milliseconds(line["seconds"]), thousands(line["entries"] / fetching),
                     thousands(line["events"] / fetching)])
    table(f"A late member, from its start until it has all; {milliseconds(start)} where it lacks "
          "nothing, which is taken off for the rates", [
        "", "of them in etcd still", "time", "entries/s", "route events/s"], rows)
