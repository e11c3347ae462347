#!/usr/bin/env bash
# The life of a catalog in one walk: real keys, a leader, learners in two regions, a watcher, a lost
# mirror that is rebuilt from the log. Every claim is checked; the first that fails ends the walk.
#
#   Tests/demo/demo.sh [path of the cadastre binary]
#
# Needs bash, gzip, awk and python3 (to read JSON). Leaves nothing behind; KEEP=1 keeps the folder.
set -Eeuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cadastre=${1:-$root/.build/release/cadastre}
sample=$root/fixtures/debian-paths-120k.tsv.gz
every=10 batches=10 batch=100

[ -x "$cadastre" ] || { echo "error: there is no program $cadastre: make release" >&2; exit 1; }
unset CADASTRE_LOG CADASTRE_SERVER
work=$(mktemp -d "${TMPDIR:-/tmp}/cadastre-demo.XXXXXX")
declare -A process=()

# --- telling, checking, cleaning up -------------------------------------------------------------

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' faint=$'\e[2m' plain=$'\e[0m'; else bold='' faint='' plain=''; fi
chapter() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
# Shows a command as one would type it, then runs it.
show() {
  local word line=cadastre
  for word in "$@"; do
    word=${word//$work\//} word=${word//$root\//}
    case $word in *' '*) line+=" \"$word\"" ;; *) line+=" $word" ;; esac
  done
  printf '  %s$ %s%s\n' "$faint" "$line" "$plain"
  "$cadastre" "$@" | sed 's/^/    /'
}
fail() { printf '\nFAILED: %s\n' "$*" >&2; for log in "$work"/*.err; do [ -s "$log" ] && { echo "--- ${log##*/}"; tail -5 "$log"; } >&2; done; exit 1; }
check() { [ "$2" = "$3" ] || fail "$1: expected $3, got $2"; say "✓ $1: $2"; }

stop() {
  local name=$1 pid=${process[$1]:-}
  [ -n "$pid" ] || return 0
  unset "process[$name]"
  kill "$pid" 2>/dev/null || true
  # A node that does not end by itself within ten seconds is ended.
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}
clean_up() {
  local status=$?
  trap - EXIT INT TERM ERR
  for name in "${!process[@]}"; do stop "$name"; done
  if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
trap 'exit 130' INT TERM

# Reads a JSON document: the value of a Python expression on it, `d`.
json() {
  python3 -c "
import json, sys
d = json.load(sys.stdin)
def key(of, name):  # A key's bytes: its text, unless that had to be escaped.
    return bytes.fromhex(of[name + '_hex']) if name + '_hex' in of else of[name].encode()
def held(answer):  # Whether the route that was named for a key holds it.
    route = answer['route']
    return key(route, 'start') <= key(answer, 'key') and (
        route['end'] is None or key(answer, 'key') < key(route, 'end'))
print($1)"
}
field() { json "d['$1']"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
per_second() { awk -v n="$1" -v s="$2" 'BEGIN { printf "%.0f", n / s }'; }

# Starts a node and waits until it says where it listens.
serve() {
  local name=$1; shift
  rm -f "$work/$name.address"
  "$cadastre" serve --log "$work/$name" --listen 127.0.0.1:0 --address-file "$work/$name.address" --patience 20s "$@" \
    >"$work/$name.out" 2>"$work/$name.err" &
  process[$name]=$!
  for _ in $(seq 300); do
    [ -s "$work/$name.address" ] && break
    kill -0 "${process[$name]}" 2>/dev/null || fail "$name did not start"
    sleep 0.1
  done
  [ -s "$work/$name.address" ] || fail "$name does not listen after 30 s"
  printf -v "at_$name" %s "$(cat "$work/$name.address")"
}
# A batch of keys spread over the whole catalog, each in the middle of a route.
inner_keys() {
  awk -v rest="$1" -v step=$((every * batches)) -v count=$batch \
    'NR % step == rest { print; if (++n == count) exit }' "$work/keys"
}
digest() { "$cadastre" status --json --server "$1" | field digest; }
version() { "$cadastre" status --json --server "$1" | field version; }

began=$(now)

# ------------------------------------------------------------------------------------------------
chapter "1. A catalog is cut from 120,000 real file paths"
show import "$sample" --log "$work/leader" --every $every --actor demo
zcat "$sample" | cut -f1 >"$work/keys"
keys=$(wc -l <"$work/keys")
routes=$("$cadastre" status --json --log "$work/leader" | field routes)
check "routes, one for every $every keys" "$routes" $(((keys + every - 1) / every))

chapter "2. A leader and learners in two regions"
serve leader --region eu-central
say "leader in eu-central at $at_leader"
started=$(now)
serve tokyo --region ap-tokyo --follow "$at_leader"
serve virginia --region us-east --follow "$at_leader"
for node in tokyo virginia; do
  at=at_$node
  "$cadastre" resolve --min-version 1 --server "${!at}" a >/dev/null || fail "$node did not catch up"
done
say "learners in ap-tokyo at $at_tokyo and us-east at $at_virginia, caught up after $(since "$started") s"
check "Tokyo's digest is the leader's" "$(digest "$at_tokyo")" "$(digest "$at_leader")"

chapter "3. A watcher in Virginia follows while routes are split and merged in batches"
last=$((1 + 2 * batches))
"$cadastre" watch --json --from 1 --until $last --server "$at_virginia" >"$work/watch" 2>"$work/watch.err" &
process[watch]=$!
for ((n = 0; n < batches; n++)); do inner_keys $((every * n + 6)) >"$work/split.$n"; done
started=$(now)
for ((n = 0; n < batches; n++)); do
  "$cadastre" split --from-file "$work/split.$n" --actor demo --reason "demo: batch $n" \
    --json --server "$at_leader" >"$work/split.$n.json"
done
seconds=$(since "$started")
splits=$(cat "$work"/split.*.json | python3 -c 'import json,sys; print(sum(len(json.loads(l)["new_routes"]) for l in sys.stdin))')
check "routes made by $batches batches" "$splits" $((batches * batch))
say "$splits splits in $seconds s, each batch one process, one entry and one synced commit"
check "asked again, a batch finds itself done" \
  "$("$cadastre" split --from-file "$work/split.0" --json --server "$at_tokyo" | field outcome)" already-done

# Half of each batch goes back into the routes that it was split from.
for ((n = 0; n < batches; n++)); do
  made=$(json "' '.join('--id %d' % i for i in d['new_routes'][::2])" <"$work/split.$n.json")
  # shellcheck disable=SC2086 # the ids are words
  "$cadastre" routes $made --json --server "$at_leader" \
    | json "' '.join('%d %d' % (r['parent'], r['id']) for r in d['routes'])" >"$work/pairs.$n"
done
started=$(now)
for ((n = 0; n < batches; n++)); do
  # shellcheck disable=SC2046
  "$cadastre" merge $(<"$work/pairs.$n") --actor demo --reason "demo: batch $n" --json \
    --server "$at_tokyo" >"$work/merge.$n.json"
done
say "$((splits / 2)) merges in $(since "$started") s, sent to Tokyo, which forwards them to the leader"
check "version after $batches + $batches batches" "$(version "$at_leader")" $last
wait "${process[watch]}" || fail "the watcher ended badly"
unset "process[watch]"
check "versions that the watcher saw, in order, none left out" \
  "$(python3 -c 'import json,sys; v=[json.loads(l) for l in sys.stdin]; v=[c["version"] for c in v if c["type"]=="change"]; print("%d to %d" % (v[0], v[-1]) if v==list(range(v[0], v[-1]+1)) else v)' <"$work/watch")" \
  "2 to $last"

chapter "4. Real keys, resolved in Tokyo"
key=$(sed -n 2p "$work/split.9")
show split --at usr/share/doc --reason "a folder of its own" --actor demo --server "$at_leader"
mine=$(version "$at_leader")
show resolve usr/bin/env "$key" usr/share/doc --min-version "$mine" --max-staleness 2s --server "$at_tokyo"
check "Tokyo answers with the write just made (--min-version $mine)" \
  "$("$cadastre" resolve usr/share/doc --min-version "$mine" --json --server "$at_tokyo" | json "d['keys'][0]['route']['start']")" usr/share/doc
head -10000 "$work/keys" >"$work/ten-thousand"
started=$(now)
"$cadastre" resolve - --json --server "$at_tokyo" <"$work/ten-thousand" >"$work/resolved"
seconds=$(since "$started")
check "of 10,000 keys, those inside the route that was named" \
  "$(json "sum(held(k) for k in d['keys'])" <"$work/resolved")" 10000
say "in one process that took $seconds s: $(per_second 10000 "$seconds") keys a second, start and printing included"

chapter "5. Tokyo's mirror is lost, and rebuilt from the log"
stop tokyo
rm -rf "${work:?}/tokyo"
say "Tokyo is stopped and its folder is gone; meanwhile the world goes on"
for ((n = 0; n < 5; n++)); do
  inner_keys $((every * n + 3)) | "$cadastre" split --from-file - --actor demo --reason "while Tokyo is away" --json --server "$at_virginia" >/dev/null
done
show replay --from "$work/leader" --into "$work/tokyo"
"$cadastre" split --at usr/share/man --json --server "$at_leader" >/dev/null
newest=$(version "$at_leader")
serve tokyo --region ap-tokyo --follow "$at_leader"
for node in tokyo virginia; do
  at=at_$node
  "$cadastre" resolve --min-version "$newest" --server "${!at}" a >/dev/null || fail "$node did not catch up"
done
say "Tokyo is back at $at_tokyo, at version $(version "$at_tokyo")"
leader=$(digest "$at_leader")
check "Tokyo's digest is the leader's" "$(digest "$at_tokyo")" "$leader"
check "Virginia's too" "$(digest "$at_virginia")" "$leader"

chapter "6. Everything stops, and the record is proved"
for name in tokyo virginia leader; do stop $name; done
for name in leader tokyo virginia; do
  "$cadastre" verify --log "$work/$name" --expect-digest "$leader" --json >"$work/$name.verified" || fail "$name's log"
done
show verify --log "$work/tokyo" --expect-digest "$leader"
check "all three logs end in the same entry" \
  "$(for name in tokyo virginia; do field head_hash <"$work/$name.verified"; done | sort -u)" \
  "$(field head_hash <"$work/leader.verified")"

chapter "Done in $(since "$began") s."
