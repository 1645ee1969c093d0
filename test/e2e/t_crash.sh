#!/bin/bash
# t_crash - agent, server and software drives are killed at any moment while claims and VMs come and go: every slice
# stays accounted for, none is given twice, none is free that was not erased and proven clean, neighbours keep their data.
#
#   test/e2e/t_crash.sh [SEED [ROUNDS]]
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
begin t_crash
seed=${1:-$((SRANDOM % 100000))}
rounds=${2:-40}
limit=60 # seconds; on a slow machine fewer rounds
RANDOM=$seed
note "seed $seed: test/e2e/t_crash.sh $seed $rounds"

drives_start A1=tiny B1=tiny-format FOREIGN1=tiny N1=tiny N2=tiny-user N3=tiny-reused-ids N4=tiny-no-events N5=tiny-zero-ids
mkfs.ext4 -q -F -L payroll "$work/drives/FOREIGN1/ns/1" 2>/dev/null
foreign_sum() { sha256sum <"$work/drives/FOREIGN1/ns/1"; }
foreign=$(foreign_sum)
server_start
agent_start
for serial in A1 B1 FOREIGN1; do until_true 10 drive_seen $serial; done
class_small
api PUT /v1/flavors/two '{"vcpus": 1, "memory_bytes": 67108864, "slices": 2, "class": "small"}' >/dev/null
check "two drives, 8 slices each" adopt A1
check "the second one" adopt B1
ids=$(api GET /v1/slices | jq -c '[.items[].id] | sort')

# The neighbour: random data all over its slices, compared at the end.
check "a neighbour that lives through all of it" claim neighbour 3
neighbour_sums() { for slice in $(claim_slices neighbour); do sha256sum <"$(slice_link "$slice")"; done; }
for slice in $(claim_slices neighbour); do
	for at in 0 5 63; do dd if=/dev/urandom of="$(slice_link "$slice")" bs=1M count=1 seek=$at conv=notrunc status=none; done
done
neighbour=$(neighbour_sums)

# ---- what happens in a round ---------------------------------------------------------------------------------------

jobs=()
try() { # METHOD PATH [BODY]: in the background, whatever comes of it
	curl -s -o /dev/null --max-time 5 --unix-socket "$api_socket" -X "$1" ${3:+--data-binary "$3"} "http://nsmith$2" &
	jobs+=($!)
}
pick() { # one of the words on stdin
	local words
	mapfile -t words
	[ ${#words[@]} -gt 0 ] && echo "${words[RANDOM % ${#words[@]}]}"
}
claims() { api GET /v1/claims | jq -r '.items[] | select(.id != "neighbour" and .vm == null and .state == "ready") | .id'; }
vms() { api GET /v1/vms | jq -r '.items[] | select(.wanted != "gone") | .name'; }
act() {
	local one n
	n=$((RANDOM % 4))
	case $n in
	0) try POST /v1/claims "{\"id\": \"c$round-$RANDOM\", \"class\": \"small\", \"slices\": $((RANDOM % 4 + 1))}" ;;
	1) try POST /v1/vms "{\"name\": \"v$round-$RANDOM\", \"flavor\": \"two\", \"kernel\": \"/boot/vmlinuz\"}" ;;
	2) one=$(claims | pick) && try DELETE "/v1/claims/$one" ;;
	3) one=$(vms | pick) && try DELETE "/v1/vms/$one" ;;
	esac
}
nap() { sleep "$(printf '0.%03d' $((RANDOM % 300)))"; }

killed_agent=0 killed_server=0 killed_drives=0
crash() {
	case $((RANDOM % 5)) in
	0 | 1) agent_stop KILL; killed_agent=$((killed_agent + 1)) ;;
	2) server_stop KILL; killed_server=$((killed_server + 1)) ;;
	3) drives_stop KILL; killed_drives=$((killed_drives + 1)) ;;
	4) agent_stop KILL; server_stop KILL; killed_agent=$((killed_agent + 1)) killed_server=$((killed_server + 1)) ;;
	esac
}
restart() {
	[ -n "$softnvme_pid" ] || drives_start
	[ -n "$server_pid" ] || server_start
	[ -n "$agent_child" ] || agent_start
}
# An erase that a dying drive cut short is in quarantine: a person looks, and has it erased once more.
quarantines=0
retry_all() {
	local slice
	for slice in $(api GET '/v1/slices?state=quarantined' | jq -r '.items[] | select(.wanted.claim == null) | .id'); do
		quarantines=$((quarantines + 1))
		api POST "/v1/slices/$slice/retry" >/dev/null
	done
	until_idle 20
}

# ---- what must be true ---------------------------------------------------------------------------------------------

world() { curl -sS --unix-socket "$api_socket" http://nsmith/v1/{slices,claims,erasures,drives}; }
sound() {
	world | jq -es --argjson ids "$ids" '
		.[0].items as $slices | .[1].items as $claims | .[2].items as $erasures |
		($ids - [$slices[].id]) == [] and ($slices | length) == 8 * ([.[3].items[] | select(.adopt == "adopted")] | length) and
		([$claims[].slices[]] | length == (unique | length)) and
		([$slices[] | select(.claim != null)] | all(.id as $id | .claim as $claim | $claims | any(.id == $claim and (.slices | index($id))))) and
		([$slices[] | select(.state == "free")] | all(.erasure as $e | .id as $id | $erasures | any(.id == $e and .slice == $id and .verdict == "verified"))) and
		($erasures | map(.seq) | sort) == [range(1; ($erasures | length) + 1)]' >/dev/null || { world | jq -c .; return 1; }
	# Past all of our programs: the ledger's own numbers.
	is "$(sqlite3 -readonly "$NSMITH_STATE_DIR/agent.db" "SELECT count(*) FROM slices WHERE state = 'free' AND erased_seq <= attached_seq")" 0
}

# What a tenant left must be gone wherever nobody holds the slice, and before the next one gets it. Looked for in the
# media, past all of our programs, whenever a slice has another owner or another erase than at the last look.
declare -A looked
places=(1 8191 16382) # not the first and the last block: an erase plants markers there
clean() {
	local id drive nsid state claim erasure at
	while read -r id drive nsid state claim erasure; do
		[ "$claim" != neighbour ] && [ "${looked[$id]-}" != "$claim $erasure" ] || continue
		for at in "${places[@]}"; do dd if="$work/drives/$drive/ns/$nsid" bs=4096 skip="$at" count=1 status=none; done >"$work/.blocks"
		if grep -aq 'SECRET of' "$work/.blocks"; then
			echo "$id ($state, claim '$claim') holds what an earlier tenant wrote: $(grep -ao 'SECRET of [^ ]*' "$work/.blocks" | head -1)"
			return 1
		fi
		looked[$id]="$claim $erasure"
		[ "$state" = attached ] || continue
		for at in "${places[@]}"; do printf '%-4096s' "SECRET of $claim" | dd of="$(slice_link "$id")" bs=4096 seek="$at" conv=notrunc status=none || return 1; done
	done < <(api GET /v1/slices | jq -r '.items[] | select(.state == "free" or .state == "attached") | "\(.id) \(.drive) \(.nsid) \(.state) \(.claim // "-") \(.erasure)"')
}

say "Rounds"
done_rounds=0 bad=0
trouble() { bad=$((bad + 1)); echo "  round $round: $*"; head -c 3000 "$work/.check"; }
for round in $(seq 1 "$rounds"); do
	[ $SECONDS -lt $limit ] || break
	jobs=()
	for _ in 1 2 3; do act; done
	# Every few rounds it hits an adoption.
	((round % 5 == 0 && round / 5 <= 5)) && try POST "/v1/drives/N$((round / 5))/adopt" "{\"class\": \"small\", \"confirm\": \"N$((round / 5))\"}"
	nap
	crash
	nap
	[ -n "$server_pid" ] && act
	[ ${#jobs[@]} = 0 ] || wait "${jobs[@]}" 2>/dev/null
	restart >"$work/.check" 2>&1 || { trouble "a program does not start again"; break; }
	until_idle 20 >"$work/.check" 2>&1 || { world >>"$work/.check"; trouble "does not settle"; break; }
	retry_all >"$work/.check" 2>&1 || { world >>"$work/.check"; trouble "does not settle after a retry"; break; }
	sound >"$work/.check" 2>&1 || trouble "not sound"
	clean >"$work/.check" 2>&1 || trouble "not clean"
	done_rounds=$round
done
note "$done_rounds rounds; killed: agent $killed_agent, server $killed_server, software drives $killed_drives times; $quarantines quarantined slices were tried again"
check "$done_rounds rounds, each settled, sound and clean" is $bad 0
check "there were enough of them" [ "$done_rounds" -ge $((rounds < 20 ? rounds : 20)) ]

say "At the end"
check "the neighbour's data is unchanged, every byte" is "$(neighbour_sums)" "$neighbour"
check "the foreign drive's data is unchanged, every byte" is "$(foreign_sum)" "$foreign"
check "it got no command that changes anything" is "$(drives_ctl log FOREIGN1 | wc -l)" 0
give_all_back() {
	local one
	for one in $(vms); do api DELETE "/v1/vms/$one" >/dev/null; done
	for one in $(claims); do api DELETE "/v1/claims/$one" >/dev/null; done
	until_idle 20 && retry_all
	is "$(slice_count '.state != "free" and .claim != "neighbour"')" 0 && clean && sound
}
check "all given back: every slice but the neighbour's is free, erased and proven" give_all_back
note "$(slice_count true) slices on $(api GET /v1/drives | jq '[.items[] | select(.adopt == "adopted")] | length') drives"
certificates() { # each alone, as a person would
	local id verdict n=0
	while read -r id verdict; do
		if [ "$verdict" = verified ]; then
			"$nsmith" erasure verify "$id" >/dev/null || return 1
		else
			exits 7 "genuine, but is no certificate" "$nsmith" erasure verify "$id" || return 1
		fi
		n=$((n + 1))
	done < <(api GET /v1/erasures | jq -r '.items | sort_by(.seq)[] | .id + " " + .verdict')
	[ $n -ge 16 ]
}
check "every certificate is accepted, and no record of a failed erase is" certificates
check "their chain has no gap, in the agent's ledger as in the server's database" is \
	"$(sqlite3 -readonly "$NSMITH_STATE_DIR/agent.db" 'SELECT count(*) FROM records a JOIN records b ON b.seq = a.seq + 1 AND b.prev = a.hash') of $(api GET /v1/erasures | jq '.items | length - 1')" \
	"$(sqlite3 -readonly "$NSMITH_STATE_DIR/agent.db" 'SELECT (count(*) - 1) || " of " || (count(*) - 1) FROM records')"
finish
