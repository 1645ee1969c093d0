#!/bin/bash
# t_cli - every command of the table: its help, its JSON, its dry run, its refusals; every exit code; forged
# certificates; programs that come and go. The table itself says which commands there are ('nsmith help --json').
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
begin t_cli

before=
same() { [ "$(dump)" = "$before" ] || { echo "the world changed:"; diff <(jq . <<<"$before") <(dump | jq .); return 1; }; }
remember() { before=$(dump); }

# run WORD...: the command line without input; exit code in $code, output in $work/.out and .err.
run() {
	code=0
	timeout 40 "$nsmith" "$@" </dev/null >"$work/.out" 2>"$work/.err" || code=$?
}
ended() { [ $code = "$1" ] || { echo "exit code $code, want $1: $(cat "$work/.err")"; return 1; }; }
# What and why, what to do, and no data.
explained() {
	grep -qE '^nsmith: .' "$work/.err" && grep -qE '^hint: .' "$work/.err" && [ ! -s "$work/.out" ] ||
		{ echo "not explained: out '$(head -c 300 "$work/.out")' err '$(cat "$work/.err")'"; return 1; }
}
works_as() { run "$@"; ended 0; }
one_document() { jq -es 'length == 1 and (.[0] | type == "object")' "$work/.out" >/dev/null || { echo "not one JSON object: $(head -c 300 "$work/.out")"; return 1; }; }
# refuses CODE PATTERN WORD...
refuses() {
	local want=$1 pattern=$2
	shift 2
	run "$@"
	ended "$want" && explained && { grep -qE -- "$pattern" "$work/.err" || { echo "no '$pattern' in: $(cat "$work/.err")"; return 1; }; }
}

# ---- a world in which there is one of everything -------------------------------------------------------------------

drives_start T1=tiny SPARE1=tiny LIAR1=tiny-liar WHOLE1=tiny-no-nsmgmt HITS1=tiny-hits-all DRAINED1=tiny
server_start
agent_start
for serial in T1 SPARE1 LIAR1 WHOLE1 HITS1 DRAINED1; do until_true 10 drive_seen $serial; done
class_small
api PUT /v1/flavors/two '{"vcpus": 1, "memory_bytes": 67108864, "slices": 2, "class": "small"}' >/dev/null
touch "$work/kernel"
adopt T1
claim held 1
run drive adopt LIAR1 --class small --yes --serial=LIAR1
check "7: an adoption that ends with quarantined slices" ended 7
check "and says what and why" grep -q 'quarantined' "$work/.err"
"$nsmith" vm create web --flavor two --kernel "$work/kernel" >/dev/null
until_idle 30
api POST /v1/drives/HITS1/adopt '{"class": "small", "confirm": "HITS1"}' >/dev/null
until_true 30 drive_is HITS1 fault
adopt DRAINED1
api POST /v1/drives/DRAINED1/drain >/dev/null
until_idle 60
quarantined=$(slices '.state == "quarantined"' | head -1)
erasure=$("$nsmith" erasure ls --json | jq -r 'first(.items[] | select(.verdict == "verified")).id')
check "the world is there" test -n "$quarantined" -a -n "$erasure"
remember

# ---- the table -----------------------------------------------------------------------------------------------------

mapfile -t rows < <("$nsmith" help --json | jq -r '.items[] | [.noun, .verb // "-", (.args | if . == "" then "-" else . end),
	.args_min, .args_max, ([.options[] | .name + (if .value then "=" else "" end)] | unique | join(","))] | @tsv')
check "the table has all nouns of the help" is "$("$nsmith" help --json | jq -r '[.items[].noun] | unique | length')" \
	"$("$nsmith" --help | sed -n '/^$/,/^Options/s/^  \([a-z]*\) .*/\1/p' | sort -u | wc -l)"

has() { [[ ,$options, == *,$1,* || ,$options, == *,$1=,* ]]; }

# An object of the world for the first argument of a command, by what its noun lists; a word where there is none.
object() {
	case $noun/$1 in
	slice/*) echo "$quarantined" ;;
	erasure/*) echo "$erasure" ;;
	drive/*)
		case $verb in
		adopt) echo SPARE1 ;;
		retry) echo HITS1 ;;
		resume) echo DRAINED1 ;;
		*) echo T1 ;;
		esac
		;;
	host/*) echo e2e ;;
	claim/*) echo held ;;
	vm/*) [ "$verb" = create ] && echo web2 || echo web ;;
	class/*) echo small ;;
	flavor/*) echo two ;;
	*) echo "${1%%|*}" ;;
	esac
}

# All arguments that must be there: of words to choose from the first, of files one that is there.
arguments() {
	local words_of i
	read -ra words_of <<<"$argument"
	for ((i = 0; i < min; i++)); do
		case $i/${words_of[i]-x} in
		0/*) object "${words_of[0]}" ;;
		*/*FILE*) echo "$work/kernel" ;;
		*) echo "${words_of[i]%%|*}" ;;
		esac
	done
}

# What a command needs besides: the options of its example, with objects of this world for their values.
needs() {
	local word next
	set -- $("$nsmith" help "${words[@]}" --json | jq -r '.items[0].example')
	while [ $# -gt 0 ]; do
		word=$1 next=${2-}
		shift
		case $word in
		--flavor) echo --flavor=two ;;
		--image | --kernel) echo "--kernel=$work/kernel" ;;
		--class) echo --class=small ;;
		--slices) echo --slices=1 ;;
		--size) echo --size=64MiB ;;
		--memory | --vcpus | --tolerance | --timeout) echo "$word=$next" ;;
		esac
	done
	if [ "$noun" = drive ] && has class; then echo --class=small; fi
	if [ "$noun" = claim ] && has class; then echo --class=small; fi
	if [ "$noun" = flavor ] && has class; then echo --class=small; fi
	if has timeout && ! has dry-run; then echo --timeout=20; fi
}

helps() {
	run "${words[@]}" --help
	ended 0 && grep -q '^Example: ' "$work/.out" && grep -q '^Usage: nsmith '"${words[*]}" "$work/.out" && [ ! -s "$work/.err" ] || { head -3 "$work/.out"; return 1; }
	local first
	first=$(<"$work/.out")
	run help "${words[@]}"
	ended 0 && is "$(cat "$work/.out")" "$first" >/dev/null || { echo "'help ${words[*]}' says something else"; return 1; }
	local name
	for name in ${options//,/ }; do
		grep -qE -- "--${name%=}\b" <<<"$first" || { echo "no --$name in the help"; return 1; }
	done
}

words_are_checked() {
	local name last=
	refuses 2 "does not take it" "${words[@]}" "${objects[@]}" --nosuchoption || return
	refuses 2 "does not take it" "${words[@]}" "${objects[@]}" -Z || return
	for name in ${options//,/ }; do
		case $name in
		*=) refuses 2 "is missing" "${words[@]}" "${objects[@]}" "--${name%=}" || return ;;
		*) refuses 2 "takes no value" "${words[@]}" "${objects[@]}" "--$name=x" || return ;;
		esac
		[ ${#name} -gt 5 ] && last=${name%=}
	done
	refuses 2 "did you mean --$last" "${words[@]}" "${objects[@]}" "--${last}q" || return
	local many=("${objects[@]}") i
	for ((i = ${#objects[@]}; i <= max; i++)); do many+=(word); done
	refuses 2 "one word too many" "${words[@]}" "${many[@]}" || return
	[ "$min" = 0 ] || refuses 2 "missing" "${words[@]}" || return
	[ "$min" = 0 ] || refuses 2 "empty" "${words[@]}" ""
}

columns_are_checked() {
	refuses 2 "cannot show column" "${words[@]}" "${objects[@]}" -o NOSUCHCOLUMN
	refuses 2 "cannot show column" "${words[@]}" "${objects[@]}" -o ""
}

# Nobody is there: says so and what to do; what needs nobody is done.
alone() {
	local more=()
	! has dry-run || more=(--dry-run)
	! has timeout || more+=(--timeout=1)
	timeout 40 "$nsmith" "${words[@]}" "${objects[@]}" "${extra[@]}" "${more[@]}" --server "unix:$work/nobody.sock" </dev/null >"$work/.out" 2>"$work/.err"
	code=$?
	[ $code = 0 ] || { ended 6 && explained && grep -qE 'nsmith (up|status)' "$work/.err"; } || { cat "$work/.err"; return 1; }
}

# Works, and what it says has somewhere to go, or else it fails.
works() {
	run "${words[@]}" "${objects[@]}" "${extra[@]}" "$@"
	ended 0
}
in_json_of() { works_as "$@" --json && one_document; }
in_json() { works --json "$@" && one_document; }
lost_output() {
	[ -s "$work/.out" ] || return 0
	local to
	for to in /dev/full closed; do
		code=0
		if [ $to = closed ]; then
			"$nsmith" "${words[@]}" "${objects[@]}" "${extra[@]}" "$@" </dev/null >&- 2>"$work/.err" || code=$?
		else
			"$nsmith" "${words[@]}" "${objects[@]}" "${extra[@]}" "$@" </dev/null >$to 2>"$work/.err" || code=$?
		fi
		[ $code = 1 ] && grep -q 'cannot write the output' "$work/.err" || { echo "output to $to: exit code $code: $(cat "$work/.err")"; return 1; }
	done
	code=0
	"$nsmith" "${words[@]}" "${objects[@]}" "${extra[@]}" "$@" </dev/null >&9 2>"$work/.err" || code=$?
	[ $code != 0 ] || { echo "nobody reads: exit code 0"; return 1; }
}

# Descriptor 9: a pipe that nobody reads any more.
mkfifo "$work/pipe"
exec 8<>"$work/pipe" 9>"$work/pipe" 8>&-

say "Every command of the table"
for row in "${rows[@]}"; do
	IFS=$'\t' read -r noun verb argument min max options <<<"$row"
	words=("$noun")
	[ "$verb" = - ] || words+=("$verb")
	mapfile -t objects < <(arguments)
	mapfile -t extra < <(needs)
	command="${words[*]}"
	check "$command: help" helps
	check "$command: words and options" words_are_checked
	! has output || check "$command: columns" columns_are_checked
	check "$command: with nobody there" alone
	if has dry-run; then
		check "$command: dry run" works --dry-run
		! has json || check "$command: dry run as JSON" in_json --dry-run
		check "$command: dry run, nobody reads it" lost_output --dry-run
	elif [ "$command" = "vm console" ]; then
		continue # attaches to a terminal
	else
		check "$command: works" works
		check "$command: nobody reads it" lost_output
		! has json || check "$command: as JSON" in_json
		! has no-headings || check "$command: without headings, in bytes" works --no-headings --bytes
	fi
	check "$command: changes nothing" same
done

say "Unknown words"
for noun in $(printf '%s\n' "${rows[@]}" | cut -f1 | sort -u); do
	[ ${#noun} -gt 3 ] || continue
	check "'${noun}x' is near '$noun'" refuses 2 "did you mean 'nsmith $noun'" "${noun}x"
done
while IFS=$'\t' read -r noun verb _; do
	[ "$verb" != - ] && [ ${#verb} -gt 3 ] || continue
	check "'$noun ${verb}x' is near '$noun $verb'" refuses 2 "did you mean 'nsmith $noun $verb'" "$noun" "${verb}x"
done < <(printf '%s\n' "${rows[@]}")
check "a word like no other" refuses 2 "nsmith --help" qqqqqqqqqqqq
check "an option before any command" refuses 2 "does not take it" --nosuch
check "a control character is not shown" bash -c "! '$nsmith' \$'\\e[31mred' 2>&1 | grep -q \$'\\e'"
many=()
for i in $(seq 100); do many+=("w$i"); done
check "100 words" refuses 2 "more than 64 words" "${many[@]}"
no_command() { run && false; run; ended 2 && grep -q '^Usage: nsmith' "$work/.err" && [ ! -s "$work/.out" ]; }
check "no command at all: the help, as an error" no_command
noun_alone() { run drive; ended 2 && grep -q 'drive adopt' "$work/.err"; }
check "a noun alone: its commands, as an error" noun_alone
completes() {
	local text row
	text=$("$nsmith" completion bash) && bash -n <<<"$text" || return
	for row in "${rows[@]}"; do grep -q "^ *'$(cut -f1 <<<"$row") " <<<"$text" || { echo "not: $row"; return 1; }; done
}
check "the completion knows every command" completes

say "Every exit code"
table_codes=$("$nsmith" explain --json | jq -r '.items[].exit' | sort -n | tr '\n' ' ')
check "explain lists them" is "$table_codes" "0 1 2 3 4 5 6 7 8 9 "
explains_each() {
	local c
	for c in $table_codes; do run explain "$c" --json && ended 0 && one_document && is "$(jq .exit "$work/.out")" "$c" || return 1; done
}
check "each is explained by number, as one document" explains_each
in_docs() { local c; for c in $table_codes; do grep -q "^| $c |" docs/exit-codes.md || { echo "$c is missing"; return 1; }; done; }
check "docs/exit-codes.md has each" in_docs
check "0: done" works_as status
mkdir "$work/broken"
head -c 20000 /dev/urandom >"$work/broken/nsmithd.db"
check "1: for none of the other reasons" refuses 1 "cannot start nsmithd: it ended at once" up --run "$work/up1" --state "$work/broken" --virt fake
check "2: bad input" refuses 2 "not a size" class set c --size huge
check "3: not found" refuses 3 "nosuch" slice show nosuch
check "4: conflict" refuses 4 "not quarantined" slice retry "$(slices '.state == "free"' | head -1)"
check "5: does not fit" refuses 5 "needed 16" claim create --class small --slices 16
check "6: nobody there" refuses 6 "nsmith up" status --server "unix:$work/nobody.sock"
check "8: refused for safety" exits 8 "confirm" "$nsmith" drive adopt SPARE1 --class small
check "10 and 130 are in the docs too" grep -q '^| 10 ' docs/exit-codes.md
denied() {
	local code=0
	chmod 711 "$work" # the way to the socket is open, the socket is not
	setpriv --reuid=65534 --regid=65534 --clear-groups "$nsmith" status >"$work/.out" 2>"$work/.err" || code=$?
	[ $code = 9 ] && explained || { echo "exit code $code: $(cat "$work/.err")"; return 1; }
}
check "9: a user who may not" denied
interrupted() { # Ctrl-C while waiting: the work goes on
	api POST "/v1/slices/$quarantined/retry" '{}' >/dev/null
	agent_stop
	"$nsmith" wait >"$work/.out" 2>"$work/.err" &
	local pid=$! code=0
	until_true 10 grep -q 'under way' "$work/.err"
	kill -INT $pid
	wait $pid || code=$?
	[ $code = 130 ] && grep -q 'the work goes on' "$work/.err" && grep -q '^hint: ' "$work/.err" || { echo "exit code $code: $(cat "$work/.err")"; return 1; }
}
check "130: interrupted; and a retry that the host has not seen yet is waited for" interrupted
check "6: a wait that runs out" refuses 6 "the work goes on" wait --timeout 1
agent_start
check "the retry is taken up, and the liar is quarantined once more" until_idle 30
check "wait sees it settled" works_as wait

say "Certificates"
cert=$work/cert.json
"$nsmith" erasure show "$erasure" --certificate >"$cert"
key=$("$nsmith" host ls --json | jq -r '.items[0].public_key')
check "a real one holds" exits 0 "^Valid: slice" "$nsmith" erasure verify "$cert" --key "$key"
check "without a server too" exits 0 "key was not compared" "$nsmith" erasure verify "$cert" --server "unix:$work/nobody.sock"
check "from standard input" exits 0 "^Valid" bash -c "'$nsmith' erasure verify - <'$cert'"
check "by its id" exits 0 "^Valid" "$nsmith" erasure verify "$erasure"
check "as JSON" in_json_of erasure verify "$cert"
mkdir "$work/forged"
python3 - "$cert" "$work/forged" <<'PYTHON'
import json, random, sys
text = open(sys.argv[1], "rb").read().rstrip(b"\n")
forged = {}
random.seed(1)
for at in sorted(random.sample(range(len(text)), 48)):
    bit = random.randrange(8)
    forged["bit-%d-of-byte-%d" % (bit, at)] = text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1:]
whole = json.loads(text)
def other(value):
    if isinstance(value, bool): return not value
    if isinstance(value, int): return value + 1
    if isinstance(value, str): return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return None
def dump(record): return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
assert dump(whole) == text, "canonical"
for name in whole:
    if name != "erasure":
        forged["field-" + name] = dump({**whole, name: other(whole[name])})
        forged["without-" + name] = dump({k: v for k, v in whole.items() if k != name})
for name, value in whole["erasure"].items():
    if other(value) is not None:
        forged["erasure-" + name] = dump({**whole, "erasure": {**whole["erasure"], name: other(value)}})
forged["one-more-member"] = dump({**whole, "more": 1})
forged["member-twice"] = text.replace(b'{"nsmith"', b'{"nsmith":"erasure/1","nsmith"', 1)
forged["spaces"] = json.dumps(whole).encode()
forged["sorted"] = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
forged["cut"] = text[:-1]
forged["half"] = text[:len(text) // 2]
forged["twice"] = text + text
forged["appended"] = text + b"x"
forged["in-front"] = b" " + text
forged["empty"] = b""
forged["zeros"] = b"\0" * 2000
forged["long"] = text + b" " * 8000
forged["no-json"] = b"Valid: slice was erased, and reads prove it."
for name, forgery in forged.items():
    assert forgery != text
    open(sys.argv[2] + "/" + name, "wb").write(forgery)
PYTHON
forgeries=$(ls "$work/forged" | wc -l)
check "there are enough forgeries ($forgeries)" test "$forgeries" -ge 80
forged_is_told() {
	run erasure verify "$1"
	ended 7 && explained && grep -qE 'cannot verify|is no certificate' "$work/.err" && grep -qx 'nothing was changed' "$work/.err"
}
for forgery in "$work"/forged/*; do check "forged: ${forgery##*/}" forged_is_told "$forgery"; done
check "a real one against another key" refuses 7 "wanted is" erasure verify "$cert" --key "$(tr 0-9a-f 1-9a-f0 <<<"$key")"
check "a key that is none" refuses 2 "64 hex digits" erasure verify "$cert" --key 12
unproven=$("$nsmith" erasure ls --json | jq -r 'first(.items[] | select(.verdict != "verified")).id')
check "a genuine record of a failed erase is no certificate" refuses 7 "genuine, but is no certificate" erasure verify "$unproven"
no_file() { # what, why, what is unchanged, what next
	refuses "$1" "cannot .*'$2'" erasure verify "$2" "${@:3}" && grep -qx 'nothing was changed' "$work/.err" && grep -qE "nsmith erasure|a certificate's file" "$work/.err" || { cat "$work/.err"; return 1; }
}
check "a file that is not there" no_file 3 "$work/no/such/file"
check "a name that is neither a file nor an erasure" no_file 3 nosuchfile
check "the same with nobody there" no_file 6 nosuchfile --server "unix:$work/nobody.sock"
check "a folder" refuses 2 "directory.*" erasure verify "$work/"

say "A host that cannot do its work"
status_says() { grep -qE "$1" <<<"$("$nsmith" status)"; }
status_is_silent_on() { ! status_says "$1"; }
agent_stop
virt=bogus:///nowhere agent_start
virt=fake
check "a hypervisor that does not answer is in the status" until_true 20 status_says "host e2e can start no VM.*:"
check "in host ls and host show" exits 0 "TROUBLE +.*bogus|TROUBLE +.*[a-z]" "$nsmith" host show e2e
check "it gets no VM" refuses 5 "hypervisor that does not answer" vm create web3 --flavor two --kernel "$work/kernel"
check "a claim goes on" works_as claim create --id bare --slices 1 --class small
check "and its release" works_as claim release bare
check "a VM of that host says why" exits 0 "WHY +.*[a-z]" "$nsmith" vm show web
agent_stop
agent_start
check "with a hypervisor it is healthy" until_true 20 status_is_silent_on "can start no VM"
agent_stop
drives_stop
agent_start # it would list them every 30 s; a new one lists them at once
check "drives that cannot be reached are in the status" until_true 60 status_says "host e2e cannot see its drives"
drives_start
check "and not when they are back" until_true 60 status_is_silent_on "cannot see its drives"
until_idle 60

say "A refusal"
refused() { # the plan is made, then something writes to the drive
	api POST /v1/drives/SPARE1/adopt '{"class": "small", "confirm": "SPARE1"}' >/dev/null && until_true 20 drive_is SPARE1 refused
}
mkfs.ext4 -q -F -L payroll "$work/drives/SPARE1/ns/1" 2>/dev/null
check "data that came after the scan: refused" refused
agent_stop
agent_start
check "the verdict survives the agent" until_true 10 bash -c "'$nsmith' drive show SPARE1 --json | jq -e '.adopt == \"refused\" and (.why | test(\"ext4|payroll\"))'"
check "drive ls says why" exits 0 "SPARE1.*refused.*(ext4|payroll)" "$nsmith" drive ls
check "another class than the drive's size: said" exits 0 "more than that class counts" "$nsmith" drive adopt WHOLE1 --class small --as whole --dry-run
check "one slice is one slice" exits 0 "^Gives: 1 slice x " "$nsmith" drive adopt WHOLE1 --class small --as whole --dry-run

say "A VM that is gone"
check "stop of a VM whose domain is gone ends" works_as vm stop web --force --timeout 20
agent_stop # the fake hypervisor lives in the agent: its domains go with it
agent_start
check "once more" works_as vm stop web --timeout 20

say "Another name for this server (DNS rebinding)"
server_stop
port=$((20000 + RANDOM % 20000))
server_start --listen "unix:$api_socket" --listen "tcp:127.0.0.1:$port" --name nsmith.example.org
answer_for() { curl -sS --max-time 5 -o "$work/.out" -w '%{http_code}' -H "Host: $1" "http://127.0.0.1:$port/v1/status"; }
check "its address" is "$(answer_for "127.0.0.1:$port")" 200
check "localhost" is "$(answer_for localhost)" 200
check "the name that it was given" is "$(answer_for nsmith.example.org)" 200
check "a name that somebody points here" is "$(answer_for evil.example.org)" 421
check "is told what to do" jq -e '.code == "not-allowed" and .unchanged and (.hint | test("--name")) and (.detail | test("^cannot "))' "$work/.out"
check "the command line over TCP" works_as status --server "tcp:127.0.0.1:$port"
until_idle 30

say "Programs that come and go"
remember
server_stop KILL
server_start
check "kill -9 of the server: the world is as before" until_true 20 same
agent_stop KILL
agent_start
check "kill -9 of the agent: the world is as before" until_true 20 same
drives_stop KILL
drives_start
check "kill -9 of the software drives: the world is as before" until_true 60 same
agent_stop
server_stop
up=(up --softnvme "$socket" --virt fake --host e2e)
check "up" works_as "${up[@]}"
check "up again" works_as "${up[@]}"
check "the world is as before" until_true 30 same
lives() { [ -e "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"; } # nobody may reap what nobody started
ended_by_itself() { ! lives "$1"; }
both() { server_now=$(cat "$NSMITH_RUN_DIR/nsmithd.pid") && agent_now=$(agent_pid) && lives "$server_now" && lives "$agent_now"; }
neither() { ! lives "$server_now" && ! lives "$agent_now"; }
check "both run" both
for victim in server_now agent_now; do
	kill -KILL "${!victim}"
	until_true 10 ended_by_itself "${!victim}"
	check "up after kill -9 of ${victim%_now}" works_as "${up[@]}"
	check "both run again" both
	check "the world is as before" until_true 30 same
done
check "down, dry run" works_as down --dry-run
check "they still run" both
check "down" works_as down
check "they are gone" neither
check "down again" works_as down
check "nobody there" refuses 6 "nsmith up" status
closed_stderr() { # no file may get the number of a descriptor that was closed
	"$nsmithd" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" <&- >&- 2>&- &
	server_pid=$!
	until_true 10 api GET /v1/status && for fd in 0 1 2; do is "$(readlink /proc/$server_pid/fd/$fd)" /dev/null || return 1; done
}
check "a server without standard streams" closed_stderr
check "and the world is as before" until_true 10 same

finish
