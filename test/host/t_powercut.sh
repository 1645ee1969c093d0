#!/bin/bash
# t_powercut - the host loses its power in the middle of the work, 20 times: QEMU is killed and the host booted again
# with the same drives and the same system disk, which has lost what was not flushed to it. Nothing is given twice,
# nothing is given that was not erased and proven clean, and everything settles.
#
#   test/host/t_powercut.sh [SEED [CUTS]]
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/host/lib.sh"

# ---- outside: the one who pulls the plug ---------------------------------------------------------------------------

if [ "${NSMITH_HOST-}" != 1 ]; then
	seed=${1:-$((SRANDOM % 100000))} cuts=${2:-20}
	RANDOM=$seed
	name=t_powercut out=$top/build/e2e/t_powercut.out
	export NSMITH_BUILD=${NSMITH_BUILD:-$top/build/demo}
	[ -x "$NSMITH_BUILD/src/agent/nsmith-agent" ] || { echo "$name: no programs in $NSMITH_BUILD" >&2; exit 1; }
	work=$out
	rm -rf "$out"
	mkdir -p "$out/shared"
	note "seed $seed: test/host/t_powercut.sh $seed $cuts"
	# The system disk, with ledger, key and database: a file system of its own, so that the host's memory goes with it.
	truncate -s 64M "$out/system.img"
	mkfs.ext4 -q -F "$out/system.img"

	boot() { # STEP: returns when the host has ended, or was ended
		"$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -w "$out/shared" -l "$out/console.$1" -p "$out/qemu.pid" -t 400 \
			-q "-blockdev driver=file,node-name=system,filename=$out/system.img -device virtio-blk-pci,drive=system,serial=system" -- \
			env NSMITH_BUILD="$NSMITH_BUILD" bash "$(readlink -f "$0")" "$1" $RANDOM >"$out/boot.$1" 2>&1 &
		run=$!
	}
	# The cut comes at a random time after the work has begun: MS from the word of the host.
	cut() { # STEP MS
		until_true 60 eval "[ -e '$out/shared/working.$1' ] || gone $run"
		[ -e "$out/shared/working.$1" ] || { end_pid $run; return 1; }
		sleep "$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))"
		kill -KILL "$(<"$out/qemu.pid")"
		wait $run
		[ $? = 125 ] # the host died: it had not come to an end before
	}
	story() { sed -n 's/^/   /p' "$out/boot.$1"; }
	for n in $(seq 1 "$cuts"); do
		ms=$((RANDOM % 5000))
		boot "$n"
		if cut "$n" $ms >"$work/.check" 2>&1; then ok "cut $n, $ms ms after the work of $(<"$out/shared/working.$n")"; else not_ok "cut $n"; cat "$work/.check"; fi
		# What the boot before the cut found and did.
		passed=$((passed + $(grep -c '^ok ' "$out/boot.$n"))) failed=$((failed + $(grep -c '^not ok ' "$out/boot.$n")))
		story "$n"
	done
	boot end
	wait $run && ok "the host comes up and ends" || not_ok "the host comes up and ends"
	passed=$((passed + $(grep -c '^ok ' "$out/boot.end"))) failed=$((failed + $(grep -c '^not ok ' "$out/boot.end")))
	story end
	finish
fi

# ---- inside: one life of the host --------------------------------------------------------------------------------------

step=$1
RANDOM=$2
shared=$top/build/e2e/t_powercut.out/shared
modprobe -qa ext4 virtio_blk
mkdir -p /system
until_true 10 test -b /dev/vda
mount /dev/vda /system || { echo "not ok - boot $step: no system disk"; exit 1; }
begin t_powercut
agent_drives=() host_name=bed
NSMITH_STATE_DIR=/system/nsmith
mkdir -p "$NSMITH_STATE_DIR"
PATH=$top/test/host:$PATH
small_profiles
ln -s "$shared/drives" "$work/drives"
mkdir -p "$shared/drives"
trap 'end_all; for log in "$work"/*.log; do cp "$log" "$shared/$step.${log##*/}"; done' EXIT

drives=(A B N1 N2 N3 N4)
add=()
[ "$step" != 1 ] || add=(A=tiny B=tiny-format N1=tiny N2=tiny-user N3=tiny-fna1 N4=tiny)
fabric_start "${add[@]}" && connect "${drives[@]}" || { echo "not ok - boot $step: no drives"; exit 1; }
server_start || { echo "not ok - boot $step: no server: $(tail -2 "$work/nsmithd.log")"; exit 1; }
agent_start || { echo "not ok - boot $step: no agent: $(tail -2 "$agent_log")"; exit 1; }
class_4m

world() { curl -sS --unix-socket "$api_socket" http://nsmith/v1/{slices,claims,erasures,drives}; }
# Every slice has one claim at most and every claim its slices; what is free was erased and verified, newer than its
# last owner; the chain of records has no gap.
sound() {
	world | jq -es '
		.[0].items as $slices | .[1].items as $claims | .[2].items as $erasures |
		($slices | length) == 7 * ([.[3].items[] | select(.adopt == "adopted")] | length) and
		([$claims[].slices[]] | length == (unique | length)) and
		([$slices[] | select(.claim != null)] | all(.id as $id | .claim as $claim | $claims | any(.id == $claim and (.slices | index($id))))) and
		([$slices[] | select(.state == "free")] | all(.erasure as $e | .id as $id | $erasures | any(.id == $e and .slice == $id and .verdict == "verified"))) and
		($erasures | map(.seq) | sort) == [range(1; ($erasures | length) + 1)]' >/dev/null || { world | jq -c .; return 1; }
	is "$(sqlite3 -readonly "$NSMITH_STATE_DIR/agent.db" "SELECT count(*) FROM slices WHERE state = 'free' AND erased_seq <= attached_seq")" 0
}
# A tag of a tenant is only where that tenant still is. Read in the media, past all of our programs and the kernel.
clean() {
	local id at state claim found n=0
	while read -r id at state claim; do
		found=$(dd if="$(medium "$at")" bs=512 skip=8 count=1 status=none | tr -d '\0' | grep -ao 'TENANT [^ ]*')
		[ -z "$found" ] || [ "$found" = "TENANT $claim" ] || { echo "$id ($state, claim '$claim') holds '$found'"; return 1; }
		n=$((n + 1))
	done < <(api GET /v1/slices | jq -r '.items[] | select(.state == "free" or .state == "attached") | "\(.id) \(.drive)/\(.nsid) \(.state) \(.claim // "-")"')
	note "$n slices, $(api GET /v1/claims | jq '.items | length') claims"
}
# A cut in the middle of an erase may end in quarantine: a person looks, and has it erased once more.
retry_all() {
	local slice
	for slice in $(api GET '/v1/slices?state=quarantined' | jq -r '.items[] | select(.wanted.claim == null) | .id'); do
		note "quarantined: $slice $(api GET "/v1/slices/$slice" | jq -r .why)"
		api POST "/v1/slices/$slice/retry" >/dev/null
	done
	until_idle 60 && is "$(slice_count '.state == "quarantined"')" 0
}
tag_held() { # what tenants write
	local id claim
	while read -r id claim; do
		printf '%-512s' "TENANT $claim and its data" | dd of="$(slice_link "$id")" bs=512 seek=8 oflag=direct conv=nocreat status=none
	done < <(api GET '/v1/slices?state=attached' | jq -r '.items[] | "\(.id) \(.claim)"')
}
# The data of the one who was there before all cuts. It may only change by its owner.
neighbour_true() {
	local id at n=0
	for id in $(claim_slices neighbour); do
		at=$(slice_at "$id")
		is "$(whose "$(slice_link "$id")")" "$at" && is "$(dd if="$(medium "$at")" bs=512 skip=8 count=1 status=none | tr -d '\0' | cut -d' ' -f1,2)" "TENANT neighbour" || return 1
		n=$((n + 1))
	done
	is $n 2
}

for serial in "${drives[@]}"; do until_true 10 drive_seen "$serial" || echo "not ok - boot $step: $serial is not seen"; done
if [ "$step" = 1 ]; then
	adopt A 4M && claim neighbour 2 4M && tag_held || { echo "not ok - the beginning"; exit 1; }
	api PUT /v1/flavors/one '{"vcpus": 1, "memory_bytes": 67108864, "slices": 1, "class": "4M"}' >/dev/null
	sync
else
	check "boot $step: settles" until_idle 60
	check "boot $step: what was quarantined is erased at the second try" retry_all
	check "boot $step: sound" sound
	check "boot $step: clean" clean
	check "boot $step: the neighbour has its slices and its data" neighbour_true
fi
[ "$step" != end ] || exit 0

# ---- work, until the power goes ----------------------------------------------------------------------------------------

tag_held
claims() { api GET /v1/claims | jq -r '.items[] | select(.id != "neighbour" and .vm == null and .state == "ready") | .id'; }
vms() { api GET /v1/vms | jq -r '.items[] | select(.wanted != "gone") | .name'; }
pick() { local words; mapfile -t words; [ ${#words[@]} -gt 0 ] && echo "${words[RANDOM % ${#words[@]}]}"; }
adopt_next() {
	local serial
	for serial in B N1 N2 N3 N4; do
		drive_is $serial available && api POST "/v1/drives/$serial/adopt" "{\"class\": \"4M\", \"confirm\": \"$serial\"}" >/dev/null && return
	done
}
act() {
	local one
	case $1 in
	adopt) adopt_next ;;
	claim) api POST /v1/claims "{\"id\": \"c$step-$RANDOM\", \"class\": \"4M\", \"slices\": $((RANDOM % 2 + 1))}" >/dev/null && sleep 0.3 && tag_held ;;
	vm) api POST /v1/vms "{\"name\": \"v$step-$RANDOM\", \"flavor\": \"one\", \"kernel\": \"/boot/vmlinuz\"}" >/dev/null && sleep 0.3 && tag_held ;;
	release) one=$(claims | pick) && api DELETE "/v1/claims/$one" >/dev/null ;;
	vm-delete) one=$(vms | pick) && api DELETE "/v1/vms/$one" >/dev/null ;;
	esac
}
acts=(adopt claim release vm vm-delete)
first=${acts[$(((${step} - 1) % 5))]}
# Something to release or delete is there before.
case $first in release) act claim; until_idle 30 ;; vm-delete) act vm; until_idle 30 ;; esac
echo "$first" >"$shared/working.$step"
sync -f "$shared/working.$step"
act "$first"
while :; do act "${acts[RANDOM % 5]}"; done
