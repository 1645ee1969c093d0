#!/bin/bash
# t_scan - what a VM wrote into every block of its disks is in no block of the next VM's: both look from inside a real
# guest. On virtio-scsi and on virtio-blk; and a reboot of a living VM keeps its data.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/tools/lab"
. "$top/test/e2e/lib.sh"
begin t_scan
virt=qemu:///system
guest=$top/build/guest
"$top/test/guest/mkguest" "$guest"
tcg=(--tcg)
"$top/test/guest/kvm-works" "$guest" && tcg=()
secret="SECRET-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')"
finish_vms() { virsh list --name 2>/dev/null | grep . | xargs -rn1 virsh destroy >/dev/null 2>&1; end_all; }
trap finish_vms EXIT

# Deleting a namespace of these drives erases nothing; one drive each for Sanitize Namespace, crypto format, user data
# format and overwriting.
drives_start S1=tiny S2=tiny-format S3=tiny-user S4=tiny-fna1
server_start
agent_start "${tcg[@]}"
class_small
for serial in S1 S2 S3 S4; do
	until_true 10 drive_seen $serial
	check "$serial is adopted" adopt $serial
done
for datapath in scsi blk; do
	api PUT "/v1/flavors/$datapath" "{\"vcpus\": 1, \"memory_bytes\": 268435456, \"slices\": 4, \"class\": \"small\", \"datapath\": \"$datapath\"}" >/dev/null
done

# vm NAME FLAVOR JOB: starts a VM that runs the script JOB.
vm() {
	"$top/test/guest/mkguest" "$guest" --job "$3" "$work/$1.initrd"
	jq -n --arg name "$1" --arg flavor "$2" --arg kernel "$guest/vmlinuz" --arg initrd "$work/$1.initrd" \
		--arg cmdline "$(<"$guest/cmdline") nsmith.stay" '$ARGS.named' >"$work/$1.json"
	api POST /v1/vms "@$work/$1.json" >/dev/null || return 1
	api GET "/v1/vms/$1" | jq -r '.slices[]' | sort >"$work/$1.slices"
}
vm_gone() { api DELETE "/v1/vms/$1" >/dev/null && until_true 30 vm_is_gone "$1" && until_idle 60; }
vm_is_gone() { ! api GET "/v1/vms/$1"; }

# A line of 4096 bytes into every block, then read back past the cache of the guest.
cat >"$work/write" <<JOB
line=\$(printf '%-4095s' "$secret")
for d in \$(disks | cut -d' ' -f1); do
	yes "\$line" | dd of=/dev/\$d bs=1M count=64 iflag=fullblock oflag=direct 2>/dev/null || echo "guest: \$d cannot be written"
	search /dev/\$d $secret | sed "s/^/guest: \$d /"
done
disks | sed 's/^/guest: disk /'
sync
echo "guest: written"
JOB
cat >"$work/read" <<JOB
for d in \$(disks | cut -d' ' -f1); do
	search /dev/\$d $secret | sed "s/^/guest: \$d /"
done
disks | sed 's/^/guest: disk /'
echo "guest: searched"
JOB
# At the first boot it writes, at the second it looks.
cat >"$work/reboot" <<JOB
n=0
for d in \$(disks | cut -d' ' -f1); do
	if search /dev/\$d KEEP-$secret >/dev/null; then n=\$((n+1)); else echo KEEP-$secret | dd of=/dev/\$d conv=fsync 2>/dev/null; fi
done
sync
echo "guest: found on \$n disks"
JOB

serials() { console "$1" | sed -n 's/^guest: disk [a-z]* \([^ ]*\) .*/\1/p' | sort; }
names() { console "$1" | sed -n 's/^guest: disk \([a-z]*\) .*/\1/p' | sort | tr '\n' ' '; }
every_block() { is "$(console "$1" | grep -acE "^guest: [a-z]+ search: $2 found in 67108864 bytes")" 4; }

for datapath in scsi blk; do
	say "$datapath"
	check "the first VM writes into every block of its slices" vm "first-$datapath" $datapath "$work/write"
	check "and says so" until_true 90 console_has "first-$datapath" "guest: written"
	check "16384 blocks on each of 4 disks hold the secret" every_block "first-$datapath" 16384
	check "the guest knows the slices by their serial numbers" is "$(serials "first-$datapath")" "$(cat "$work/first-$datapath.slices")"
	if [ $datapath = scsi ]; then want="sda sdb sdc sdd "; else want="vda vdb vdc vdd "; fi
	check "as $want" is "$(names "first-$datapath")" "$want"
	hold_others() { claim others1 16 && claim others2 "$(slice_count '.state == "free"')" && is "$(slice_count '.state == "free"')" 0; }
	check "all others are held, so that the next VM gets the same ones" hold_others
	check "the VM is deleted and its slices are erased" vm_gone "first-$datapath"
	check "by four methods" is "$("$nsmith" slice ls --json | jq -r --rawfile ids "$work/first-$datapath.slices" '.items[] | select(.id as $i | $ids | contains($i)) | .erasure' |
		while read -r id; do api GET "/v1/erasures/$id" | jq -r '.erasure.method'; done | sort | tr '\n' ' ')" "format-crypto format-user-data overwrite sanitize-namespace "
	check "the second VM starts" vm "second-$datapath" $datapath "$work/read"
	check "with the same slices" is "$(cat "$work/second-$datapath.slices")" "$(cat "$work/first-$datapath.slices")"
	check "it reads every block of them" until_true 90 console_has "second-$datapath" "guest: searched"
	check "and finds the secret in none" every_block "second-$datapath" 0
	check "the guest's serial numbers are those" is "$(serials "second-$datapath")" "$(cat "$work/second-$datapath.slices")"
	check "nor is it in any byte of the media, read past the guest" exits 1 '^$' "$build/test/media_search" "$secret" "$work"/drives/S*/media/*.img
	check "it goes too" vm_gone "second-$datapath"
	check "and the held ones" eval "release others1 && release others2"
done

say "A reboot keeps the data"
check "a VM writes" vm third scsi "$work/reboot"
check "it found nothing of earlier" until_true 60 console_has third "guest: found on 0 disks"
check "stopped at once" exits 0 "." "$nsmith" vm stop third --force
check "started again" exits 0 "." "$nsmith" vm start third
check "it finds what it wrote, on all its disks" until_true 60 console_has third "guest: found on 4 disks"
check "on the same slices" is "$(vm_slices third | sort)" "$(cat "$work/third.slices")"
finish
