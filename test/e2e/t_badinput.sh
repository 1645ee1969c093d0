#!/bin/bash
# t_badinput - whatever is wrong with what people, files and drives say: a clear error (what, why, what is unchanged,
# what to do), a documented exit code, and nothing is lost.
set -uo pipefail
# Mounts of its own: small and read-only file systems come and go with the script.
[ -n "${NSMITH_MOUNTS-}" ] || NSMITH_MOUNTS=1 exec unshare --mount --propagation private bash "$0" "$@"
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
begin t_badinput

# ---- what "refused" means ------------------------------------------------------------------------------------------

before=
same() { [ "$(dump)" = "$before" ] || { echo "the world changed:"; diff <(jq . <<<"$before") <(dump | jq .); return 1; }; }
remember() { before=$(dump); }

# cli_refuses CODE PATTERN WORD...: exit code, what and why, what to do, and the world is as it was.
cli_refuses() {
	local want=$1 pattern=$2 code=0
	shift 2
	timeout 30 "$nsmith" "$@" </dev/null >"$work/.out" 2>"$work/.err" || code=$?
	[ $code = "$want" ] || { echo "exit code $code, want $want"; cat "$work/.err"; return 1; }
	grep -qE '^nsmith: .*cannot ' "$work/.err" || { echo "no 'nsmith: cannot ...'"; cat "$work/.err"; return 1; }
	grep -qE -- "$pattern" "$work/.err" || { echo "no '$pattern'"; cat "$work/.err"; return 1; }
	grep -qE '^hint: .' "$work/.err" || { echo "no hint"; cat "$work/.err"; return 1; }
	same
}

# The same for a change that the server refused: it says that nothing was changed.
cli_changes_nothing() {
	cli_refuses "$@" && { grep -qx 'nothing was changed' "$work/.err" || { echo "does not say that nothing was changed"; cat "$work/.err"; return 1; }; }
}

# api_refuses STATUS CODE PATTERN METHOD PATH [BODY [CURL OPTION...]]: RFC 9457, with what, why and what to do.
api_refuses() {
	local status=$1 code=$2 pattern=$3 answer
	shift 3
	answer=$(api "$@") && { echo "accepted: $answer"; return 1; }
	is "$(tail -1 "$work/.status")" "$status" || { echo "$answer"; return 1; }
	jq -e --arg code "$code" --arg pattern "$pattern" --argjson status "$status" '
		.code == $code and .status == $status and (.detail + "; " + .hint | test($pattern)) and
		(.detail | test("^cannot ")) and (.hint | length > 0) and .unchanged' <<<"$answer" >/dev/null || { echo "answer: $answer"; return 1; }
	same
}

# ends CODE PATTERN PROGRAM OPTION...: a program that cannot start says why, and what to do.
ends() {
	local want=$1 pattern=$2 code=0
	shift 2
	timeout 20 "$@" >"$work/.out" 2>&1 </dev/null || code=$?
	[ $code = "$want" ] || { echo "exit code $code, want $want"; cat "$work/.out"; return 1; }
	grep -qE -- "$pattern" "$work/.out" || { echo "no '$pattern' in:"; cat "$work/.out"; return 1; }
}

json() { jq -cn "$@"; }

drives_start T1=tiny CLIENT1=tiny-no-nsmgmt P1=p4510-2tb GONE1=tiny USED1=tiny LIAR1=tiny-liar
server_start
agent_start
for serial in T1 CLIENT1 P1 GONE1 USED1 LIAR1; do until_true 10 drive_seen $serial; done
class_small
api PUT /v1/flavors/two '{"vcpus": 1, "memory_bytes": 67108864, "slices": 2, "class": "small"}' >/dev/null
touch "$work/kernel"
vm=(--flavor two --kernel "$work/kernel" --no-wait)

say "Drives"
remember
check "unknown serial" cli_changes_nothing 3 "cannot find drive 'NOSUCH'.*no host" drive adopt NOSUCH --class small --yes --serial=NOSUCH
check "unknown serial, only a plan" cli_refuses 3 "NOSUCH" drive adopt NOSUCH --dry-run
check "unknown serial, shown" cli_refuses 3 "NOSUCH" drive show NOSUCH
check "wrong confirmation" cli_changes_nothing 8 "T1" drive adopt T1 --class small --yes --serial=T2
check "the serial in other letters is another serial" cli_changes_nothing 8 "T1" drive adopt T1 --class small --yes --serial=t1
check "no confirmation and nobody to ask" cli_changes_nothing 8 "T1.*(terminal|confirm)" drive adopt T1 --class small
check "--yes alone names no drive" cli_changes_nothing 8 "T1" drive adopt T1 --class small --yes
check "over the API: no confirmation" api_refuses 422 refused-for-safety "T1.*confirm" POST /v1/drives/T1/adopt '{"class": "small"}'
check "over the API: wrong confirmation" api_refuses 422 refused-for-safety "T1.*confirm" POST /v1/drives/T1/adopt '{"class": "small", "confirm": "T2"}'
check "unknown class" cli_changes_nothing 3 "cannot find slice class 'nosuch'" drive adopt T1 --class nosuch --yes --serial=T1
check "unknown host" cli_changes_nothing 3 "T1" drive adopt T1 --class small --host elsewhere --yes --serial=T1
check "unknown provider" cli_changes_nothing 2 "lvm" drive adopt T1 --class small --as lvm --yes --serial=T1
check "a class that does not fit on the drive" cli_changes_nothing 5 "T1.*500G.*(fits|fit)" drive adopt T1 --yes --serial=T1
check "a drive without namespaces of its own: the hint names whole" cli_changes_nothing 2 "hint: .*whole" drive adopt CLIENT1 --class small --yes --serial=CLIENT1
check "a plan that is another one by now" api_refuses 409 conflict "not as it was" POST /v1/drives/T1/adopt \
	"$(api POST '/v1/drives/T1/adopt?dry_run=true' '{"class":"small"}' | jq -c '{class: "small", confirm: "T1", expect: (.layout | .count = 7)}')"
adopt_raced() { # the plan is made, the drive goes, the plan is sent
	local plan
	plan=$(api POST '/v1/drives/GONE1/adopt?dry_run=true' '{"class":"small"}' | jq -c '{class: "small", confirm: "GONE1", expect: .layout}')
	drives_ctl remove GONE1
	api POST /v1/drives/GONE1/adopt "$plan" || true # taken as a wish, for nobody has noticed yet; or refused
	until_true 10 exits 3 "GONE1.*no host" "$nsmith" drive adopt GONE1 --class small --yes --serial=GONE1
}
check "a drive that is gone between plan and apply: exit code 3" adopt_raced
drives_ctl restore GONE1
agent_stop
agent_start # it lists the drives at once
check "it is back, and nobody's" until_true 10 drive_is GONE1 available
check "it got no command that changes anything" is "$(drives_ctl log GONE1 | wc -l)" 0
cli_refuses_only() { local saved; saved=$(declare -f same); same() { :; }; cli_refuses "$@"; local code=$?; eval "$saved"; return $code; }
mkfs.ext4 -q -F -L payroll "$work/drives/USED1/ns/1" 2>/dev/null
check "data that came between plan and apply" cli_refuses_only 8 "USED1.*(ext4|payroll)" drive adopt USED1 --class small --yes --serial=USED1
check "the drive got no command that changes anything" is "$(drives_ctl log USED1 | wc -l)" 0
check "the file system is still whole" e2fsck -fn "$work/drives/USED1/ns/1"
check "whole works on the drive without namespaces" exits 0 "adopted" "$nsmith" drive adopt CLIENT1 --class small --as whole --yes --serial=CLIENT1
check "adoption" exits 0 "8 slices" "$nsmith" drive adopt T1 --class small --yes --serial=T1
check "a liar's slices: exit code 7" exits 7 "quarantined" "$nsmith" drive adopt LIAR1 --class small --yes --serial=LIAR1
until_idle
remember
check "adopted twice" cli_changes_nothing 4 "T1.*adopted already" drive adopt T1 --class small --yes --serial=T1

say "Unknown things"
for what in "slice show" "claim show" "claim release" "vm show" "vm start" "vm stop" "vm reboot" "flavor delete" "erasure show" "slice retry"; do
	check "$what of something that is not there" cli_refuses 3 "cannot find .*'nosuch'" $what nosuch
done
check "vm delete of something that is not there" cli_refuses 3 "cannot find .*'nosuch'" vm delete nosuch --yes
check "slice retire of something that is not there" cli_refuses 3 "cannot find .*'nosuch'" slice retire nosuch --yes --id=nosuch
check "claim of an unknown class" cli_changes_nothing 3 "nosuch" claim create --class nosuch --slices 1
check "claim on an unknown host" cli_changes_nothing 5 "elsewhere|host" claim create --class small --slices 1 --host elsewhere
check "VM of an unknown flavor" cli_changes_nothing 3 "cannot find flavor 'nosuch'" vm create v --flavor nosuch --kernel "$work/kernel" --no-wait
check "erasure of a file that is not there" cli_refuses 3 "nosuch" erasure verify nosuch
head -c 3000 /dev/urandom >"$work/noise"
check "a certificate of noise" cli_refuses 7 "." erasure verify "$work/noise"
: >"$work/empty"
check "an empty certificate" cli_refuses 7 "." erasure verify "$work/empty"

say "Numbers"
for n in 0 -1 1e3 17 4294967295 4294967296 18446744073709551616 x ''; do
	check "claim of '$n' slices" cli_refuses 2 "." claim create --class small --slices "$n"
	check "flavor of '$n' slices" cli_refuses 2 "." flavor set f --vcpus 1 --memory 64MiB --slices "$n" --class small
done
for n in 0 -1 99999 x; do
	check "flavor of '$n' vCPUs" cli_refuses 2 "." flavor set f --vcpus "$n" --memory 64MiB --slices 1 --class small
done
for n in 0 -1 1 67108865 16777216T x ''; do
	check "flavor with '$n' bytes of memory" cli_refuses 2 "." flavor set f --vcpus 1 --memory "$n" --slices 1 --class small
done
for n in 0 -1 1 999999999999T x 1.5.2 ''; do
	check "class of '$n' bytes" cli_refuses 2 "." class set c --size "$n"
done
for n in -1 51 x 1e9; do check "class with a tolerance of '$n'" cli_refuses 2 "." class set c --size 1G --tolerance "$n"; done
for body in '{"slices": 0}' '{"slices": -1}' '{"slices": 1.5}' '{"slices": 4294967297}' '{"slices": 99999999999999999999}' '{"slices": "2"}' \
	'{"slices": null}' '{"slices": true}' '{"slices": [1]}' '{"slices": {}}' '{}' '[]' '3' '"slices"' 'null' '' '{' '{"slices": 1,}' 'slices: 1' \
	'{"slices": 1} x' '{"slices": 1, "slices": 1}' '{"slices": 1, "spread": "wide"}' '{"slices": 1, "spread": 1}' '{"slices": 1, "class": 5}'; do
	check "claim with the body '$body'" api_refuses 400 bad-input "." POST /v1/claims "$body"
done
check "claim with an unknown field: names the nearest" api_refuses 400 bad-input "slises.*slices" POST /v1/claims '{"slises": 1}'
check "claim with an unknown field beside the right ones" api_refuses 400 bad-input "hots.*host" POST /v1/claims '{"slices": 1, "hots": "x"}'
check "JSON nested 100,000 deep" api_refuses 400 bad-input "." POST /v1/claims "$(printf '[%.0s' $(seq 100000))"
check "an object nested 100,000 deep" api_refuses 400 bad-input "." POST /v1/claims "$(printf '{"slices":%.0s' $(seq 9000))"
check "text that is not UTF-8" api_refuses 400 bad-input "." POST /v1/claims "$(printf '{"slices": 1, "id": "\xff\xfe"}')"
check "text with a zero character" api_refuses 400 bad-input "." POST /v1/claims '{"slices": 1, "id": "a\u0000b"}'
head -c 9000000 /dev/zero | tr '\0' ' ' >"$work/large"
large_refused() {
	is "$(curl -sS --max-time 20 --unix-socket "$api_socket" -H Expect: -X POST --data-binary "@$work/large" -o "$work/.out" -w '%{http_code}' http://nsmith/v1/claims)" 413 &&
		grep -q 8388608 "$work/.out" && same
}
check "a body of 9 MB" large_refused
check "more slices than there are" cli_changes_nothing 5 "slices.*needed 15.*most 9" claim create --class small --slices 15
check "more memory than there is" api_refuses 507 does-not-fit "memory" POST /v1/vms "$(json --arg k "$work/kernel" '{name: "v", flavor: "two", kernel: $k, memory_bytes: 1099511627776}')"

say "Methods and paths"
check "a path that is not there" api_refuses 404 not-found "/v1/nosuch" GET /v1/nosuch
check "the root" api_refuses 404 not-found "/" GET /
check "a method that the path does not take" api_refuses 400 bad-input "PUT.*/v1/claims" PUT /v1/claims '{}'
check "an invented method" api_refuses 400 bad-input "BREW" BREW /v1/claims
check "DELETE of all" api_refuses 400 bad-input "DELETE" DELETE /v1/vms
check "a path of 5,000 characters" api_refuses 414 bad-input "path is longer" GET "/v1/slices/$(printf 'x%.0s' $(seq 5000))"
check "dots that climb" api_refuses 404 not-found "." GET /v1/slices/../../../etc/passwd
check "what is no HTTP at all" exits 0 "^(HTTP/1.[01] 400.*|)$" bash -c "printf 'hello\r\n\r\n' | timeout 3 python3 -c 'import socket,sys
s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b\"\\x16\\x03\\x01 hello\\r\\n\\r\\n\"); print(s.recv(100).decode().split(\"\\r\\n\")[0])' '$api_socket'"
check "and the server still answers" same

say "Names with odd characters"
long=$(printf 'n%.0s' $(seq 200))
odd=(' ' 'a b' 'a/b' '../x' '..' '.' '%2f' 'a%2fb' "$long" 'größe' '-x' "a'b" 'a"b' $'a\nb' $'a\tb' 'a;rm -rf /' '$(id)' 'a\b' '*' '🙂' $'\e[31mred')
for text in "${odd[@]}"; do
	shown=$(printf '%q' "${text:0:20}")
	uri=$(jq -rn --arg t "$text" '$t | @uri')
	check "VM named $shown" cli_refuses 2 "." vm create "${vm[@]}" -- "$text"
	check "over the API: VM named $shown" api_refuses 400 bad-input "." POST /v1/vms "$(json --arg n "$text" --arg k "$work/kernel" '{name: $n, flavor: "two", kernel: $k}')"
	check "claim named $shown" api_refuses 400 bad-input "." POST /v1/claims "$(json --arg n "$text" '{id: $n, slices: 1, class: "small"}')"
	slash=0
	[[ $text == */* ]] && slash=1 # a path is decoded before it is taken apart
	check "class named $shown" api_refuses $((slash ? 404 : 400)) "$( ((slash)) && echo not-found || echo bad-input)" "." PUT "/v1/classes/$uri" '{"nominal_bytes": 67108864}'
	check "flavor named $shown" cli_refuses $((slash ? 3 : 2)) "." flavor set --vcpus 1 --memory 64MiB --slices 1 --class small -- "$text"
	check "drive $shown" cli_refuses 3 "." drive adopt --class small --yes --serial="$text" -- "$text"
	check "slice, claim, VM and erasure $shown" bash -c "for noun in slice claim vm erasure; do '$nsmith' \$noun show -- \"\$1\" </dev/null 2>>'$work/.odd' && exit 1; done; true" x "$text"
done
check "no control character of a name reaches the terminal" bash -c "! grep -qP '[\x00-\x08\x0b-\x1f\x7f]' '$work/.odd'"
for field in kernel image initrd; do
	for text in 'relative/path' $'/x\ny' $'/x\x7f' "/$long$long$long$long"; do
		check "VM with the $field $(printf '%q' "${text:0:20}")" api_refuses 400 bad-input "." POST /v1/vms \
			"$(json --arg f "$field" --arg t "$text" --arg k "$work/kernel" '{name: "v", flavor: "two"} + (if $f == "initrd" then {kernel: $k} else {} end) + {($f): $t}')"
	done
done
check "a VM that boots from nothing" api_refuses 400 bad-input "image|kernel" POST /v1/vms '{"name": "v", "flavor": "two"}'
check "an unknown command" cli_refuses 2 "slcie" slcie ls
check "an unknown option" cli_refuses 2 "flavour" vm create v --flavour two
check "one word too many" cli_refuses 2 "more" vm show a more
check "one word too few" cli_refuses 2 "missing" vm show

say "Things in the wrong state"
claim tenant 2
claim_slices tenant >"$work/tenant.slices"
tags_write tenant
api POST /v1/vms "$(json --arg k "$work/kernel" '{name: "vm1", flavor: "two", kernel: $k}')" >/dev/null
vm_is() { [ "$(api GET "/v1/vms/$1" | jq -r .power)" = "$2" ]; }
check "a VM of the fake hypervisor runs" until_true 10 vm_is vm1 running
until_idle
remember
check "a VM made twice" cli_changes_nothing 4 "vm1.*one of that name" vm create vm1 "${vm[@]}"
check "a claim made twice" cli_changes_nothing 4 "tenant.*one of that name" claim create --id tenant --class small --slices 1
vm_claim=$(api GET /v1/vms/vm1 | jq -r .claim)
check "release of a VM's claim: names the VM" cli_changes_nothing 4 "VM 'vm1'" claim release "$vm_claim"
check "retry of a slice that is not quarantined" cli_changes_nothing 4 "not quarantined" slice retry "$(head -1 "$work/tenant.slices")"
slice=$(head -1 "$work/tenant.slices")
check "retire of a slice that is not quarantined" cli_changes_nothing 4 "not quarantined" slice retire "$slice" --yes "--id=$slice"
bad=$(api GET '/v1/slices?drive=LIAR1' | jq -r '.items[0].id')
check "retire with the wrong confirmation" cli_changes_nothing 8 "$bad" slice retire "$bad" --yes "--id=$slice"
check "retire without confirmation" cli_changes_nothing 8 "$bad" slice retire "$bad"
check "a class that is in use does not change its size" cli_changes_nothing 4 "slices of it exist" class set small --size 128MiB
check "vm delete without confirmation" cli_changes_nothing 8 "vm1" vm delete vm1
check "a dry run of all that would be fine" bash -c "
	'$nsmith' vm delete vm1 --dry-run && '$nsmith' claim release tenant --dry-run && '$nsmith' claim create --class small --slices 1 --dry-run &&
	'$nsmith' vm create v2 ${vm[*]} --dry-run && '$nsmith' slice retry $bad --dry-run && '$nsmith' class set other --size 1G --dry-run"
check "changed nothing" same
delete_twice() {
	api DELETE /v1/vms/vm1 >/dev/null && { api DELETE /v1/vms/vm1 >/dev/null || grep -q 404 "$work/.status"; } && until_idle &&
		exits 3 "vm1" "$nsmith" vm delete vm1 --yes
}
check "delete twice is delete once" delete_twice
release_twice() {
	claim short 1 && api DELETE /v1/claims/short >/dev/null && { api DELETE /v1/claims/short >/dev/null || grep -q 404 "$work/.status"; } && until_idle &&
		exits 3 "short" "$nsmith" claim release short
}
check "release twice is release once" release_twice

say "Idempotency-Key"
body='{"id": "once", "class": "small", "slices": 1}'
first=$(api POST /v1/claims "$body" -H 'Idempotency-Key: k1')
second=$(api POST /v1/claims "$body" -H 'Idempotency-Key: k1')
check "the same key and body: the same answer" is "$second" "$first"
check "and acted once" is "$(api GET /v1/claims | jq '[.items[] | select(.id == "once")] | length')" 1
until_idle
remember
check "the same key with another body" api_refuses 409 conflict "k1.*another request" POST /v1/claims '{"id": "twice", "class": "small", "slices": 1}' -H 'Idempotency-Key: k1'
check "the same key on another path" api_refuses 409 conflict "k1.*another request" POST /v1/vms "$body" -H 'Idempotency-Key: k1'
check "a key of 200 characters" api_refuses 400 bad-input "Idempotency-Key is not 1 to 95" POST /v1/claims "$body" -H "Idempotency-Key: $long"
server_stop
server_start
check "the key is remembered over a restart" is "$(api POST /v1/claims "$body" -H 'Idempotency-Key: k1')" "$first"

say "Two of a kind"
run2=$work/second
mkdir -p "$run2"
check "a second server on the same database" ends 4 "process $server_pid has it open" "$nsmithd" --state "$NSMITH_STATE_DIR" --run "$run2"
check "a second server on the same socket" ends 4 "nsmithd.sock" "$nsmithd" --state "$run2" --run "$NSMITH_RUN_DIR"
check "a second agent on the same state" ends 4 "another nsmith-agent" "$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --softnvme "$socket" --virt fake --host e2e
check "a second process of software drives on the same socket" ends 4 "another process" "$softnvme" --dir "$run2/drives" --socket "$socket" --profiles "$top/share/profiles"
check "a second process of software drives on the same folder" ends 6 "." "$softnvme" --dir "$work/drives" --socket "$run2/soft.sock" --profiles "$top/share/profiles" --add T1=tiny
check "nothing of it did any harm" bash -c "kill -0 $server_pid && kill -0 $agent_child && kill -0 $softnvme_pid"
fenced() { # two agents with ledgers of their own: the newer registration wins, the older one ends itself
	mkdir -p "$run2/state"
	"$agent" --state "$run2/state" --run "$run2" --server "unix:$api_socket" --softnvme "$socket" --virt fake --host e2e >"$run2/agent.log" 2>&1 &
	local other=$! code=0
	wait "$agent_child" || code=$?
	agent_child=''
	sleep 1 # what harm could it do?
	end_pid $other
	is $code 4 && grep -q "ended.*registration" "$agent_log" && ! grep -q ' order kind=' "$run2/agent.log"
}
check "two agents of one host: the older one ends itself, exit code 4" fenced
agent_start
check "no slice was harmed by the agent without a ledger" until_idle
check "no tag was" tags_are tenant
check "the world is as before" same

say "Files of the agent"
agent_stop
scratch() { # a copy of the state to spoil
	rm -rf "$work/spoil"
	cp -a "$NSMITH_STATE_DIR" "$work/spoil"
}
spoiled_agent() { ends "$1" "$2" "$agent" --state "$work/spoil" --run "$run2" --server "unix:$api_socket" --softnvme "$socket" --virt fake --host "${3:-e2e}"; }
kept() { # NAME: the damaged file was left for a person to look at
	is "$(sha256sum <"$work/spoil/$1")" "$(cat "$work/.sum")"
}
sum() { sha256sum <"$work/spoil/$1" >"$work/.sum"; }
scratch
check "the ledger of another host" spoiled_agent 8 "e2e.*elsewhere|elsewhere.*e2e" elsewhere
sqlite3 "$work/spoil/agent.db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
cp "$work/spoil/agent.db" "$work/ledger.whole"
flips=0 silent=0
for at in 0 20 100 1000 4096 5000 8192 9000 12400 $(shuf -i 16-60000 -n 8 --random-source=<(yes 7)); do
	cp "$work/ledger.whole" "$work/spoil/agent.db"
	rm -f "$work/spoil"/agent.db-*
	[ "$at" -lt "$(stat -c %s "$work/spoil/agent.db")" ] || continue
	byte=$(dd if="$work/ledger.whole" bs=1 skip="$at" count=1 status=none | od -An -tu1)
	printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$work/spoil/agent.db" bs=1 seek="$at" conv=notrunc status=none
	code=0
	timeout 0.7 "$agent" --state "$work/spoil" --run "$run2" --server "unix:$run2/nowhere.sock" --softnvme "$socket" --virt fake --host e2e >"$work/.out" 2>&1 || code=$?
	flips=$((flips + 1))
	# 124: it works, for the byte is in a page that holds nothing; then what it has must be what it had.
	if [ $code = 124 ]; then
		is "$(sqlite3 "$work/spoil/agent.db" 'SELECT key,doc FROM slices' | sha256sum)" "$(sqlite3 "$work/ledger.whole" 'SELECT key,doc FROM slices' | sha256sum)" >/dev/null || silent=$((silent + 1))
	elif [ $code != 1 ] || ! grep -qE 'damaged|not a database|malformed|cannot open the ledger' "$work/.out"; then
		silent=$((silent + 1))
		echo "  byte $at: exit code $code: $(tail -1 "$work/.out")"
	fi
done
check "a ledger with a flipped byte ($flips places): refused, or the byte did not matter" is $silent 0
cp "$work/ledger.whole" "$work/spoil/agent.db"
rm -f "$work/spoil"/agent.db-*
truncate -s 5000 "$work/spoil/agent.db"
sum agent.db
check "a truncated ledger" spoiled_agent 1 "ledger.*(damaged|malformed).*restore a backup"
check "is left as it is" kept agent.db
head -c 20000 /dev/urandom >"$work/spoil/agent.db"
sum agent.db
check "a ledger that is no database" spoiled_agent 1 "ledger.*(not a database).*restore a backup"
check "is left as it is" kept agent.db
cp "$work/ledger.whole" "$work/spoil/agent.db"
sqlite3 "$work/spoil/agent.db" 'PRAGMA user_version = 99'
check "a ledger of a newer program" spoiled_agent 1 "schema is version 99.*install the newer"
cp "$NSMITH_STATE_DIR/nsmithd.db" "$work/spoil/agent.db"
check "the server's database as a ledger" spoiled_agent 8 "ledger.*another program's database"
scratch
chmod 644 "$work/spoil/agent.key"
check "a key file that others can read" spoiled_agent 8 "agent.key.*0644.*0600"
chmod 600 "$work/spoil/agent.key"
sed -i 's/^./z/' "$work/spoil/agent.key"
sum agent.key
check "a damaged key file" spoiled_agent 1 "agent.key.*damaged"
check "is left as it is" kept agent.key
check "an agent without its server's folder" ends 3 "." "$agent" --state "$work/no/such/folder" --run "$run2" --softnvme "$socket" --virt fake
check "an agent with an unknown option" ends 2 "Usage|usage" "$agent" --nosuch
check "an agent with a name that no host may have" ends 2 "." "$agent" --state "$run2/state3" --run "$run2" --softnvme "$socket" --virt fake --host 'a/b'
agent_start
check "with its own files it goes on" until_idle
check "and the world is as before" same

say "Files of the server"
server_stop
scratch
spoiled_server() { ends "$1" "$2" "$nsmithd" --state "$work/spoil" --run "$run2"; }
sqlite3 "$work/spoil/nsmithd.db" 'PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version = 99' >/dev/null
check "a database of a newer program" spoiled_server 1 "schema is version 99.*install the newer"
scratch
sqlite3 "$work/spoil/nsmithd.db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
truncate -s 9000 "$work/spoil/nsmithd.db"
sum nsmithd.db
check "a truncated database" spoiled_server 1 "database.*(damaged|malformed).*restore a backup"
check "is left as it is" kept nsmithd.db
head -c 20000 /dev/urandom >"$work/spoil/nsmithd.db"
check "a database that is none" spoiled_server 1 "not a database.*restore a backup"
check "a server with an address that is none" ends 2 "nonsense" "$nsmithd" --state "$run2/state4" --run "$run2" --listen nonsense:1
check "a server that would listen to the world" ends 8 "0.0.0.0|loopback" "$nsmithd" --state "$run2/state4" --run "$run2" --listen tcp:0.0.0.0:18099
unreachable() { exits 6 "nsmith up" "$nsmith" status && exits 6 "nsmith up" "$nsmith" vm create x "${vm[@]}"; }
check "the command line without a server: exit code 6, and what to do" unreachable
release_meanwhile() { # the agent goes on without the server
	kill -0 "$agent_child" && grep -q server-away "$agent_log"
}
check "the agent goes on without the server" until_true 15 release_meanwhile
server_start
check "and finds it when it is back" until_true 15 grep -q server-back "$agent_log"
check "the world is as before" same

say "Software drives that go away"
drives_stop KILL
sleep 0.5
check "agent and server live" bash -c "kill -0 $agent_child && kill -0 $server_pid"
api DELETE /v1/claims/once >/dev/null
sleep 0.5
check "a slice that cannot be erased now is not free" bash -c "! '$nsmith' slice ls --json | jq -e --arg id '$(jq -r '.slices[0]' <<<"$first")' '.items[] | select(.id == \$id and .state == \"free\")'"
drives_start
check "back again: it is erased" until_idle 60
check "and free" is "$(slice_state "$(jq -r '.slices[0]' <<<"$first")")" free
remember
agent_stop
drives_stop
agent_start
check "an agent that starts without drives" until_true 40 bash -c "'$nsmith' drive ls --json | jq -e '.items | any(.serial == \"T1\" and .adopt == \"missing\")'"
check "says so in the status" exits 0 "T1.*missing|missing.*T1" "$nsmith" status
check "forgets no slice" is "$(api GET /v1/slices | jq -c '[.items[].id]')" "$(api GET /v1/slices | jq -c '[.items[].id]')"
drives_start
check "finds them when they come" until_true 60 drive_is T1 adopted
check "the one that was gone was not touched" is "$(drives_ctl log GONE1 | wc -l)" 0
until_idle 60
check "the world is as before" same
check "the tags of a claim that lived through all of it" tags_are tenant

say "A full disk"
small=$work/small
mkdir "$small"
mount -t tmpfs -o size=6m,mode=700 tmpfs "$small"
own_state=$NSMITH_STATE_DIR
claim victim 2
server_stop
cp -a "$own_state" "$small/server"
NSMITH_STATE_DIR=$small/server server_start
check "the server works on the small disk" until_idle
dd if=/dev/zero of="$small/fill" bs=4k status=none 2>/dev/null
server_full() { # it takes what fits, then it refuses
	local i answer
	for i in $(seq 1 2000); do
		answer=$(api PUT "/v1/classes/full$i" '{"nominal_bytes": 1073741824}') && continue
		jq -e '.code == "does-not-fit" and (.detail | test("disk is full|full")) and (.hint | test("free space")) and .unchanged' <<<"$answer" >/dev/null &&
			stored=$((i - 1)) && return 0
		echo "$answer"
		return 1
	done
	echo "never full"
	return 1
}
stored=
check "the server's disk is full: an error that says so, and what to do" server_full
remember
check "the command line: exit code 5" cli_changes_nothing 5 "full" class set more --size 1G
check "what was there can be read" exits 0 "tenant" "$nsmith" claim ls
server_stop KILL
rm "$small/fill"
NSMITH_STATE_DIR=$small/server server_start
check "with space again: nothing that was acknowledged is lost ($stored classes)" is "$(api GET /v1/classes | jq '[.items[] | select(.name | startswith("full"))] | length')" "$stored"
check "and it works" api PUT /v1/classes/after '{"nominal_bytes": 1073741824}'
until_idle
server_stop
rm -r "$own_state"/nsmithd.db*
cp -a "$small"/server/nsmithd.db* "$own_state"
server_start
agent_stop
rm -rf "${small:?}"/*
cp -a "$own_state" "$small/agent"
NSMITH_STATE_DIR=$small/agent agent_start
check "the agent works on the small disk" until_idle
dd if=/dev/zero of="$small/fill" bs=4k status=none 2>/dev/null
agent_full() {
	local i
	for i in $(seq 1 40); do
		api POST /v1/claims "{\"id\": \"c$i\", \"class\": \"small\", \"slices\": 1}" >/dev/null || true
		sleep 0.2
		api DELETE "/v1/claims/c$i" >/dev/null || true
		grep -q 'begins-again.*full.*free space' "$agent_log" && return
	done
	tail "$agent_log"
	return 1
}
check "the agent's disk is full: its log says so, and what to do; it begins again until there is space" agent_full
check "it does not end" kill -0 "$agent_child"
rm "$small/fill"
check "with space again everything settles" until_idle 60
check "every slice is there" is "$(slice_count true)" "$(jq -s '.[2].items | length' <<<"$before")"
agent_stop
rm -r "$own_state"/agent.db*
cp -a "$small"/agent/agent.db* "$own_state"

say "A read-only folder"
mount -o remount,ro "$small"
check "an agent whose state cannot be written" ends 9 "Read-only.*hint=.let" "$agent" --state "$small/agent" --run "$run2" --server "unix:$api_socket" --softnvme "$socket" --virt fake --host e2e
check "a server whose state cannot be written" ends 9 "Read-only.*hint=.make" "$nsmithd" --state "$small/agent" --run "$run2"
check "an agent whose state cannot be made" ends 9 "Read-only.*hint=.make" "$agent" --state "$small/new" --run "$run2" --server "unix:$api_socket" --softnvme "$socket" --virt fake --host e2e
umount "$small"
agent_start
check "with its own folder it goes on" until_idle 60
check "the tags are still there" tags_are tenant

finish
