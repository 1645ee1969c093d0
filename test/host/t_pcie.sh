#!/bin/bash
# t_pcie - software drives as PCIe drives: nsmith-softnvme serves vfio-user, QEMU 11 shows its drives to a host of
# test/host/run. Controllers, interrupts, isolation, resets, unplugging; then a drive's life under the agent.
#
#   test/host/t_pcie.sh
#
#   NSMITH_BUILD         programs under test, default build/demo
#   NSMITH_HOST_KERNEL   default cloud; see test/host/run
#   NSMITH_HOST_DIR      kernels and QEMU 11 (test/host/fetch DIR qemu11), default build/host
# Logs and drives are in build/e2e/t_pcie.out afterwards.
#
# Drive A has MSI-X, as nearly all drives. B has MSI: vfio-user-pci of QEMU 11.1 fails an assertion, and QEMU with it, when
# a device with MSI-X is unplugged (vfio_user_msix_teardown()), and B is.
# Drive A has both of its controllers in the host, drive B one. The host's IOMMU translates, and forgets at once: each
# buffer is mapped for its command, so that the device knows thousands of regions in turn.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
out=$top/build/e2e/t_pcie.out
build=${NSMITH_BUILD:-$top/build/demo}

# ---- outside: drives, and a host that has them ---------------------------------------------------------------------

if [ "${NSMITH_HOST-}" != 1 ]; then
	set -e
	store=${NSMITH_HOST_DIR:-$top/build/host}
	[ -x "$build/src/softnvme/nsmith-softnvme" ] || { echo "t_pcie: no programs in $build" >&2; exit 1; }
	"$top/test/host/fetch" "$store" qemu11
	rm -rf "$out"
	mkdir -p "$out"/{ask,profiles}
	# Small enough to be read whole again and again: seven slices of 4 MiB.
	sed 's/512MiB/28MiB/; s/^nn = 16/nn = 8/; /^crypto_result/d' "$top/share/profiles/tiny.conf" >"$out/profiles/tiny.conf"
	{ cat "$out/profiles/tiny.conf" && echo 'msi = yes'; } >"$out/profiles/tiny-msi.conf"
	sockets=$(mktemp -d) # a path that is short enough for sockets
	"$build/src/softnvme/nsmith-softnvme" --dir "$out/drives" --socket "$sockets/ctl" --vfio-user "$sockets/pcie" \
		--profiles "$out/profiles" --add A=tiny --add B=tiny-msi >"$out/softnvme.log" 2>&1 &
	drives=$!
	# What the host asks of its drives' makers: a file with words for --ctl; it goes when that is done.
	{
		while sleep 0.1; do
			for file in "$out"/ask/*; do
				[ ! -s "$file" ] || { xargs "$build/src/softnvme/nsmith-softnvme" --ctl "$sockets/ctl" <"$file" >"$out/told" 2>&1; rm "$file"; }
			done
		done
	} &
	relay=$!
	trap 'kill $relay $drives 2>/dev/null; wait; rm -rf "$sockets"' EXIT
	for _ in {1..50}; do
		! grep -q ready "$out/softnvme.log" || break
		sleep 0.1
	done
	args=()
	port() { # number socket
		args+=(-q "-device pcie-root-port,id=port$1,chassis=$1,slot=$1
			-device {\"driver\":\"vfio-user-pci\",\"id\":\"drive$1\",\"bus\":\"port$1\",\"socket\":{\"type\":\"unix\",\"path\":\"$sockets/pcie/$2\"}}")
	}
	port 1 A.1
	port 2 A.2
	port 3 B.1
	code=0
	"$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -Q "$store/qemu11/qemu-system-x86_64" -t 200 -I \
		-a "iommu=nopt iommu.strict=1" -w "$out" -l "$out/console" "${args[@]}" -- \
		env NSMITH_BUILD="$build" socket_b="$sockets/pcie/B.1" bash "$(readlink -f "$0")" || code=$?
	exit $code
fi

# ---- inside --------------------------------------------------------------------------------------------------------

. "$top/test/e2e/lib.sh"
begin t_pcie
trap 'end_all; cp "$work"/*.log "$out/" 2>/dev/null; dmesg >"$out/dmesg"' EXIT
PATH=$top/test/host:$PATH

word() { read -r value <"$1" && echo "$value"; } 2>/dev/null
controller() { # serial [cntlid]: nvmeN
	local at
	for at in /sys/class/nvme/nvme*; do
		[ "$(word "$at/serial")/$(word "$at/cntlid")" != "$1/${2-1}" ] || { echo "${at##*/}" && return; }
	done
	return 1
}
node() { # serial nsid: /dev/nvmeXnY
	local at
	for at in /sys/class/block/nvme*; do
		case ${at##*/} in *c*n* | *p*) continue ;; esac
		[ "$(word "$at/device/serial" || word "$at/device/nvme*/serial")/$(word "$at/nsid")" != "$1/$2" ] || { echo "/dev/${at##*/}" && return; }
	done
	# With two controllers the node belongs to the subsystem, which has no serial number of its own in 6.1.
	for at in /sys/class/nvme-subsystem/*/; do
		[ "$(word "$at/serial")" != "$1" ] || for at in "$at"nvme*n*; do
			[ "$(word "$at/nsid")" != "$2" ] || { echo "/dev/${at##*/}" && return; }
		done
	done
	return 1
}
address() { basename "$(readlink -f "/sys/class/nvme/$1/device")"; } # of a controller
interrupts() { awk -v name="$1" '$NF == name { sum = 0; for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i; print sum }' /proc/interrupts; }
ask_drives() { echo "$*" >"$out/ask/$$" && until_true 10 test ! -e "$out/ask/$$" && cat "$out/told"; }
more() { [ "$1" -gt "$2" ] || { echo "got $1, want more than $2"; return 1; }; }
live() { is "$(word "/sys/class/nvme/$1/state")" live; }
reads() { dd if="$1" bs=1M count=4 iflag=direct status=none | cmp -n $((4 << 20)) - "$2"; }
is_zero() { dd if="$1" bs=1M iflag=direct status=none | cmp -n "$(blockdev --getsize64 "$1")" - /dev/zero; }

modprobe -qa nvme
head -c $((4 << 20)) /dev/urandom >"$work/data"

say "What the kernel finds"
check "both controllers of A, and that of B" until_true 10 eval 'controller A 1 && controller A 2 && controller B 1'
a1=$(controller A 1) a2=$(controller A 2) b=$(controller B)
for ctrl in $a1 $a2 $b; do
	bdf=$(address "$ctrl")
	check "$ctrl has an address: $bdf" grep -qE '^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.0$' <<<"$bdf"
	check "and an IOMMU group" test -d "/sys/bus/pci/devices/$bdf/iommu_group/devices/$bdf"
	check "with translation" is "$(word "/sys/bus/pci/devices/$bdf/iommu_group/type")" DMA
	kind=msix && [ "$ctrl" != "$b" ] || kind=msi
	check "and an interrupt for each queue, by $kind" is "$(grep -cE "IR-PCI-MSI.* ${ctrl}q[0-9]+\$" /proc/interrupts) $(cat "/sys/bus/pci/devices/$bdf/msi_irqs/"* | sort -u)" "2 $kind"
done
check "no two of them share a group" is "$(for ctrl in $a1 $a2 $b; do readlink "/sys/class/nvme/$ctrl/device/iommu_group"; done | sort -u | wc -l)" 3
subsystem() { nvme id-ctrl "/dev/$1" -o json | jq -r '"\(.subnqn) \(.cntlid) \(.cmic)"'; }
check "A says that it has two controllers" is "$(subsystem "$a1")" "nqn.2026-01.org.nsmith:soft:A 1 3"
check "this is the second" is "$(subsystem "$a2")" "nqn.2026-01.org.nsmith:soft:A 2 3"
check "B says that it has one" is "$(subsystem "$b")" "nqn.2026-01.org.nsmith:soft:B 1 0"
check "one subsystem has both" is "$(basename -a /sys/class/nvme-subsystem/nvme-subsys*/nvme[0-9] | sort | uniq -c | awk '$1 != 1')" ""
check "nvme-cli lists both" is "$(nvme list-ctrl "/dev/$a1" -o json | jq -c '[.ctrl_list[].ctrl_id]')" "[1,2]"

say "Namespaces, with nvme-cli"
check "the one from the factory is detached" nvme detach-ns "/dev/$a1" -n 1 -c 1
check "and deleted" nvme delete-ns "/dev/$a1" -n 1
check "one is created" nvme create-ns "/dev/$a1" --nsze=8192 --ncap=8192 --flbas=0
check "attached to the second controller, through the first" nvme attach-ns "/dev/$a1" -n 1 -c 2
path_of() { basename -a "/sys/class/nvme/$1/"nvme*c*n* 2>/dev/null | grep -v '\*'; }
check "the second one is told: it appears" until_true 10 node A 1
check "by the name of a path of its own" grep -qE '^nvme[0-9]+c[0-9]+n[0-9]+$' <<<"$(path_of "$a2")"
check "not at the first controller" is "$(path_of "$a1")" ""
check "without a rescan that the host asked for" eval 'dmesg | grep -q "$a2: rescanning"'
disk=$(node A 1)
before=$(interrupts "${a2}q1") before_other=$(interrupts "${a1}q1")
check "it can be written" dd if="$work/data" of="$disk" bs=256K oflag=direct status=none
check "and read" reads "$disk" "$work/data"
check "with interrupts of its queue" more "$(interrupts "${a2}q1")" $((before + 16))
check "and none of the other controller's" is "$(interrupts "${a1}q1")" "$before_other"
check "formatted" nvme format "/dev/$a2" -n 1 -s 1 -f
check "nothing is left" is_zero "$disk"
check "detached, it disappears" eval 'nvme detach-ns "/dev/$a2" -n 1 -c 2 && until_true 10 test ! -e "$disk"'
check "deleted" nvme delete-ns "/dev/$a2" -n 1
check "too big for the drive: refused with NS Insufficient Capacity" exits 1 "0x4115" nvme create-ns "/dev/$a1" --nsze=65536 --ncap=65536 --flbas=0

say "Resets"
disk=$(node B 1)
dd if="$work/data" of="$disk" bs=1M oflag=direct status=none
for how in "controller reset:/sys/class/nvme/$b/reset_controller" "function level reset:/sys/bus/pci/devices/$(address "$b")/reset"; do
	check "a ${how%%:*}" eval "echo 1 >${how#*:}"
	check "it comes back" until_true 20 live "$b"
	check "with its data" reads "$disk" "$work/data"
done
check "blank again" nvme format "/dev/$b" -n 1 -s 1 -f
bdf=$(address "$a2") group=$(basename "$(readlink "/sys/class/nvme/$a2/device/iommu_group")")
check "unbound from the driver" eval 'echo "$bdf" >/sys/bus/pci/drivers/nvme/unbind'
check "it is gone" eval '! controller A 2'
modprobe -q vfio-pci
echo vfio-pci >"/sys/bus/pci/devices/$bdf/driver_override"
check "it can be passed through" eval 'echo "$bdf" >/sys/bus/pci/drivers_probe && test -c "/dev/vfio/$group"'
echo 1 >"/sys/bus/pci/devices/$(address "$a1")/remove"
check "and the other removed" until_true 10 eval '! controller A 1'

say "A drive's life under the agent"
server_start
"$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --virt "$virt" --host bed >"$work/agent.log" 2>&1 &
# shellcheck disable=SC2034 # lib.sh ends it
agent_child=$!
until_true 10 grep -q ' registered ' "$work/agent.log"
api PUT /v1/classes/4M '{"nominal_bytes": 4194304, "tolerance_ppm": 0}' >/dev/null
check "B is listed" until_true 20 drive_seen B
check "with its name" is "$(api GET /v1/drives/B | jq -r .name)" "$b"
check "adopted: cut into seven" exits 0 "adopted" "$nsmith" drive adopt B --class 4M --yes --serial=B --timeout 60
check "seven slices, all free" is "$(slice_count '.state == "free"')" 7
check "two are claimed" claim c1 2 4M
mapfile -t mine < <(claim_slices c1)
for slice in "${mine[@]}"; do dd if="$work/data" of="$(slice_link "$slice")" bs=1M oflag=direct status=none; done
check "and hold what their tenant wrote" reads "$(slice_link "${mine[0]}")" "$work/data"
# As until_true, but gentler: for what takes long, and asks the emulated CPU.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
		sleep 0.5
	done
}
check "B is unplugged" qmp device_del id=drive3
check "the kernel lost it" until_true 30 test ! -e "/dev/$b"
check "reported missing" wait_for 30 drive_is B missing
check "its tenant's paths are gone" until_true 10 eval '! test -e "$(slice_link "${mine[0]}")"'
plug_in() { qmp device_add "{\"driver\":\"vfio-user-pci\",\"id\":\"drive3\",\"bus\":\"port3\",\"socket\":{\"type\":\"unix\",\"path\":\"$socket_b\"}}"; }
check "and plugged in again" until_true 20 plug_in # when QEMU has let go of it
check "it is well again" wait_for 40 drive_is B adopted
check "its tenant's paths are there" until_true 20 eval 'test -b "$(slice_link "${mine[0]}")" && test -b "$(slice_link "${mine[1]}")"'
for slice in "${mine[@]}"; do check "and lead to the tenant's data" reads "$(slice_link "$slice")" "$work/data"; done
mapfile -t nodes < <(for slice in "${mine[@]}"; do readlink -f "$(slice_link "$slice")"; done)
check "released" exits 0 "" "$nsmith" claim release c1
for at in "${nodes[@]}"; do check "nothing of the tenant is left" is_zero "$at"; done
erasure=$("$nsmith" erasure ls --slice "${mine[0]}" --json | jq -r .items[0].id)
check "the certificate holds" exits 0 "" "$nsmith" erasure verify "$erasure"

say "Pulled out, without a word to the host"
agent_stop
b=$(controller B) && bdf=$(address "$b")
check "the drive is pulled" ask_drives remove B
check "its configuration space reads as ones" is "$(od -An -tx4 -N4 "/sys/bus/pci/devices/$bdf/config" | tr -d ' ')" ffffffff
echo 1 >"/sys/class/nvme/$b/reset_controller" 2>/dev/null
check "so do its registers: the kernel gives it up" until_true 20 eval 'test ! -e "/dev/$b" && dmesg | grep -q "$b: Removing after probe failure status: -19"'
check "put back in" ask_drives restore B
echo 1 >"/sys/bus/pci/devices/$bdf/remove"
echo 1 >/sys/bus/pci/rescan
check "the host finds it in its slot" until_true 20 eval 'is "$(address "$(controller B)")" "$bdf"'
check "with its seven namespaces" until_true 10 node B 7

say "At the end"
check "the drives are served still" eval 'ask_drives ls | grep -q "^B .*namespaces 7"'
check "no controller failed at their end" is "$(grep -v 'ready,' "$out/softnvme.log")" ""
check "nothing timed out in the host" eval '! dmesg | grep -E "nvme.*timeout|I/O error|DMAR.*fault"'
finish
