#!/bin/bash
# t_guestwrites - what a guest writes is the guest's: LVM, MD, GPT, ext4, LUKS, and swap on slices are
# not probed, activated, mounted or even watched by the host, whatever happens to the drive. Without our rules for udev
# the same host does all of it.
#
#   test/host/t_guestwrites.sh
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/host/lib.sh"
in_host t_guestwrites -t 900 -c 2 -m 2048
export LVM_SUPPRESS_FD_WARNINGS=1
modprobe -qa loop dm_mod md_mod raid1 nvme_tcp
mb=16 # of a slice
rules=/etc/udev/rules.d/10-nsmith.rules

# ---- what guests write, made before there is a drive or udev ----------------------------------------------------------

say "What guests write"
image() { truncate -s ${mb}M "$work/$1.img"; }
on_loop() { local dev; dev=$(losetup -f --show "$work/$1.img") && echo "$dev"; }
lvm_image() {
	local dev
	image lvm && dev=$(on_loop lvm) && pvcreate -qq "$dev" && vgcreate -qq guestvg "$dev" &&
		lvcreate -qq -an -Zn -n guestlv -L 4M guestvg && losetup -d "$dev"
}
md_images() {
	local a b
	image md0 && image md1 && a=$(on_loop md0) && b=$(on_loop md1) &&
		mdadm --create /dev/md/guest --run --level=1 --metadata=1.2 --homehost=guest --assume-clean -n 2 "$a" "$b" &&
		mdadm --stop /dev/md/guest && losetup -d "$a" "$b"
}
gpt_image() { image gpt && printf '%s\n' 'label: gpt' 'size=4MiB' 'size=4MiB' | sfdisk -q "$work/gpt.img"; }
ext4_image() { image ext4 && mkfs.ext4 -qF -L guestroot "$work/ext4.img"; }
luks_image() { image luks && echo secret | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 "$work/luks.img" -; }
swap_image() { image swap && mkswap -q -L guestswap "$work/swap.img"; }
check "a volume group with a volume" lvm_image
check "a mirror of two" md_images
check "two partitions" gpt_image
check "ext4" ext4_image
check "LUKS" luks_image
check "swap" swap_image
kinds=(lvm md0 md1 gpt ext4 luks swap)
is_idle() { ! compgen -G '/sys/block/dm-*' && ! grep -q '^md' /proc/mdstat; }
check "none of it is active" is_idle

# ---- what a host may do with it ----------------------------------------------------------------------------------------

udev_says() { udevadm info --export-db | awk -v RS= '/N: nvme[0-9]+n[0-9]/'; } # of all namespaces and their partitions
settle() { udevadm settle -t 60; }
# traces: everything the host did with a namespace, a line each.
traces() {
	local at
	settle
	for at in /sys/block/dm-* /sys/block/md* /sys/class/block/nvme*n*p*; do [ ! -e "$at" ] || echo "device ${at##*/}"; done
	for at in /sys/class/block/nvme*n*/holders/*; do [ ! -e "$at" ] || echo "holder $at"; done
	udev_says | grep -E '^E: (ID_FS_|ID_PART_|LVM_|MD_)' | sort -u | sed 's/^E: /udev says /'
	find /run/udev/watch -name 'b*' 2>/dev/null | while read -r at; do
		[[ $(readlink -f "/sys/dev/block/${at##*/b}") != */nvme* ]] || echo "watched ${at##*/}"
	done
	grep -E '^/dev/(nvme|md|dm|mapper)' /proc/mounts /proc/swaps
	grep -h nvme /run/blkid/blkid.tab 2>/dev/null
	find /dev/disk/by-uuid /dev/disk/by-label /dev/disk/by-partuuid 2>/dev/null | while read -r at; do
		[[ $(readlink -f "$at") != /dev/nvme* || $at != /dev/disk/*/* ]] || echo "link $at"
	done
	:
}
untouched() { # nothing seen, and not one byte changed
	local kind found n=0
	found=$(traces)
	[ -z "$found" ] || { echo "$found"; return 1; }
	for kind in "${kinds[@]}"; do cmp "$work/$kind.img" "$(medium "$(slice_at "${slice_of[$kind]}")")" && n=$((n + 1)) || return 1; done
	is $n ${#kinds[@]}
}
did() { grep -qE -- "$2" <<<"$1" || { echo "no '$2' in: $1"; return 1; }; } # TRACES PATTERN

# ---- the drive ----------------------------------------------------------------------------------------------------------

say "A drive is adopted, and its slices are handed out"
check "udev runs" with-udev true
profiles=$work/profiles # with the blocks of 512 bytes that the images were made for
mkdir "$profiles"
sed 's/512MiB/128MiB/; /^lba_format/d' "$top/share/profiles/tiny-user.conf" >"$profiles/small.conf"
echo 'lba_format = 512' >>"$profiles/small.conf"
fabric_start A=small
check "the drive connects" connect A
server_start
agent_start
api PUT /v1/classes/16M '{"nominal_bytes": 16777216, "tolerance_ppm": 0}' >/dev/null
until_true 20 drive_seen A
adopted() { api POST /v1/drives/A/adopt '{"class": "16M", "confirm": "A"}' >/dev/null && until_true 120 drive_adopted A && until_idle 120; }
check "adopted" adopted
check "the host was told to keep off it" grep -q '^ATTRS{serial}=="A"' $rules
check "udev understands the rules" test -z "$(udevadm test "/sys/class/block/$(basename "$(node A 1)")" 2>&1 >/dev/null | grep -E "$rules.*(Invalid|Unknown|Failed|ignoring)")"
check "seven slices are a guest's" claim guest 7 16M
mapfile -t slices < <(claim_slices guest)
[ ${#slices[@]} = 7 ] || finish
declare -A slice_of
n=0
for kind in "${kinds[@]}"; do slice_of[$kind]=${slices[n]} && n=$((n + 1)); done
before=$(traces)
check "nobody watches them, and nothing is known of them" is "$before" ""
link_to() { until_true 20 test -L "/dev/nsmith/$(basename "$(node A 1)")"; }
check "LVM has a name to filter by" link_to

# As a guest does: through the path that it got.
guest_writes() { dd if="$work/$1.img" of="$(slice_link "${slice_of[$1]}")" bs=1M oflag=direct conv=notrunc,fsync status=none; }
write_all() { local kind; for kind in "${kinds[@]}"; do guest_writes "$kind" || return 1; done; }
again() { write_all && settle; }

say "The guest writes, and stops"
check "all of it is written" write_all
check "the host did nothing" untouched
check "written once more: nobody watches who closes it" again
check "the host did nothing" untouched
rescan() { echo 1 >"/sys/class/nvme/$(controller A)/rescan_controller"; }
check "the controller is looked at anew" rescan
check "the host did nothing" untouched
trigger() { udevadm trigger --action="$1" --subsystem-match=block && settle; }
check "udev is triggered, as at boot" trigger add
check "the host did nothing" untouched
check "udev is triggered, as after a change" trigger change
check "the host did nothing" untouched
reread() { local slice; for slice in "${slices[@]}"; do blockdev --rereadpt "$(slice_link "$slice")" || return 1; done; }
check "a person has the partition tables read" reread
no_partitions() { settle && ! compgen -G '/sys/class/block/nvme*n*p*'; }
check "the partitions go again" until_true 20 no_partitions
check "the host did nothing else" untouched
all_back() { # every slice of the claim is there again, under its path
	local slice
	for slice in "${slices[@]}"; do is "$(whose "$(slice_link "$slice")")" "$(slice_at "$slice")" || return 1; done
}
come_back() { disconnect A && connect A; }
come_again() { come_back && until_true 60 all_back; }
check "the drive goes and comes, as with a reboot" come_again
check "the partitions of a guest go again" until_true 20 no_partitions
check "the host did nothing" untouched
reattach() {
	local at nsid
	at=$(controller A) nsid=$(slice_at "${slice_of[lvm]}") && nsid=${nsid#*/}
	nvme detach-ns "/dev/$at" -n "$nsid" -c "$(nvme id-ctrl "/dev/$at" -o json | jq .cntlid)" && rescan &&
		nvme attach-ns "/dev/$at" -n "$nsid" -c "$(nvme id-ctrl "/dev/$at" -o json | jq .cntlid)" && rescan && until_true 60 all_back
}
check "a namespace is detached and attached" reattach
check "the host did nothing" untouched

say "Without an agent, as while the host boots"
agent_stop
boots() { # udev forgets all it knows and meets the drives anew
	disconnect A && udevadm control --exit && rm -rf /run/udev/data /run/udev/watch && sleep 1 && with-udev true && connect A && settle
}
check "udev starts anew, and meets the drive" boots
check "the partitions go again" until_true 20 no_partitions
check "the host did nothing" untouched

say "A person's own LVM"
pvs_says() { pvs --noheadings -o vg_name "$@" 2>/dev/null | tr -d ' '; }
check "without a filter it sees what the guest wrote" is "$(pvs_says)" guestvg
check "with the filter of docs/hosts.md it does not" is "$(pvs_says --config 'devices { global_filter = [ "r|^/dev/nsmith/|" ] }')" ""

say "The same host without our rules: the test can fail"
mv $rules "$work/kept.rules"
check "udev reads its rules anew" udevadm control --reload
check "the drive goes and comes" come_back
settle
activated() { traces >"$work/traces" && grep -q 'device dm-' "$work/traces" && grep -q 'device md' "$work/traces"; }
check "it activates what the guest wrote" until_true 30 activated
seen_then=$(<"$work/traces")
for pattern in 'device dm-' 'device md' 'device nvme.*p1' 'holder .*/dm-' 'holder .*/md' 'ID_FS_TYPE=LVM2_member' 'ID_FS_TYPE=linux_raid_member' \
	'ID_FS_TYPE=ext4' 'ID_FS_TYPE=crypto_LUKS' 'ID_FS_TYPE=swap' 'ID_PART_TABLE_TYPE=gpt' '^watched' 'link /dev/disk/by-label/guestroot'; do
	check "... $pattern" did "$seen_then" "$pattern"
done

say "Given back"
vgchange -qq -an guestvg
mdadm --stop --scan >/dev/null 2>&1
mv "$work/kept.rules" $rules
udevadm control --reload
check "the drive goes and comes, and the agent starts" come_back
agent_start
check "the host did nothing" until_true 30 no_partitions
released() { api DELETE /v1/claims/guest >/dev/null && until_idle 120; }
check "its slices are erased and free" released
erased() { local kind; for kind in "${kinds[@]}"; do cmp -s "$work/$kind.img" "$(medium "$(slice_at "${slice_of[$kind]}")")" && return 1; done; slice_count '.state == "free"'; }
check "nothing of it is left" is "$(erased)" 8
finish
