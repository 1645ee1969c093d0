#!/bin/bash
# t_events - devices that come, go and change their names, on the kernel's own driver in a host of test/host/run.
#
#   test/host/t_events.sh
#
#   NSMITH_BUILD         programs under test, default build/demo
#   NSMITH_HOST_KERNEL   default cloud; see test/host/run
# Logs and drives are in build/e2e/t_events.out afterwards.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
out=$top/build/e2e/t_events.out

# ---- outside: three drives in slots of their own, two of which are plugged in later ---------------------------------

if [ "${NSMITH_HOST-}" != 1 ]; then
	set -e
	rm -rf "$out"
	mkdir -p "$out"
	args=()
	for slot in 1 2 3; do args+=(-q "-device pcie-root-port,id=port$slot,chassis=$slot,slot=$slot"); done
	for serial in MINE OTHER THIRD; do
		truncate -s 64M "$out/$serial.img"
		args+=(-q "-blockdev driver=file,node-name=$serial-medium,filename=$out/$serial.img")
	done
	printf '%-4096s' 'tag of OTHER' | dd of="$out/OTHER.img" conv=notrunc status=none
	args+=(-q "-device nvme,id=MINE,bus=port1,serial=MINE,drive=MINE-medium")
	exec "$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -t 240 -w "$out" -l "$out/console" "${args[@]}" -- \
		env NSMITH_BUILD="${NSMITH_BUILD:-$top/build/demo}" bash "$(readlink -f "$0")"
fi

# ---- inside --------------------------------------------------------------------------------------------------------

. "$top/test/e2e/lib.sh"
begin t_events
trap 'end_all; cp "$work"/*.log "$work"/*.out "$out/" 2>/dev/null' EXIT
PATH=$top/test/host:$PATH

controllers() { # serial: nvmeN..., as the kernel has them
	local file
	for file in /sys/class/nvme/*/serial; do
		[ "$(tr -d ' ' <"$file" 2>/dev/null)" != "$1" ] || basename "${file%/serial}"
	done
}
count_is() { is "$(controllers "$1" | wc -l)" "$2"; }
ns_node() { # serial: its first namespace that can be used
	local folder
	for folder in /sys/class/block/nvme*; do
		case ${folder##*/} in *c*n* | *p*) continue ;; esac
		[ "$(tr -d ' ' <"$folder/device/serial" 2>/dev/null || tr -d ' ' <"$folder/device/nvme"*/serial 2>/dev/null)" != "$1" ] || { echo "/dev/${folder##*/}"; return; }
	done
	return 1
}
wait_for() { # as until_true, but gentler to the emulated CPU
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
		sleep 0.5
	done
}
adopt() { "$nsmith" drive adopt "$1" --as "$2" --class "${3-small}" --yes --serial="$1" --timeout 60; }
reads() { [ "$(dd if="$1" bs=4096 count=1 iflag=direct status=none | head -c ${#2})" = "$2" ]; }

modprobe -qa nvme nvme-tcp
until_true 10 ns_node MINE
server_start
"$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --virt "$virt" --host bed >"$work/agent.log" 2>&1 &
# shellcheck disable=SC2034 # lib.sh ends it
agent_child=$!
until_true 10 grep -q ' registered ' "$work/agent.log"
class_small
api PUT /v1/classes/quarter '{"nominal_bytes": 134217728, "tolerance_ppm": 10000}' >/dev/null

say "A drive that is pulled, and another one that wants its name"
until_true 20 drive_seen MINE
check "adopted" exits 0 "adopted" adopt MINE whole
slice=$(slices '.drive == "MINE"')
check "claimed" claim c1 1
link=$(slice_link "$slice")
was=$(controllers MINE)
until_true 10 test -L "$link"
printf '%-4096s' 'tag of MINE' | dd of="$link" bs=4096 iflag=fullblock oflag=direct status=none
# The path is read all the time, from before the drive goes until the other one has long been there.
"$build/test/tag_watch" "$link" "tag of MINE" 8 >"$work/watch.out" 2>&1 &
watch=$!
sleep 1
qmp device_del id=MINE >/dev/null
until_true 10 test ! -e "/sys/class/nvme/$was"
gone=${EPOCHREALTIME/./}
until_true 10 test ! -L "$link"
note "the link went within $(((${EPOCHREALTIME/./} - gone) / 1000)) ms of the controller"
check "its link is gone" test ! -L "$link"
qmp device_add driver=nvme id=OTHER bus=port2 serial=OTHER drive=OTHER-medium >/dev/null
check "another drive is there" until_true 10 ns_node OTHER
note "it is $(controllers OTHER); the one that was pulled was $was"
check "it is listed at once" wait_for 10 drive_seen OTHER
wait $watch && led=0 || led=$?
note "the link led to: $(cat "$work/watch.out")"
check "the link never led to the other drive" is "$led" 0
check "reported missing" wait_for 10 drive_is MINE missing
qmp device_add driver=nvme id=MINE bus=port1 serial=MINE drive=MINE-medium >/dev/null
check "put back: its path is there again" until_true 20 test -L "$link"
check "and leads to the tenant's data" reads "$link" "tag of MINE"

say "The same, while the agent cannot even hear of it"
was=$(controllers MINE)
kill -STOP "$agent_child"
qmp device_del id=MINE >/dev/null
until_true 10 test ! -e "/sys/class/nvme/$was/device"
check "the link stays" test -L "$link"
qmp device_add driver=nvme id=THIRD bus=port3 serial=THIRD drive=THIRD-medium >/dev/null
check "a third drive is there" until_true 10 ns_node THIRD
note "it is $(ns_node THIRD), OTHER $(ns_node OTHER); the link leads to $(readlink "$link")"
check "under another name, for the agent holds what was there" test "$(ns_node THIRD)" != "$(readlink "$link")"
check "and another number" test ! -e "$link"
kill -CONT "$agent_child"
check "then the link goes" until_true 10 test ! -L "$link"
qmp device_add driver=nvme id=MINE bus=port1 serial=MINE drive=MINE-medium >/dev/null
check "put back: its path is there again" until_true 20 test -L "$link"
check "and leads to the tenant's data" reads "$link" "tag of MINE"

say "An agent that is gone does not vouch for a path"
kill "$agent_child" && wait "$agent_child" 2>/dev/null
check "it took the links along" test ! -L "$link"
"$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --virt "$virt" --host bed >>"$work/agent.log" 2>&1 &
agent_child=$!
check "the next one makes them anew" until_true 15 test -L "$link"
check "to the same data" reads "$link" "tag of MINE"
check "released" exits 0 "" "$nsmith" claim release c1

say "A namespace that appears by event, or after a rescan"
port=4420
"$softnvme" --dir "$work/drives" --socket "$socket" --profiles "$top/share/profiles" --tcp 127.0.0.1:$port \
	--add TELLS=tiny --add SILENT=tiny-no-events --add TWOWAYS=tiny >>"$work/softnvme.log" 2>&1 &
softnvme_pid=$!
until_true 10 drives_ctl ls
host_nqn=nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555
connect() { nvme connect -q $host_nqn -t tcp -a 127.0.0.1 -s $port -n "nqn.2026-01.org.nsmith:soft:$1" "${@:2}"; }
for serial in TELLS SILENT; do
	check "$serial is connected" connect $serial
	check "it is found by its event, not by the next listing" wait_for 8 drive_seen $serial
	check "adopted: every namespace was seen" exits 0 "adopted" adopt $serial namespace quarter
	check "its slices are free" wait_for 30 is "$(slices ".drive == \"$serial\" and .state != \"free\"" | wc -l)" 0
done

say "Two controllers of one drive"
check "connected" connect TWOWAYS
again() { echo "transport=tcp,traddr=127.0.0.1,trsvcid=$port,nqn=nqn.2026-01.org.nsmith:soft:$1,hostnqn=$host_nqn,duplicate_connect" >/dev/nvme-fabrics; }
check "and once more" again TWOWAYS
check "the kernel has two controllers" count_is TWOWAYS 2
check "the drive is there" wait_for 8 drive_seen TWOWAYS
check "once" is "$("$nsmith" drive ls --json | jq '[.items[] | select(.serial == "TWOWAYS")] | length')" 1
check "and is nothing but itself" is "$(api GET /v1/drives/TWOWAYS | grep -c 'serial number')" 0
check "adopted" exits 0 "adopted" adopt TWOWAYS namespace quarter
check "its slices are free" wait_for 30 is "$(slices '.drive == "TWOWAYS" and .state != "free"' | wc -l)" 0
for controller in $(controllers TWOWAYS); do
	note "$controller: CNTLID $(cat "/sys/class/nvme/$controller/cntlid"), $(nvme list-ns "/dev/$controller" | wc -l) namespaces"
done
check "what is attached is attached to one of them" is "$(for controller in $(controllers TWOWAYS); do nvme list-ns "/dev/$controller" | wc -l; done | sort -n | head -n 1)" 0
check "no order failed but for looks at what was not there" is "$(grep 'order-failed' "$work/agent.log" | grep -vc 'cannot find drive')" 0
finish
