# shellcheck shell=bash disable=SC2034,SC2120,SC2154,SC2164
# lib.sh - what ./demo and the end-to-end tests share. Sourced by bash; wants $top (the repository) and $build.
# Everything runs in a folder of its own, $work, so that any number of them run side by side.

passed=0 failed=0

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
ok() { passed=$((passed + 1)); printf 'ok %d - %s\n' $((passed + failed)) "$*"; }
not_ok() { failed=$((failed + 1)); printf 'not ok %d - %s\n' $((passed + failed)) "$*"; }

# check TEXT CMD...: one step, in this shell (it may start and end programs); CMD's output is shown only when it fails.
check() {
	local text=$1
	shift
	if "$@" >"$work/.check" 2>&1; then
		ok "$text"
	else
		not_ok "$text"
		printf '%s\n' "  got: $(head -c 2000 "$work/.check")" "  from: $(head -c 300 <<<"$*")"
	fi
}

# show CMD...: runs a command as a person would, and shows it.
show() { printf '$ %s\n' "${1##*/} ${*:2}"; "$@"; }

# is GOT WANT
is() { [ "$1" = "$2" ] || { echo "got '$1', want '$2'"; return 1; }; }

# exits CODE PATTERN CMD...: the command ends with CODE and says PATTERN.
exits() {
	local want=$1 pattern=$2 out code=0
	shift 2
	out=$("$@" 2>&1 </dev/null) || code=$?
	[ "$code" = "$want" ] || { echo "exit code $code, want $want: $out"; return 1; }
	grep -qE -- "$pattern" <<<"$out" || { echo "no '$pattern' in: $out"; return 1; }
}

# until_true SECONDS CMD...: waits for a condition; the condition, not the time, decides. Slow machines get more of it.
patience=1 pause=0.1
until_true() {
	local end=$((SECONDS + $1 * patience))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
		sleep "$pause"
	done
}

# The programs under test, with the folders of this run.
setup_run() {
	work=$1
	mkdir -p "$work"
	work=$(readlink -f "$work")
	export NSMITH_RUN_DIR=$work/run NSMITH_STATE_DIR=$work/state
	nsmith=$build/src/cli/nsmith softnvme=$build/src/softnvme/nsmith-softnvme socket=$work/soft.sock
	agent_drives=(--softnvme "$socket")
	nsmithd=$build/src/server/nsmithd agent=$build/src/agent/nsmith-agent
	export PATH=$build/src/server:$build/src/agent:$PATH # where `nsmith up` finds them
	mkdir -p "$NSMITH_RUN_DIR" "$NSMITH_STATE_DIR"
}

# drives_start SERIAL=PROFILE...
softnvme_more=() # options
drives_start() {
	local args=() add
	for add in "$@"; do args+=(--add "$add"); done
	"$softnvme" --dir "$work/drives" --socket "$socket" --profiles "${profiles:-$top/share/profiles}" "${softnvme_more[@]}" "${args[@]}" \
		>>"$work/softnvme.log" 2>&1 &
	softnvme_pid=$!
	until_true 60 "$softnvme" --ctl "$socket" ls
}

drives_ctl() { "$softnvme" --ctl "$socket" "$@"; }

run_stop() {
	"$nsmith" down >/dev/null 2>&1 || true
	if [ -n "${softnvme_pid-}" ]; then kill "$softnvme_pid" 2>/dev/null || true; wait "$softnvme_pid" 2>/dev/null || true; fi
}

# slices FILTER: ids of the slices for which the jq filter holds, one a line.
slices() { "$nsmith" slice ls --json | jq -r ".items[] | select($1) | .id"; }
slice_count() { slices "$1" | wc -l; }
vm_slices() { "$nsmith" vm show "$1" --json | jq -r '.slices[]'; }
media_of() { readlink -f "$("$nsmith" slice show "$1" --json | jq -r .path)"; } # of a slice that is handed out
agent_pid() { cat "$NSMITH_RUN_DIR/nsmith-agent.pid"; }

# settled: nothing is being made, erased or started.
settled() { "$nsmith" wait --timeout "${1:-60}" >/dev/null 2>&1; }

console() { tr -d '\r' <"$NSMITH_STATE_DIR/console/$1.log"; }
console_has() { console "$1" | grep -aqE -- "$2"; }

# ---- for the scripts t_*.sh, which start the programs themselves --------------------------------------------------

# begin NAME: a run of its own in build/e2e/NAME; all that is started here ends with the script.
begin() {
	name=$1
	cd "$top"
	build=${NSMITH_BUILD:-$top/build/demo}
	rm -rf "$top/build/e2e/$name"
	setup_run "$top/build/e2e/$name"
	api_socket=$NSMITH_RUN_DIR/nsmithd.sock
	virt=fake agent_drives=(--softnvme "$socket") host_name=e2e
	trap end_all EXIT
	trap 'exit 143' TERM INT HUP
}

finish() {
	printf '%s: %d steps passed, %d failed\n' "$name" "$passed" "$failed"
	[ "$failed" = 0 ]
	exit
}

# end_pid PID [SIGNAL]: ends a child and waits for it; its exit code is in $ended.
end_pid() {
	ended=0
	[ -n "${1-}" ] || return 0
	kill "-${2:-TERM}" "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || ended=$?
}

server_pid='' agent_child='' relay_pid=''
server_stop() { end_pid "$server_pid" "$@"; server_pid=''; }
agent_stop() { end_pid "$agent_child" "$@"; agent_child=''; }
drives_stop() { end_pid "${softnvme_pid-}" "$@"; softnvme_pid=''; }
end_all() {
	agent_stop
	server_stop
	end_pid "$relay_pid"
	drives_stop
}

# With NSMITH_RECORD, a folder, everything that is said to the server and by it is written down there (test/e2e/openapi).
server_start() {
	if [ -n "${NSMITH_RECORD-}" ]; then
		set -- --listen "unix:$work/direct.sock" "$@"
		[ -n "$relay_pid" ] || {
			"$top/test/e2e/openapi" relay "$api_socket" "$work/direct.sock" "$NSMITH_RECORD/$name.jsonl" 2>>"$work/relay.log" &
			relay_pid=$!
		}
	fi
	"$nsmithd" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" "$@" >>"$work/nsmithd.log" 2>&1 &
	server_pid=$!
	until_true 60 api GET /v1/status
}

# agent_start [OPTION...]: returns when the server knows it.
agent_run=0
agent_start() {
	agent_run=$((agent_run + 1))
	agent_log=$work/agent.$agent_run.log
	"$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" "${agent_drives[@]}" --virt "$virt" --host "$host_name" "$@" \
		>"$agent_log" 2>&1 &
	agent_child=$!
	until_true 60 grep -q ' registered ' "$agent_log"
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# api METHOD PATH [BODY [CURL OPTION...]]: the answer's body; fails when the status is not 2xx.
api() {
	local method=$1 path=$2
	shift 2
	local body=()
	if [ $# -gt 0 ]; then
		[ -z "$1" ] || body=(--data-binary "$1")
		shift
	fi
	curl -sS --path-as-is --max-time 20 --unix-socket "$api_socket" -X "$method" "${body[@]}" "$@" \
		-w '%{stderr}%{http_code}\n' "http://nsmith$path" 2>"$work/.status" || return 1
	[[ $(tail -1 "$work/.status") == 2* ]]
}

# Everything the server says of the world, without times and signs of life.
dump() {
	local what urls=()
	for what in hosts drives slices classes flavors claims vms erasures; do urls+=("http://nsmith/v1/$what"); done
	curl -sS --max-time 20 --unix-socket "$api_socket" "${urls[@]}" |
		jq -cS 'walk(if type=="object" then del(.last_seen_ms, .seen_ms, .up, .power_on_hours) else . end)'
}

# idle: the host is where the server wants it, and every record has arrived.
idle() {
	curl -sS --max-time 5 --unix-socket "$api_socket" http://nsmith/v1/{slices,claims,vms,drives} | jq -es '
		(.[0].items | all((.state == "quarantined" and .wanted.retry == null and .wanted.retire == null) or
			((.state == "free" or .state == "attached") and .generation == .wanted.generation))) and
		(.[1].items | all(.state == "ready")) and
		(.[2].items | all(.wanted != "gone")) and
		(.[3].items | all(.adopt != "checking" and .adopt != "cutting"))' >/dev/null
}
until_idle() { until_true "${1:-20}" idle; }

class_small() { api PUT /v1/classes/small '{"nominal_bytes": 67108864, "tolerance_ppm": 10000}' >/dev/null; }

# adopt SERIAL [CLASS [MORE JSON]]: and waits until its slices are ready.
adopt() {
	api POST "/v1/drives/$1/adopt" "{\"class\": \"${2:-small}\", \"confirm\": \"$1\"${3:+, $3}}" >/dev/null &&
		until_true 20 drive_adopted "$1" && until_idle 30
}
drive_is() { [ "$(api GET "/v1/drives/$1" | jq -r .adopt)" = "$2" ]; }
drive_adopted() { drive_is "$1" adopted; }
drive_seen() { api GET "/v1/drives/$1" >/dev/null; }
slice_state() { api GET "/v1/slices/$1" | jq -r .state; }
claim_slices() { api GET "/v1/claims/$1" | jq -r '.slices[]'; }
claim_is() { [ "$(api GET "/v1/claims/$1" | jq -r .state)" = "$2" ]; }
# claim ID N [CLASS]: N slices, ready.
claim() {
	api POST /v1/claims "{\"id\": \"$1\", \"class\": \"${3:-small}\", \"slices\": $2}" >/dev/null && until_true 10 claim_is "$1" ready
}
release() { api DELETE "/v1/claims/$1" >/dev/null && until_idle 30; }

# A tag of 4096 bytes in the second block of what PATH leads to. Not in the first: an erase plants a marker there.
tag_write() { printf '%-4096s' "$2" | dd of="$1" bs=4096 seek=1 conv=notrunc,fsync status=none; }
tag_is() {
	[ "$(dd if="$1" bs=4096 skip=1 count=1 status=none | tr -d '\0')" = "$(printf '%-4096s' "$2")" ] || { echo "no tag '$2' at $1"; return 1; }
}

# tags_write CLAIM, tags_are CLAIM: a tag on each slice of a claim, through its path.
tags_write() {
	local slice n=0
	for slice in $(claim_slices "$1"); do tag_write "$(slice_link "$slice")" "$1 $slice" && n=$((n + 1)); done
	[ $n -gt 0 ]
}
tags_are() {
	local slice n=0
	for slice in $(claim_slices "$1"); do tag_is "$(slice_link "$slice")" "$1 $slice" && n=$((n + 1)) || return 1; done
	[ $n -gt 0 ] || { echo "claim $1 has no slices"; return 1; }
}
slice_link() { echo "$NSMITH_RUN_DIR/slices/$1"; }
