#!/usr/bin/env bash
# A cluster to try things with: three etcds and three nodes that share a log, on the loopback.
#
#   Tests/demo/cluster.sh start [FOLDER]   starts it, and says how it is until Ctrl-C stops it
#   Tests/demo/cluster.sh stop FOLDER      stops it from elsewhere
#
# What is written is in FOLDER, and stays: started again it goes on. Without FOLDER it is in a temporary
# one, which goes when the cluster stops. CADASTRE names the program; PORT is the first of nine ports
# (4810): 0 to 2 are those of the nodes, 3 to 5 of the etcds for clients, 6 to 8 among themselves.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cadastre=${CADASTRE:-$root/.build/release/cadastre}
port=${PORT:-4810}
unset CADASTRE_LOG CADASTRE_SERVER CADASTRE_CONFIG

fail() { printf 'error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'help: %s\n' "$2" >&2; exit 1; }
node() { echo "127.0.0.1:$((port + $1))"; }
client() { echo "127.0.0.1:$((port + 3 + $1))"; }
peer() { echo "127.0.0.1:$((port + 6 + $1))"; }

if [ "${1:-start}" = stop ]; then
  folder=${2:?FOLDER is missing: the one that the cluster was started with}
  pid=$(cat "$folder/cluster.pid" 2>/dev/null) || fail "no cluster runs in $folder"
  kill "$pid" 2>/dev/null || fail "the cluster in $folder has ended: process $pid is gone"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  echo "stopped"
  exit
fi
[ "${1:-start}" = start ] || fail "\"$1\" is no command" "write start [FOLDER] or stop FOLDER"

etcd=$(command -v etcd) || fail "there is no etcd on the PATH" "make cluster installs it"
[ -x "$cadastre" ] || fail "there is no program $cadastre" "make release"
for offset in $(seq 0 8); do
  if (: < "/dev/tcp/127.0.0.1/$((port + offset))") 2>/dev/null; then
    fail "port $((port + offset)) is taken" "give the first of nine free ones: PORT=5810"
  fi
done

folder=${2:-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d "${TMPDIR:-/tmp}/cadastre-cluster.XXXXXX")
  temporary=1
else
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
fi
if other=$(cat "$folder/cluster.pid" 2>/dev/null) && kill -0 "$other" 2>/dev/null; then
  fail "a cluster runs in $folder already, as process $other" "$0 stop $folder"
fi
echo $$ > "$folder/cluster.pid"

nodes=() etcds=()
clean_up() {
  local status=$?
  trap - EXIT INT TERM ERR
  # Nodes first: they give back the lead, and their last word to the etcds.
  for group in "${nodes[*]:-}" "${etcds[*]:-}"; do
    for pid in $group; do kill "$pid" 2>/dev/null || true; done
    for _ in $(seq 150); do
      local left=''
      for pid in $group; do if kill -0 "$pid" 2>/dev/null; then left=1; fi; done
      [ -n "$left" ] || break
      sleep 0.1
    done
    for pid in $group; do kill -9 "$pid" 2>/dev/null || true; done
  done
  wait
  rm -f "$folder/cluster.pid"
  if [ -n "${temporary:-}" ]; then rm -rf "$folder"; else echo "stopped; what was written is in $folder"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'echo "FAILED: line $LINENO: $BASH_COMMAND" >&2; tail -n 3 "$folder"/*.err >&2' ERR
trap 'exit 0' INT TERM

# Each in a session of its own: Ctrl-C is for this script, which stops them in order.
start() { # NAME PROGRAM ARGUMENTS...
  local name=$1
  shift
  setsid "$@" > "$folder/$name.out" 2> "$folder/$name.err" < /dev/null &
}
# Waits for something to succeed, for as long as process $1 runs.
until_ready() {
  local pid=$1 name=$2
  shift 2
  for _ in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return; fi
    kill -0 "$pid" 2>/dev/null || fail "$name ended: $(tail -n 1 "$folder/$name.err")"
    sleep 0.1
  done
  fail "$name does not answer" "see $folder/$name.err"
}

members=$(for n in 0 1 2; do printf 'etcd%s=http://%s,' "$n" "$(peer $n)"; done)
for n in 0 1 2; do
  start "etcd$n" "$etcd" --name "etcd$n" --data-dir "$folder/etcd$n" \
    --listen-client-urls "http://$(client $n)" --advertise-client-urls "http://$(client $n)" \
    --listen-peer-urls "http://$(peer $n)" --initial-advertise-peer-urls "http://$(peer $n)" \
    --initial-cluster "${members%,}" --initial-cluster-token cadastre --initial-cluster-state new
  etcds+=($!)
done
for n in 0 1 2; do
  until_ready "${etcds[$n]}" "etcd$n" grep -q "ready to serve client requests" "$folder/etcd$n.err"
done

log="etcd://$(client 0),$(client 1),$(client 2)/demo"
if [ ! -d "$folder/node0" ]; then
  "$cadastre" cluster init "$folder/node0" --log "$log"
fi
for n in 0 1 2; do
  start "node$n" "$cadastre" serve --log "$log" --folder "$folder/node$n" --member "node$n" --region home \
    --listen "$(node $n)"
  nodes+=($!)
done
for n in 0 1 2; do
  until_ready "${nodes[$n]}" "node$n" "$cadastre" status --server "$(node $n)"
done

table() {
  printf '%-6s  %-15s  %-8s  %8s  %8s  %s\n' NODE ADDRESS ROLE VERSION POSITION PROCESS
  for n in 0 1 2; do
    local line
    line=$("$cadastre" status --server "$(node $n)" --json 2>/dev/null | python3 -c '
import json, sys
d = json.load(sys.stdin)
print("%-8s  %8d  %8d" % (d["role"], d["version"], d["position"]))' 2>/dev/null) \
      || line=$(printf '%-8s  %8s  %8s' "down" - -)
    printf '%-6s  %-15s  %s  %s\n' "node$n" "$(node $n)" "$line" "${nodes[$n]}"
  done
}

table
cat <<TEXT

the log       $log
the folders   $folder/node0 to node2; what they print is beside them

  $cadastre cluster status --log $log
  $cadastre cluster doctor --log $log
  $cadastre split --at m --server $(node 1)
  $cadastre resolve apple zebra --server $(node 2)
  kill -9 PROCESS                     of the one that leads: another does, in a few seconds

Ctrl-C stops it, or: make cluster-stop FOLDER=$folder
TEXT
shown=$(table)
while sleep 1; do
  now=$(table)
  if [ "$now" != "$shown" ]; then printf '\n%s\n' "$now"; shown=$now; fi
done
