#!/bin/bash
# t_renumber - the kernel's names move while the agent works: it is stopped between a decision and its effect (hold.c),
# drives exchange their names, namespaces exchange theirs, a drive is pulled or falls silent; then it goes on. Nothing
# but what was meant is ever changed, and nothing is lost: what was under way is done later or quarantined.
#
#   test/host/t_renumber.sh [WORD]     only the cases whose name has WORD in it
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/host/lib.sh"
in_host t_renumber -t 3600 -- "$@"
only=${1-}
small_profiles

fabric_start A=tiny B=tiny-format
connect A B || exit 1
server_start
hold=$work/hold
LD_PRELOAD=$build/test/hold.so NSMITH_HOLD=$hold agent_start
# A class for each drive: so a claim is on that drive.
for serial in A B; do
	api PUT "/v1/classes/$serial" '{"nominal_bytes": 4194304, "tolerance_ppm": 0}' >/dev/null
	until_true 20 drive_seen $serial
	check "$serial is adopted" adopt $serial $serial
done

# ---- what must not change ------------------------------------------------------------------------------------------

keep=$work/keep
mkdir -p "$keep"
# Tags that tell in each block of a namespace which one it is, through the kernel's own node of it.
tag_all() { # serial/nsid
	local at
	at=$(node "${1%/*}" "${1#*/}") || return 1
	{ yes "$(printf '%-511s' "tag of $1")" || :; } 2>/dev/null | dd of="$at" bs=1M count=4 iflag=fullblock oflag=direct status=none
}
remember() { cp "$(medium "$1")" "$keep/${1/\//-}"; }
all_media() { local file; for file in "$work"/drives/{A,B}/ns/*; do file=${file#"$work/drives/"} && echo "${file/\/ns\///}"; done; }
# unchanged EXCEPT...: all namespaces of A and B but these (serial/nsid) hold what they held, every byte.
unchanged() {
	local at bad=0 n=0
	for at in $(all_media); do
		case " $* " in *" $at "*) continue ;; esac
		cmp -s "$(medium "$at")" "$keep/${at/\//-}" || { echo "$at has changed: $(head -c 60 "$(medium "$at")" | tr '\0' '.')" && bad=1; }
		n=$((n + 1))
	done
	[ $n -ge 13 ] || { echo "only $n namespaces are there" && bad=1; }
	return $bad
}
for serial in A B; do check "a neighbour on $serial" claim "neighbour-$serial" 3 $serial; done
for at in $(all_media); do tag_all "$at" || not_ok "cannot tag $at"; done
for at in $(all_media); do remember "$at"; done
check "14 namespaces are tagged" unchanged

# ---- how names move ------------------------------------------------------------------------------------------------

# One drive gets the name that the other had. A name that somebody still holds open is not given again: then it is the
# other way round, and where that does not work either (a lower name was free), both have new names at least.
names_exchanged() {
	local low=$1 high=A low_name high_name
	[ "$1" = A ] && high=B
	[[ $(controller "$low") < $(controller $high) ]] || { low=$high high=$1; }
	low_name=$(controller "$low") high_name=$(controller "$high")
	disconnect "$low" "$high" && connect "$high" || return 1
	if [ "$(controller "$high")" = "$low_name" ]; then connect "$low" && return; fi
	disconnect "$high" && connect "$low" "$high" || return 1
	[ "$(controller "$low") $(controller "$high")" != "$low_name $high_name" ]
}
namespaces_exchanged() { # of one drive: detached all, and attached the other way round
	local at cntlid list nsid before
	at=/dev/$(controller "$1")
	cntlid=$(cat "/sys/class/nvme/${at#/dev/}/cntlid")
	list=$(nvme list-ns "$at" -o json | jq -r '.nsid_list[].nsid')
	for nsid in $list; do before="${before-}$nsid=$(node "$1" "$nsid") " && nvme detach-ns "$at" -n "$nsid" -c "$cntlid" >/dev/null; done
	until_true 10 eval "! ls /dev/${at#/dev/}n*"
	for nsid in $(tac <<<"$list"); do nvme attach-ns "$at" -n "$nsid" -c "$cntlid" >/dev/null && until_true 10 node "$1" "$nsid"; done
	[ "$before" != "$(for nsid in $list; do printf '%s=%s ' "$nsid" "$(node "$1" "$nsid")"; done)" ] || [ "$(wc -w <<<"$list")" -lt 2 ] ||
		{ echo "the names did not move" && return 1; }
}
pulled() { disconnect "$1"; }
silent() { drives_ctl remove "$1"; }
# What comes after the agent went on.
put_back() {
	case $how in
	pulled) sleep 3 && connect "$1" ;;
	silent) sleep 3 && drives_ctl restore "$1" && until_true 20 eval "[ \"\$(cat /sys/class/nvme/\$(controller $1)/state)\" = live ]" ;;
	esac
}

# ---- a case --------------------------------------------------------------------------------------------------------

is_held() { grep -q '^State:	T' "/proc/$agent_child/status"; }
retry_all() {
	local slice
	for slice in $(api GET '/v1/slices?state=quarantined' | jq -r '.items[] | select(.wanted.claim == null) | .id'); do
		api POST "/v1/slices/$slice/retry" >/dev/null
	done
	until_idle 60
}
# Ends idle or with something quarantined; nothing hangs.
settles() { until_idle 60 || { api GET /v1/slices | jq -c '.items[] | [.id, .drive, .nsid, .state, .why]'; api GET /v1/drives | jq -c '.items[] | [.serial, .adopt, .why]'; return 1; }; }
# Every path that is there leads to its slice's own namespace, and every slice that is handed out has one.
paths_true() {
	local id at n=0
	while read -r id at; do
		is "$(whose "$(slice_link "$id")")" "$at" || { echo "the path of $id"; return 1; }
		n=$((n + 1))
	done < <(api GET '/v1/slices?state=attached' | jq -r '.items[] | "\(.id) \(.drive)/\(.nsid)"')
	is "$(find "$NSMITH_RUN_DIR/slices" -mindepth 1 | wc -l)" $n
}
no_broadcast() { # a command that changes something and is for all namespaces
	! for serial in $(drives_ctl ls | cut -d' ' -f1); do drives_ctl log "$serial"; done | grep -E 'nsid=4294967295' | grep -v set-features
}
# go NAME HOW DRIVE HOLD WORK...: starts WORK with the agent told to stop at HOLD, moves the names, lets it go on.
go() { # NAME HOW DRIVE HOLD WORK...
	local drive=$3
	title="$1, $2"
	how=${2// /_}
	echo "$4" >"$hold"
	shift 4
	"$@" >/dev/null || { rm -f "$hold"; not_ok "$title: cannot begin"; return 1; }
	until_true 10 is_held || { rm -f "$hold"; not_ok "$title: the moment never came"; return 1; }
	$how "$drive" >"$work/.how" 2>&1 || { cat "$work/.how"; not_ok "$title: the names do not move"; }
	kill -CONT "$agent_child"
	put_back "$drive" || not_ok "$title: the drive does not come back"
}
wanted() { [ -z "$only" ] || [[ $1 == *"$only"* ]]; }

# ---- the cases -----------------------------------------------------------------------------------------------------

# Each asks the same of the world at its end. $at: the one namespace that was meant, or nothing.
after() { # slice
	check "$title: settles" settles
	[ -z "$1" ] || check "$title: quarantined or free" is "$(slice_state "$1" | sed 's/quarantined/free/')" free
	check "$title: nothing stays quarantined that is tried again" quarantine_empty
	check "$title: no other namespace has changed" unchanged "$at"
	check "$title: every path leads to its own namespace" until_true 20 paths_true
}
quarantine_empty() {
	[ "$(slice_count '.state == "quarantined"')" = 0 ] || retry_all || return 1
	is "$(slice_count '.state == "quarantined"')" 0
}
tenant_wiped() { ! grep -aq 'tag of' "$(medium "$1")"; }

erase_case() { # drive moment hold how
	local slice at
	wanted "erase on $1 at $2, $4" || return 0
	claim t 1 "$1" || { not_ok "erase on $1 at $2, $4: no slice is free"; return; }
	slice=$(claim_slices t)
	at=$(slice_at "$slice")
	tag_all "$at"
	go "erase on $1 at $2" "$4" "$1" "$3" api DELETE /v1/claims/t
	after "$slice"
	check "$title: in the end it is free, with nothing of the tenant" eval 'is "$(slice_state "$slice")" free && tenant_wiped "$at"'
	remember "$at"
}

claim_case() { # drive moment hold how
	local slice at
	wanted "claim on $1 at $2, $4" || return 0
	go "claim on $1 at $2" "$4" "$1" "$3" api POST /v1/claims "{\"id\": \"t\", \"class\": \"$1\", \"slices\": 1}"
	check "$title: is ready in the end" until_true 60 claim_is t ready
	slice=$(claim_slices t)
	at=$(slice_at "$slice")
	after ""
	# Through the path, to the medium.
	printf '%-4096s' "written by the tenant" | dd of="$(slice_link "$slice")" bs=4096 seek=9 oflag=direct status=none
	check "$title: what is written to the path is in that namespace" eval 'grep -aq "written by the tenant" "$(medium "$at")"'
	check "$title: and in no other" unchanged "$at"
	check "$title: released" release t
	remember "$at"
}

adopt_case() { # moment hold how
	local at='' serial
	wanted "adopt at $1, $3" || return 0
	adoptions=$((adoptions + 1))
	serial=C$adoptions
	drives_ctl add "$serial" tiny && connect "$serial" && until_true 30 drive_seen "$serial" || not_ok "$serial is not found"
	go "adopt at $1" "$3" "$serial" "$2" api POST "/v1/drives/$serial/adopt" "{\"class\": \"A\", \"confirm\": \"$serial\"}"
	settles >/dev/null
	# What was not begun is not done behind anybody's back: it has to be asked for again.
	if ! drive_is "$serial" adopted; then
		note "$(api GET "/v1/drives/$serial" | jq -r '"\(.adopt) \(.why // "")"')"
		check "$title: can be adopted again" until_true 30 adopt "$serial" A
	fi
	after ""
	check "$title: 7 slices, free" is "$(slice_count ".drive == \"$serial\" and .state == \"free\"")" 7
	check "$title: 7 namespaces" is "$(drives_ctl ls | sed -n "s/^$serial .*namespaces \([0-9]*\).*/\1/p")" 7
	disconnect "$serial"
	until_true 10 drive_is "$serial" missing || not_ok "$serial is not reported missing"
}
adoptions=0

say "Erase, by Sanitize Namespace"
for how in "names exchanged" "namespaces exchanged" "pulled" "silent"; do
	erase_case A "its command" "admin 8c 0" "$how"
	erase_case A "its third open" "open /dev/nvme 2" "$how"
done
erase_case A "its first open" "open /dev/nvme 0" "names exchanged"
erase_case A "its second open" "open /dev/nvme 1" "namespaces exchanged"
erase_case A "its fourth open" "open /dev/nvme 3" "names exchanged"
erase_case A "its fifth open" "open /dev/nvme 4" "pulled"

say "Erase, by Format NVM"
for how in "names exchanged" "namespaces exchanged" "pulled" "silent"; do erase_case B "its command" $'admin 80 0\nsubmit 0' "$how"; done

say "Claim"
claim_case A "its first open" "open /dev/nvme 0" "names exchanged"
claim_case A "its second open" "open /dev/nvme 1" "names exchanged"
claim_case B "its second open" "open /dev/nvme 1" "namespaces exchanged"
claim_case B "its first open" "open /dev/nvme 0" "pulled"

say "Adopt"
adopt_case "its first open" "open /dev/nvme 0" "names exchanged"
adopt_case "its detach" "admin 15 1 0" "names exchanged"
adopt_case "its delete" "admin d 1 0" "names exchanged"
adopt_case "its delete" "admin d 1 0" "pulled"
adopt_case "its fourth create" "admin d 0 3" "names exchanged"
adopt_case "its fourth create" "admin d 0 3" "silent"
adopt_case "its fourth attach" "admin 15 0 3" "namespaces exchanged"
adopt_case "its fourth attach" "admin 15 0 3" "pulled"
adopt_case "its third erase" "admin 8c 2" "names exchanged"
adopt_case "its third erase" "admin 8c 2" "namespaces exchanged"

say "In the end"
check "the neighbours have what they wrote" unchanged "$(all_media | grep -v '^[AB]/' || :)"
check "no command was for all namespaces" no_broadcast
check "no program died" eval '! gone "$agent_child" && ! gone "$server_pid"'
finish
