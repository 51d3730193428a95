#!/usr/bin/env bash
# What `get` and `put` of a large file cost against the plainest tools.
#
#   benches/get_vs_curl.sh
#
# - `chordal get` from a ring of three nodes, verified, to a file, against
#   `curl` from nginx (sendfile) to a file on the same disk. Budget: at least
#   1.0 times as fast.
# - `chordal put` with three durable copies against `cp` three times + `sync`.
#   Budget: at least 0.8 times as fast.
# - The most memory that each process took, beyond what it had at rest.
#   Budget: 64 MiB.
#
# Runs come in pairs, one of each kind, in turn first: a busy machine slows
# both. The ratio is the median of the pairs' ratios, with the least and the
# greatest. What is not installed is named and its part left out.
#
# Environment: SIZE_MIB (1024), PAIRS (5), CHORDAL (the program; built when not
# given), BENCH_DIR (where the files go; needs about eight times SIZE_MIB).

set -euo pipefail
export LC_ALL=C

SIZE_MIB=${SIZE_MIB:-1024}
PAIRS=${PAIRS:-5}
BUDGET_MIB=64

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

[ -r /proc/self/status ] || die "this needs /proc (Linux)"

repo=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "${CHORDAL:-}" ]; then
    cargo build --release --quiet --manifest-path "$repo/Cargo.toml"
    CHORDAL=${CARGO_TARGET_DIR:-$repo/target}/release/chordal
fi
[ -x "$CHORDAL" ] || die "$CHORDAL is not there; name the program with CHORDAL="

work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/chordal-bench.XXXXXX")
started=()
end() {
    [ ${#started[@]} -eq 0 ] || kill -KILL "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM
# No settings and no nodes of whoever runs this.
export HOME=$work XDG_CONFIG_HOME=$work XDG_DATA_HOME=$work
for name in $(compgen -e | grep '^CHORDAL_' || true); do unset "$name"; done

# ---- measuring -------------------------------------------------------------

# A field of /proc/PID/status in KiB; fails when the process has ended.
memory() {
    local key value
    while read -r key value _; do
        [ "$key" != "$2:" ] || { echo "$value"; return; }
    done 2>/dev/null <"/proc/$1/status"
    return 1
}

# Runs a command and sets `took` (seconds).
timed() {
    sync -f "$work"
    local begin=$EPOCHREALTIME
    "$@" >"$work/output" 2>&1 || { cat "$work/output" >&2; die "failed: $*"; }
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
}

# Runs a command and sets `peak` (KiB of its memory at the most).
watched() {
    run=exec "$@" >"$work/output" 2>&1 &
    local process=$! now
    # The system forgets a process's peak with the process: look while it runs.
    while now=$(memory $process VmHWM) && [ -n "$now" ]; do
        peak=$now
        sleep 0.05
    done
    wait $process || { cat "$work/output" >&2; die "failed: $*"; }
}

median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
divide() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# compare NAME OTHER BUDGET: a line on how much faster than the other, from
# the arrays of times `ours` and `theirs`.
compare() {
    local at ratios=()
    for at in "${!ours[@]}"; do ratios+=("$(divide "${theirs[at]}" "${ours[at]}")"); done
    printf '%-16s %s, %s %s: ratio %s (%s to %s; budget %s)\n' \
        "$1" "$(rate "$(median "${ours[@]}")")" "$2" "$(rate "$(median "${theirs[@]}")")" \
        "$(median "${ratios[@]}")" "$(printf '%s\n' "${ratios[@]}" | sort -g | head -n 1)" \
        "$(printf '%s\n' "${ratios[@]}" | sort -g | tail -n 1)" "$3"
}
rate() { awk -v mib="$SIZE_MIB" -v s="$1" 'BEGIN { printf "%.0f MiB/s", mib / s }'; }
mib() { awk -v k="$1" 'BEGIN { printf "%.1f MiB", k / 1024 }'; }

# ---- what is measured ------------------------------------------------------

# Other content in as little time as possible: the first bytes tell.
change() { printf '%016d' "$1" | dd of="$source" conv=notrunc status=none; }

put() { ${run:-} "$CHORDAL" put "$source" --as "$1" --via "${addresses[0]}"; }
get() { ${run:-} "$CHORDAL" get big --to "$work/got" --via "${addresses[0]}"; }
curl_file() { curl --silent --show-error --fail -o "$work/curled" "http://127.0.0.1:$port/source"; }
copies() {
    cp "$source" "$work/copy-1"
    cp "$source" "$work/copy-2"
    cp "$source" "$work/copy-3"
    sync "$work/copy-1" "$work/copy-2" "$work/copy-3"
}

start_node() {
    local log=$work/node-$1.out process
    shift
    : >"$log"
    "$CHORDAL" 127.0.0.1:0 --headless --data-dir "$work/data-${#addresses[@]}" "$@" \
        >"$log" 2>"$log.err" &
    process=$!
    started+=($process)
    nodes+=($process)
    until grep -q '^ready' "$log"; do
        kill -0 $process 2>/dev/null || { cat "$log.err" >&2; die "a node did not start"; }
        sleep 0.05
    done
    addresses+=("$(awk '/^ready/ { print $3 }' "$log")")
}

# Starts nginx on a free port, which it cannot choose itself.
start_nginx() {
    local as=''
    [ "$(id -u)" -ne 0 ] || as='user root;'
    mkdir "$work/nginx"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 30000))
        cat >"$work/nginx.conf" <<CONF
daemon off;
$as
worker_processes 2;
pid $work/nginx/pid;
error_log $work/nginx/error.log;
events { }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path $work/nginx/body;
    proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    server { listen 127.0.0.1:$port; root $work; }
}
CONF
        nginx -p "$work/nginx" -c "$work/nginx.conf" 2>"$work/nginx.err" &
        local process=$!
        while kill -0 $process 2>/dev/null; do
            if curl --silent --fail -o /dev/null "http://127.0.0.1:$port/small"; then
                started+=($process)
                return
            fi
            sleep 0.05
        done
    done
    cat "$work/nginx.err" >&2
    die "nginx does not start"
}

# ---- the runs --------------------------------------------------------------

source=$work/source
addresses=()
nodes=()
say "$SIZE_MIB MiB of random bytes, $PAIRS pairs of runs"
echo small >"$work/small"
head -c "$((SIZE_MIB * 1024 * 1024))" /dev/urandom >"$source"

start_node 0
start_node 1 --join "${addresses[0]}"
start_node 2 --join "${addresses[0]}"
until [ "$("$CHORDAL" ring --json --via "${addresses[0]}" |
    grep -o '"address"' | wc -l)" -eq 3 ]; do sleep 0.2; done
idle=()
for node in "${nodes[@]}"; do idle+=("$(memory "$node" VmRSS)"); done

ours=()
theirs=()
for ((pair = 1; pair <= PAIRS; pair++)); do
    change "$pair"
    run_put() { timed put "put-$pair"; ours+=("$took"); }
    run_cp() { timed copies; theirs+=("$took"); rm "$work"/copy-*; }
    if ((pair % 2)); then run_put; run_cp; else run_cp; run_put; fi
    "$CHORDAL" rm "put-$pair" --via "${addresses[0]}" >/dev/null
done
compare "put, 3 copies" "cp ×3 + sync" 0.80

change 0
watched put big
put_peak=$peak
if has nginx && has curl; then
    start_nginx
    ours=()
    theirs=()
    for ((pair = 1; pair <= PAIRS; pair++)); do
        run_get() { timed get; ours+=("$took"); rm "$work/got"; }
        run_curl() { timed curl_file; theirs+=("$took"); rm "$work/curled"; }
        if ((pair % 2)); then run_get; run_curl; else run_curl; run_get; fi
    done
    compare "get" "curl" 1.00
else
    has nginx || say "nginx is not installed: get is not compared with curl"
    has curl || say "curl is not installed: get is not compared with curl"
fi

watched get
cmp "$work/got" "$source" || die "what was fetched is not what was stored"
say "memory of the client at the most: put $(mib "$put_peak"), get $(mib "$peak")"
for at in 0 1 2; do
    most=$(memory "${nodes[$at]}" VmHWM)
    say "memory of node $at: $(mib "${idle[$at]}") at rest, $(mib $((most - idle[at]))) more at the most (budget $BUDGET_MIB MiB)"
done
