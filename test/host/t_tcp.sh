#!/bin/bash
# t_tcp - the story of ./demo on the kernel's own NVMe driver: software drives by NVMe/TCP are cut through /dev/nvmeX, a
# VM of libvirt gets two namespaces and uses them, they are erased and proven clean, and the next VM finds nothing.
#
#   test/host/t_tcp.sh
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/host/lib.sh"
if [ "${NSMITH_HOST-}" != 1 ]; then "$top/test/guest/mkbare" "$top/build/guest-bare" || exit 1; fi
in_host t_tcp -t 600 -c 2
. "$top/tools/lab"
virt=qemu:///system
finish_vms() { virsh list --name 2>/dev/null | grep . | xargs -rn1 virsh destroy >/dev/null 2>&1; end_all; logs_out; }
trap finish_vms EXIT
secret=SECRET-$RANDOM$RANDOM

say "Drives on the kernel's driver"
small_profiles
fabric_start A=tiny B=tiny-format USED=tiny LIAR=tiny-liar
mkfs.ext4 -q -F -L payroll "$(medium USED/1)" 2>/dev/null
used=$(sha256sum <"$(medium USED/1)")
check "four drives connect" connect A B USED LIAR
server_start
agent_start --tcg
class_4m
drives_seen() { local serial; for serial in A B USED LIAR; do drive_seen $serial || return 1; done; }
check "the agent finds them" until_true 20 drives_seen
named() { is "$(api GET "/v1/drives/$1" | jq -r '.name + " " + .seen.ns[0].path')" "$(controller "$1") $(node "$1" 1)"; }
for serial in A B USED LIAR; do check "$serial has the names that the kernel gave it" named $serial; done
adopt_it() { "$nsmith" drive adopt "$1" --class 4M --yes --serial="$1" --timeout 60; }
check "the drive with a file system is refused" exits 8 "ext4.*payroll" adopt_it USED

say "Adoption"
check "a dry run" exits 0 "4.0 MiB" "$nsmith" drive adopt A --class 4M --dry-run
check "touched nothing" is "$(changes A)" ""
for serial in A B; do
	check "$serial is cut" exits 0 "adopted" adopt_it $serial
	check "$serial: the drive got 7 creates and 7 attaches, one at a time" is \
		"$(drives_ctl log $serial | grep -cE '  create .*status=0x000') $(drives_ctl log $serial | grep -cE '  attach .*status=0x000')" "7 7"
	check "$serial: nvme-cli sees the same namespaces" is "$(nvme list-ns "/dev/$(controller $serial)" -o json | jq -c '[.nsid_list[].nsid]')" \
		"$(api GET "/v1/slices?drive=$serial" | jq -c '[.items[].nsid] | sort')"
done
check "14 slices, each erased and verified" is "$("$nsmith" erasure ls --json | jq '[.items[] | select(.verdict == "verified") | .slice] | unique | length')" 14

say "A VM"
api PUT /v1/flavors/two '{"vcpus": 1, "memory_bytes": 33554432, "slices": 2, "class": "4M"}' >/dev/null
vm() { exits 0 "" "$nsmith" vm create "$1" --flavor two --kernel "$top/build/guest-bare" --cmdline "$2"; }
check "is started by libvirt" vm first "find=$secret write=$secret"
vm_slices first | sort >"$work/first.slices"
mapfile -t mine <"$work/first.slices"
check "two slices, on two drives" is "$(for slice in "${mine[@]}"; do slice_at "$slice"; done | cut -d/ -f1 | sort | tr '\n' ' ')" "A B "
for slice in "${mine[@]}"; do
	check "the stable path of $slice leads to its namespace" is "$(whose "$(slice_link "$slice")")" "$(slice_at "$slice")"
done
# What QEMU has open, by number: whatever the path was.
opened() {
	local fd pid
	pid=$(virsh qemu-monitor-command "$1" '{"execute":"query-status"}' >/dev/null && cat "/run/libvirt/qemu/$1.pid") || return 1
	for fd in "/proc/$pid/fd/"*; do [ ! -b "$fd" ] || whose "$fd"; done | sort -u
}
check "QEMU has these two namespaces open and no other" is "$(opened first)" "$(for slice in "${mine[@]}"; do slice_at "$slice"; done | sort)"
check "the guest runs to its end" until_true 90 console_has first "guest: done"
console first | grep -a '^guest:' | sed 's/^/   /'
check "it knows its disks as the slices" is "$(console first | sed -n 's/^guest: \(ns-[^ ]*\) wrote 8192 blocks$/\1/p' | sort)" "$(cat "$work/first.slices")"
check "which held nothing of a secret" is "$(console first | grep -c "0 start with")" 2
holds() { # serial/nsid: how many blocks start with the secret, read past all of our programs
	dd if="$(medium "$1")" bs=512 status=none | tr '\0' '\n' | grep -ac "^$secret "
}
for slice in "${mine[@]}"; do check "every block of $slice holds what its guest wrote" is "$(holds "$(slice_at "$slice")")" 8192; done
others_hold() { # slices on A and B that the VM does not have
	local slice n=0 hits=0
	for slice in $(slices '.drive == "A" or .drive == "B"'); do
		grep -q "^$slice\$" "$work/first.slices" || { n=$((n + 1)) && hits=$((hits + $(holds "$(slice_at "$slice")"))); }
	done
	echo "$hits of $n"
}
check "and no block of the other twelve" is "$(others_hold)" "0 of 12"
media=() && for slice in "${mine[@]}"; do media+=("$(slice_at "$slice")"); done

say "Deleted, erased, proven"
check "all others are held, so that the next VM must get the same two" exits 0 "" "$nsmith" claim create --id others --class 4M --slices 12
check "the VM is deleted" exits 0 "" "$nsmith" vm delete first --yes --timeout 60
check "its slices are free" is "$(slice_count '.state == "free"')" 2
for at in "${media[@]}"; do check "nothing of it is left in $at" is "$(holds "$at")" 0; done
erasure=$("$nsmith" slice show "${mine[0]}" --json | jq -r .erasure)
"$nsmith" erasure show "$erasure" --certificate >"$work/certificate"
sed 's/"found_old":0/"found_old":1/' "$work/certificate" >"$work/forged"

say "A second VM"
check "is started" vm second "find=$secret"
check "with the same slices" is "$(vm_slices second | sort)" "$(cat "$work/first.slices")"
check "it reads every block" until_true 90 console_has second "guest: done"
check "and finds nothing of the first one" is "$(console second | grep -cE "8192 blocks, 0 start with '$secret'")" 2
"$nsmith" vm delete second --yes --no-wait >/dev/null
being_erased() { [ "$(slice_count '.state == "dirty" or .state == "erasing" or .state == "verifying"')" -gt 0 ]; }
check "its slices are being erased" until_true 30 being_erased
agent_stop KILL
note "nsmith-agent killed"
agent_start --tcg
check "everything settles" settled 90
check "14 slices: 12 held, 2 free" is "$(slice_count '.state == "attached"') $(slice_count '.state == "free"')" "12 2"

say "A drive that lies"
check "its slices end in quarantine" exits 7 "quarantined" adopt_it LIAR
check "not one is free" is "$(slice_count '.drive == "LIAR" and .state == "free"')" 0

say "At the end"
server_stop
check "the certificate is accepted with no server running" exits 0 "" "$nsmith" erasure verify "$work/certificate"
check "and rejected when one byte of it is changed" exits 7 "." "$nsmith" erasure verify "$work/forged"
check "the drive that was refused is unchanged, every byte" is "$(sha256sum <"$(medium USED/1)")" "$used"
check "and got no command that changes anything" is "$(changes USED)" ""
check "the kernel has nothing to say against it" eval '! dmesg | grep -E "nvme.*(timeout|reset|Removing)|I/O error"'
finish
