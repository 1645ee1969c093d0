#!/bin/bash
# t_wrongdrive - ways to hit the wrong drive or the wrong namespace: what the agent knows is made stale behind its back
# while it is stopped, and then every order that there is, is given; and orders that name what they should not. None of
# them changes anything that was not meant, and no namespace that is not the slice's own any more is handed out.
#
#   test/host/t_wrongdrive.sh [PROFILE|forged]
#
# On software drives by their socket, with no other kernel: it is the agent that must not be fooled. All parts side by
# side, in runs of their own.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
parts=(tiny tiny-format tiny-zero-ids tiny-reused-ids forged)
if [ $# = 0 ]; then
	name=t_wrongdrive
	mkdir -p "$top/build/e2e"
	for part in "${parts[@]}"; do bash "$0" "$part" >"$top/build/e2e/$name.$part.out" 2>&1 & done
	wait
	for part in "${parts[@]}"; do
		cat "$top/build/e2e/$name.$part.out"
		[[ $(tail -1 "$top/build/e2e/$name.$part.out") =~ ([0-9]+)\ steps\ passed,\ ([0-9]+)\ failed$ ]] || BASH_REMATCH=(0 0 1)
		passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
	done
	[ $((passed + failed)) -ge 200 ] || { failed=$((failed + 1)); echo "there were fewer than 200 ways"; }
	finish
fi
begin "t_wrongdrive-$1"

# Ten drives of eight slices of 4 MiB each and room for a namespace of somebody else, and one that nothing happens to.
profiles=$work/profiles
mkdir -p "$profiles"
for file in "$top"/share/profiles/tiny*.conf; do sed 's/512MiB/35MiB/' "$file" >"$profiles/${file##*/}"; done

changes=(deleted remade remade-smaller remade-other-blocks remade-unattached detached replaced-drive exchanged-drive other-model pulled)
# What is handed out in which way when the world changes; slices 6 and 7 are neighbours, 8 is the fleet's.
orders=(claim release keep retry retire)
S=$work/shots

poke() { "$build/test/poke" "$socket" "$@"; }
medium() { readlink -f "$work/drives/$1/ns/$2"; } # drive nsid
tag() { # drive nsid words: all over the namespace
	{ yes "$(printf '%-511s' "$3")" || :; } 2>/dev/null | dd of="$(medium "$1" "$2")" bs=1M count=4 iflag=fullblock conv=notrunc status=none
}
media() { (cd "$work/drives" && for one in "$1"/ns/*; do echo "${one##*/}"; done); }
# What its namespaces hold now. Later it is looked for in the medium itself: a drive that was pulled shows no namespaces.
declare -A where
shot() { # drive
	local nsid
	rm -rf "${S:?}/$1"
	mkdir -p "$S/$1"
	for nsid in $(media "$1"); do
		where[$1/$nsid]=$(find "$work/drives/$1/media" -samefile "$work/drives/$1/ns/$nsid")
		cp --sparse=always "${where[$1/$nsid]}" "$S/$1/$nsid"
	done
}
# same DRIVE [NSID...]: these namespaces (or all) are there and hold what they held, every byte.
same() {
	local drive=$1 nsid
	shift
	[ $# -gt 0 ] || set -- $(ls "$S/$drive")
	for nsid; do
		[ -e "$S/$drive/$nsid" ] || continue # there was none
		cmp "${where[$drive/$nsid]}" "$S/$drive/$nsid" || return 1
	done
}

declare -A at # at[drive/order]: the NSID of the slice
slice_of() { jq -r ".items[] | select(.drive == \"$1\" and .nsid == $2) | .id" "$work/slices"; }
look() { api GET /v1/slices >"$work/slices"; }
state_of() { jq -r ".items[] | select(.id == \"$1\") | .state" "$work/slices"; }
has_id() { jq -e ".items | any(.id == \"$1\")" "$work/slices" >/dev/null; }

letters=(a b c d e f g h)
claim_each() { # drive: its eight slices one by one
	local n
	for n in "${letters[@]}"; do api POST /v1/claims "{\"id\": \"$1-$n\", \"class\": \"$1\", \"slices\": 1}" >/dev/null || return 1; done
}
# Which of them is for what; all hold something; three are given back, and somebody else makes a namespace.
prepare() { # drive
	local drive=$1 nsid n
	for n in "${letters[@]}"; do
		nsid=$(jq -r ".items[] | select(.claim == \"$drive-$n\") | .nsid" "$work/slices")
		[ -n "$nsid" ] || return 1
		case $n in
		a) at[$drive/claim]=$nsid ;;
		b) at[$drive/retry]=$nsid ;;
		c) at[$drive/retire]=$nsid ;;
		d) at[$drive/release]=$nsid ;;
		e) at[$drive/keep]=$nsid ;;
		*) neighbours[$drive]+=" $nsid" ;;
		esac
		tag "$drive" "$nsid" "tenant $n of $drive"
	done
	for n in a b c; do api DELETE "/v1/claims/$drive-$n" >/dev/null || return 1; done
	foreign[$drive]=$(poke "$drive" create $((3 << 20)) 0) || return 1
	tag_small "$drive" "${foreign[$drive]}" $((3 << 20))
}

victims() { local order; for order in "${orders[@]}"; do echo "${at[$1/$order]}"; done | sort -n; }
remade() { # drive bytes lbaf attach: all five, with the same NSIDs again
	local nsid new
	for nsid in $(victims "$1"); do poke "$1" delete "$nsid" || return 1; done
	for nsid in $(victims "$1"); do
		new=$(poke "$1" create "$2" "$3") && is "$new" "$nsid" || return 1
		[ -z "$4" ] || poke "$1" attach "$nsid" || return 1
		tag_small "$1" "$nsid" "$2"
	done
}
tag_small() { { yes "$(printf '%-511s' "new owner of $1/$2")" || :; } 2>/dev/null | head -c "$3" | dd of="$(medium "$1" "$2")" bs=1M iflag=fullblock conv=notrunc status=none; }

# change DRIVE CHANGE: with the software drives running and the agent stopped.
change() {
	local nsid
	case $2 in
	deleted) for nsid in $(victims "$1"); do poke "$1" delete "$nsid" || return 1; done ;;
	remade) remade "$1" $((4 << 20)) 1 yes ;;
	remade-smaller) remade "$1" $((3 << 20)) 1 yes ;;
	remade-other-blocks) remade "$1" $((4 << 20)) 0 yes ;;
	remade-unattached) remade "$1" $((4 << 20)) 1 "" ;;
	detached) for nsid in $(victims "$1"); do poke "$1" detach "$nsid" || return 1; done ;;
	pulled) drives_ctl remove "$1" ;;
	esac
}
# The same with the software drives stopped.
change_cold() {
	case $2 in
	exchanged-drive) # the serial number of the one on the other
		mv "$work/drives/$1" "$work/x" && mv "$work/drives/EX" "$work/drives/$1" && mv "$work/x" "$work/drives/EX" &&
			sed -i "s/\"EX\"/\"$1\"/" "$work/drives/$1/state.json" && sed -i "s/\"$1\"/\"EX\"/" "$work/drives/EX/state.json"
		;;
	replaced-drive) rm -rf "${work:?}/drives/$1" ;;
	other-model) sed -i 's/^model = .*/model = SOFT OTHER/' "$work/drives/$1/profile.conf" ;;
	esac
}

judge() { # change order drive: one way to hit the wrong thing, looked at when all is over
	local change=$1 order=$2 drive=$3 id nsid state
	nsid=${at[$drive/$order]}
	id=${ids[$drive/$order]}
	state=$(state_of "$id")
	# What is at its NSID now. A slice that was only detached is still ours: it is attached again, and erased on release.
	[ "$change/$order" = detached/release ] || same "$drive" "$nsid" || return 1
	# Its neighbours, what somebody else has on the drive, and the other drive.
	# shellcheck disable=SC2086 # words are wanted
	case $change in
	exchanged-drive | replaced-drive) same "$drive" ;;
	*) same "$drive" ${neighbours[$drive]} "${foreign[$drive]}" ;;
	esac || return 1
	same STILL || return 1
	[ "$change" != detached ] || return 0
	case $order in
	claim) [ "$state" != attached ] ;;
	keep) [ ! -e "$(slice_link "$id")" ] ;;
	retire) [ "$change" = pulled ] || [ ! -e "$S/$drive/$nsid" ] || [ -e "$work/drives/$drive/ns/$nsid" ] ;; # not deleted
	release | retry) [ "$change" = pulled ] || [ "$change" = other-model ] || [ "$state" != free ] ;;
	esac || { echo "$order: slice $id is '$state'"; return 1; }
}

round() { # PROFILE CHANGE...
	local profile=$1 change order drive n=0 args=() drives=()
	shift
	say "$profile"
	rm -rf "$NSMITH_STATE_DIR" "$work/drives" "$S"
	mkdir -p "$NSMITH_STATE_DIR"
	at=() ids=() neighbours=() foreign=()
	for change; do drives+=("D$n=$change") args+=("D$n=$profile") n=$((n + 1)); done
	drives_start "${args[@]}" "STILL=$profile" "EX=$profile"
	server_start
	agent_start
	for drive in "${drives[@]%%=*}" STILL EX; do
		api PUT "/v1/classes/$drive" '{"nominal_bytes": 4194304, "tolerance_ppm": 0}' >/dev/null
		until_true 10 drive_seen "$drive"
		api POST "/v1/drives/$drive/adopt" "{\"class\": \"$drive\", \"confirm\": \"$drive\"}" >/dev/null
	done
	until_idle 60 || { not_ok "$profile: the drives are not adopted"; return; }
	claim STILL 8 STILL && tags_write STILL && shot STILL
	for drive in "${drives[@]%%=*}"; do claim_each "$drive" || not_ok "$profile: cannot claim $drive"; done
	until_idle 60 || not_ok "$profile: is not idle"
	look
	for drive in "${drives[@]%%=*}"; do prepare "$drive" || not_ok "$profile: cannot prepare $drive"; done
	until_idle 60 || not_ok "$profile: is not idle"
	look
	for drive in "${drives[@]%%=*}"; do
		for order in "${orders[@]}"; do ids[$drive/$order]=$(slice_of "$drive" "${at[$drive/$order]}"); done
	done
	agent_stop KILL
	for drive in "${drives[@]}"; do change "${drive%%=*}" "${drive#*=}" >"$work/.check" 2>&1 || { not_ok "$profile: cannot make ${drive#*=}"; cat "$work/.check"; }; done
	drives_stop
	args=()
	for drive in "${drives[@]}"; do
		change_cold "${drive%%=*}" "${drive#*=}"
		[ "${drive#*=}" != replaced-drive ] || args+=("${drive%%=*}=$profile")
	done
	drives_start "${args[@]}" || { not_ok "$profile: the drives do not start: $(tail -1 "$work/softnvme.log")"; return; }
	for drive in "${drives[@]}"; do
		[ "${drive#*=}" != pulled ] || drives_ctl restore "${drive%%=*}"
		[ "${drive#*=}" != replaced-drive ] || dd if=/dev/urandom of="$(medium "${drive%%=*}" 1)" bs=1M count=36 conv=notrunc status=none
		shot "${drive%%=*}"
		[ "${drive#*=}" != pulled ] || drives_ctl remove "${drive%%=*}"
	done
	give_orders
	for drive in "${drives[@]}"; do
		for order in "${orders[@]}"; do
			check "$profile, ${drive#*=}, $order" judge "${drive#*=}" "$order" "${drive%%=*}"
		done
	done
	agent_stop
	server_stop
	drives_stop
}

# Every order is given twice: before the agent has looked again, and after.
give_orders() {
	local drive
	for drive in "${drives[@]%%=*}"; do all_orders "$drive"; done
	agent_start
	sleep 1
	until_true 30 nothing_moves
	for drive in "${drives[@]%%=*}"; do all_orders "$drive"; done
	sleep 1
	until_true 30 nothing_moves
	look
}
all_orders() {
	local n
	api POST /v1/claims "{\"id\": \"new-$1-$RANDOM\", \"class\": \"$1\", \"slices\": 1}"
	api POST /v1/claims "{\"id\": \"new-$1-$RANDOM\", \"class\": \"$1\", \"slices\": 1}"
	api DELETE "/v1/claims/$1-d"
	for n in 1 2; do api POST "/v1/slices/${ids[$1/retry]}/retry"; done
	api POST "/v1/slices/${ids[$1/retire]}/retire" "{\"confirm\": \"${ids[$1/retire]}\"}"
} >/dev/null 2>&1
# What the agent has done and what it reports stay the same for a while.
nothing_moves() {
	local before
	before=$(dump | md5sum; grep -c ' order ' "$agent_log")
	sleep 0.7
	is "$(dump | md5sum; grep -c ' order ' "$agent_log")" "$before"
}

# ---- orders that name what they should not -------------------------------------------------------------------------

forged() { # NAME METHOD PATH [BODY]: is refused, and nothing at all has changed
	local name=$1 code
	shift
	code=$(curl -sS --path-as-is --max-time 10 --unix-socket "$api_socket" -o "$work/.answer" -w '%{http_code}' -X "$1" ${3:+--data-binary "$3"} "http://nsmith$2")
	sleep 0.3
	check "$name" eval '[[ $code == 4?? || $code == 507 ]] || { echo "status $code: $(cat "$work/.answer")"; false; } && is "$(picture)" "$before" && same A && same B && same FRESH && same EXT4'
}
# What is wanted and what is, but for what a look at a drive brings; and what the drives were told.
picture() {
	local serial
	curl -sS --max-time 20 --unix-socket "$api_socket" http://nsmith/v1/{slices,claims,vms,drives} |
		jq -cS '.items[] | [.id, .name, .serial, .adopt, .state, .generation, .claim, .slices, .power, .wanted]' | md5sum
	for serial in A B FRESH EXT4; do drives_ctl log $serial; done | md5sum
}

forged_all() {
	local serial id other held free body
	drives_start A=tiny B=tiny FRESH=tiny EXT4=tiny
	mkfs.ext4 -q -F -L payroll "$work/drives/EXT4/ns/1" 2>/dev/null
	server_start
	agent_start
	api PUT /v1/classes/C '{"nominal_bytes": 4194304, "tolerance_ppm": 0}' >/dev/null
	for serial in A B; do until_true 10 drive_seen $serial && adopt $serial C; done
	until_true 10 drive_seen FRESH && until_true 10 drive_seen EXT4
	claim held 3 C && tags_write held
	held=$(claim_slices held | head -1)
	free=$(api GET '/v1/slices?state=free' | jq -r '.items[0].id')
	for serial in A B FRESH EXT4; do shot $serial; done
	before=$(picture)
	for serial in FRESH EXT4 A; do
		for body in '' A fresh 'FRESH ' ' FRESH' FRES FRESH1 '*' B; do
			[ "$serial" = "$body" ] || forged "adopt $serial, confirmed as '$body'" POST "/v1/drives/$serial/adopt" "{\"class\": \"C\", \"confirm\": \"$body\"}"
		done
	done
	forged "adopt a drive with a file system, confirmed rightly" POST /v1/drives/EXT4/adopt '{"class": "C", "confirm": "EXT4"}'
	forged "adopt a drive of another host" POST /v1/drives/FRESH/adopt '{"class": "C", "confirm": "FRESH", "host": "other"}'
	forged "adopt a drive as another plan shows it" POST /v1/drives/FRESH/adopt '{"class": "C", "confirm": "FRESH", "expect": {"provider": "namespace", "class": "C", "count": 7, "lbaf": 1, "block_bytes": 4096, "slice_blocks": 1024, "slice_bytes": 4194304, "cost_bytes": 4194304, "stranded_bytes": 0}}'
	for id in '*' . .. all FRES FRESH%20 %20FRESH FRESH%00 FRESH%2f..%2fA nvme2 /dev/nvme2; do
		forged "adopt '$id'" POST "/v1/drives/$id/adopt" '{"class": "C", "confirm": "FRESH"}'
	done
	for id in '*' . .. all 1 0 -1 4294967295 0xffffffff ns- "ns-" "${free%?}" "${free}x" "${free^^}" "$free%00" "$free%20" A/1 "$held" "$free"; do
		forged "retry slice '$id'" POST "/v1/slices/$id/retry"
		forged "retire slice '$id'" POST "/v1/slices/$id/retire" "{\"confirm\": \"$id\"}"
	done
	forged "retire a slice, confirmed as another" POST "/v1/slices/$free/retire" "{\"confirm\": \"$held\"}"
	for id in '*' . '' all held2 hel HELD held%00 held%20 "$held" 4294967295; do
		forged "release claim '$id'" DELETE "/v1/claims/$id"
		forged "delete VM '$id'" DELETE "/v1/vms/$id"
	done
	for body in '"slices": 0' '"slices": -1' '"slices": 4294967295' '"slices": 4294967296' '"slices": "'"$held"'"' "\"slices\": [\"$held\"]" '"slices": 1, "class": "*"' '"slices": 1, "host": "other"'; do
		forged "claim with $body" POST /v1/claims "{\"id\": \"x\", $body}"
	done
	other=$(api GET /v1/slices | jq -c '.items[0]')
	forged "a report of a life of the agent that never was" POST /v1/agents/e2e/report '{"registration": 77, "drives": [], "slices": [], "vms": []}'
	forged "a report for a host that never registered" POST /v1/agents/evil/report "{\"registration\": 1, \"drives\": [], \"slices\": [$other], \"vms\": []}"
	forged "records that nobody signed" POST /v1/agents/e2e/records '{"records": ["{\"id\": \"er-1\"}"]}'
	agent_stop
	server_stop
	drives_stop
}

declare -A ids neighbours foreign
case $1 in
tiny | tiny-format) round "$1" "${changes[@]}" ;;
# Without identifiers of its own, a namespace that was made anew with NSID and size of the old one cannot be told.
tiny-zero-ids) round "$1" deleted remade-smaller remade-other-blocks detached other-model pulled replaced-drive ;;
tiny-reused-ids) round "$1" deleted remade-smaller remade-other-blocks detached other-model pulled replaced-drive exchanged-drive ;;
forged) forged_all ;;
*) not_ok "there is no part '$1'" ;;
esac
finish
