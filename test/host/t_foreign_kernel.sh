#!/bin/bash
# t_foreign_kernel - a drive that somebody uses is not adopted, even where it looks blank. Each drive is blank when the
# server plans; then it is put to a use, and whatever that wrote is taken off the medium again, so that only the use is
# left to be found. Neither a person's wish nor a rule that matches all drives takes it, and the drive gets no command.
#
#   test/host/t_foreign_kernel.sh
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/host/lib.sh"
in_host t_foreign_kernel -t 900 -c 2 -m 2048
export LVM_SUPPRESS_FD_WARNINGS=1
modprobe -qa loop dm_mod dm_crypt md_mod raid1 nvmet
mount -t configfs none /sys/kernel/config 2>/dev/null

# A drive a state, the kinds and the details that must be found, and what it is in words.
states=(
	"MNT|is mounted|ext4 at .*/mnt/MNT|a mounted file system"
	"ELSEWHERE|is held by another device|holds it exclusively|a file system mounted in another mount namespace only"
	"LAZY|is held by another device|holds it exclusively|an overlay's upper folder on a file system unmounted lazily"
	"ROOT|is mounted|ext4 at .*/mnt/root|a folder of it bind-mounted as a root, the file system itself unmounted"
	"PARTMNT|is mounted|ext4 at .*/mnt/PARTMNT|a mounted partition"
	"PART|has partitions|the kernel knows partition|a partition that is not in any table"
	"SWAP|is used to swap|/dev/nvme|swap"
	"SWAPFILE|is used to swap|/mnt/SWAPFILE/swap|a swap file on it"
	"LINEAR|is held by another device|\\(one\\) holds|a linear volume of device-mapper"
	"LV|is held by another device|vg-lv. holds|an active logical volume"
	"MD|is held by another device|md9 holds|a running mirror"
	"CRYPT|is held by another device|\\(secret\\) holds|an open dm-crypt"
	"LOOP|is held by another device|loop[0-9]+ is a loop device upon|a loop device"
	"PARTLOOP|is held by another device|loop[0-9]+ is a loop device upon|a loop device on a partition"
	"LOOPMNT|is mounted|ext4 at .*/mnt/LOOPMNT|a file system mounted by a loop device"
	"EXPORT|is held by another device|exported to other hosts|exported by the kernel's NVMe target"
	"EXCL|is held by another device|holds it exclusively|a process that holds it exclusively"
	"RO|is open in another program|\\(sleep\\)|a process that may read it"
	"RW|is open in another program|\\(sleep\\)|a process that may write it"
	"INSIDE|is open in another program|\\(sleep\\)|a process in a container, by a node of its own"
	"BIND|is mounted|devtmpfs at .*/mnt/node|its node bind-mounted elsewhere"
	"DETACHED|cannot be read|.|a namespace that is attached to no controller"
	"SECOND|holds data of unknown kind|.|data in a namespace made after the plan"
	"BROKEN|cannot be read|cannot read at byte|read errors"
)
serials=() all=()
for row in "${states[@]}"; do serials+=("${row%%|*}"); done

say "Drives that are blank"
profiles=$work/profiles
mkdir "$profiles"
sed 's/512MiB/9MiB/; s/^nn = 16/nn = 4/; /^lba_format/d' "$top/share/profiles/tiny.conf" >"$profiles/blank.conf"
printf '%s\n' 'lba_format = 512' 'lba_format = 4096' >>"$profiles/blank.conf"
for serial in "${serials[@]}" FORMATTED BLANK; do all+=("$serial"); done
fabric_start "${all[@]/%/=blank}"
check "${#all[@]} drives connect" connect "${all[@]}"
declare -A dev
for serial in "${all[@]}"; do dev[$serial]=$(node "$serial" 1); done
half() { # its namespace gives way to a smaller one, so that there is room
	local at cntlid
	at=/dev/$(controller "$1") && cntlid=$(nvme id-ctrl "$at" -o json | jq .cntlid) && nvme detach-ns "$at" -n 1 -c "$cntlid" && nvme delete-ns "$at" -n 1 && nvme ns-rescan "$at" && another "$1" 1
}
another() { # SERIAL NSID
	local at cntlid
	at=/dev/$(controller "$1") && cntlid=$(nvme id-ctrl "$at" -o json | jq .cntlid) &&
		nvme create-ns "$at" -s 8192 -c 8192 -f 0 && nvme attach-ns "$at" -n "$2" -c "$cntlid" && nvme ns-rescan "$at" &&
		until_true 10 node "$1" "$2"
}
check "one has room for a second namespace" half SECOND
server_start
class_4m
agent_start
state_of() { api GET "/v1/drives/$1" | jq -r .adopt; }
drives() { api GET /v1/drives | jq -c "$1"; }
looked_at() { is "$(drives '[.items[] | select(.adopt == "available" and .size_bytes > 0)] | length')" ${#all[@]}; }
check "the agent has looked at all of them" until_true 120 looked_at
check "and found nothing on any" is "$(drives '[.items[] | select((.foreign | length) > 0) | [.serial, .foreign[0].what, .foreign[0].detail]]')" "[]"
agent_stop

# ---- states ---------------------------------------------------------------------------------------------------------

mkdir "$work/mnt"
processes=()
mkfs() { mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0,nodiscard "$1"; }
zero() { head -c "$(stat -c %s "$(medium "$1/1")")" /dev/zero | dd of="$(medium "$1/1")" bs=1M conv=notrunc status=none; }
blank() { sync && zero "$1"; }
mounted() { mkdir -p "$work/mnt/$1" && mkfs "$2" && mount -o noatime "$2" "$work/mnt/$1"; }
keep() { "$@" & processes+=($!); } # a process that stays
held() { [ -e "$work/ready.$1" ]; }
use_MNT() { mounted MNT "$1" && blank MNT; }
use_ELSEWHERE() {
	mkdir "$work/mnt/ELSEWHERE" && mkfs "$1" &&
		keep unshare -m sh -c "mount -o noatime $1 $work/mnt/ELSEWHERE && : >$work/ready.ELSEWHERE && exec sleep 100000" &&
		until_true 20 held ELSEWHERE && blank ELSEWHERE && ! grep -q mnt/ELSEWHERE /proc/self/mountinfo
}
use_LAZY() {
	mounted LAZY "$1" && mkdir "$work"/mnt/{LAZY/up,LAZY/work,lower,over} &&
		mount -t overlay -o "lowerdir=$work/mnt/lower,upperdir=$work/mnt/LAZY/up,workdir=$work/mnt/LAZY/work" none "$work/mnt/over" &&
		umount -l "$work/mnt/LAZY" && blank LAZY && ! grep -q mnt/LAZY.*ext4 /proc/self/mountinfo
}
use_ROOT() { mounted ROOT "$1" && mkdir "$work"/mnt/{ROOT/os,root} && mount --bind "$work/mnt/ROOT/os" "$work/mnt/root" && umount "$work/mnt/ROOT" && blank ROOT; }
use_PART() { addpart "$1" 1 2048 8192; }
use_PARTMNT() { addpart "$1" 1 2048 8192 && mounted PARTMNT "$1p1" && blank PARTMNT; }
use_SWAP() { mkswap -q "$1" && swapon "$1" && blank SWAP; }
use_SWAPFILE() {
	mounted SWAPFILE "$1" && dd if=/dev/zero of="$work/mnt/SWAPFILE/swap" bs=1M count=2 status=none && chmod 600 "$work/mnt/SWAPFILE/swap" &&
		mkswap -q "$work/mnt/SWAPFILE/swap" && swapon "$work/mnt/SWAPFILE/swap" && blank SWAPFILE
}
use_LINEAR() { dmsetup create --noudevsync one --table "0 8192 linear $1 0"; }
use_LV() { pvcreate -qq "$1" && vgcreate -qq vg "$1" && lvcreate -qq -an -Zn -n lv -L 4M vg && vgchange -qq -ay vg && blank LV; }
use_MD() { mdadm --build /dev/md9 --run --assume-clean --level=1 -n 2 "$1" missing; }
use_CRYPT() { echo secret | cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 256 --hash sha256 "$1" secret; }
use_LOOP() { losetup -f "$1"; }
use_PARTLOOP() { addpart "$1" 1 2048 8192 && losetup -f "$1p1"; }
use_LOOPMNT() { local loop; loop=$(losetup -f --show "$1") && mounted LOOPMNT "$loop" && blank LOOPMNT; }
use_EXPORT() {
	local at=/sys/kernel/config/nvmet/subsystems/nqn.2026-01.org.nsmith:export
	mkdir "$at" "$at/namespaces/1" && echo -n "$1" >"$at/namespaces/1/device_path" && echo 1 >"$at/namespaces/1/enable"
}
use_EXCL() {
	keep perl -MFcntl -e 'sysopen(F, $ARGV[0], O_RDONLY | O_EXCL) or die; open(R, ">", $ARGV[1]); sleep 100000' "$1" "$work/ready.EXCL"
	until_true 20 held EXCL
}
use_RO() { keep sh -c "exec sleep 100000 <$1"; } # what runs in the background has /dev/null for stdin
use_RW() { keep sh -c "exec sleep 100000 <>$1"; }
use_INSIDE() {
	keep unshare --mount --pid --ipc --uts --net --fork --kill-child sh -c "mount -t tmpfs none $work/mnt && mknod $work/mnt/own b $(stat -c '0x%t 0x%T' "$1") &&
		exec <$work/mnt/own && umount -l $work/mnt && : >$work/ready.INSIDE && exec sleep 100000"
	until_true 20 held INSIDE
}
use_BIND() { : >"$work/mnt/node" && mount --bind "$1" "$work/mnt/node"; }
use_DETACHED() { local at; at=/dev/$(controller DETACHED) && nvme detach-ns "$at" -n 1 -c "$(nvme id-ctrl "$at" -o json | jq .cntlid)" && nvme ns-rescan "$at" && until_false node DETACHED 1; }
until_false() { until_true 10 eval "! $*"; }
use_SECOND() { another SECOND 2 && echo somebody | dd of="$(node SECOND 2)" bs=4096 seek=700 conv=sync,fsync status=none; }
use_BROKEN() { drives_ctl fault BROKEN "read nth=1 count=0 kind=status:0x281"; }

say "They are put to use, and look blank still"
for row in "${states[@]}"; do
	IFS='|' read -r serial _ _ text <<<"$row"
	check "$serial: $text" "use_$serial" "${dev[$serial]}"
done
check "FORMATTED: formatted by somebody with other blocks" nvme format "${dev[FORMATTED]}" -n 1 -l 1 --force
looks_blank() { # the one that is detached has no medium just now, only its drive has
	local serial
	for serial; do [ ! -e "$(medium "$serial/1")" ] || is "$serial: $(tr -d '\0' <"$(medium "$serial/1")" | wc -c) bytes" "$serial: 0 bytes" || return 1; done
}
for serial in MNT ELSEWHERE LAZY ROOT PARTMNT SWAPFILE LOOPMNT; do zero $serial; done # each sync writes superblocks anew
check "not one byte is left on the media" looks_blank "${serials[@]}"
media_sums() { local serial; for serial in "${serials[@]}"; do find "$work/drives/$serial"/ns* -type f -exec sha256sum {} +; changes "$serial"; done; }
media_sums >"$work/before"

# ---- a person's wish, and a rule's ----------------------------------------------------------------------------------

found() { # SERIAL KIND DETAIL
	"$nsmith" drive show "$1" --json | jq -r '.foreign[] | "\(.what): \(.detail)"' >"$work/found"
	grep -qE -- "^$2: .*$3" "$work/found" || { echo "no '$2: $3' in:" && cat "$work/found"; return 1; }
}
wish() { api POST "/v1/drives/$1/adopt" "{\"class\": \"4M\", \"confirm\": \"$1\"${2:+, $2}}"; }
wish_all() { local serial; for serial in "${serials[@]}"; do wish "$serial" || return 1; done; wish FORMATTED '"provider": "whole"'; }
untouched() { media_sums | diff "$work/before" -; }

say "A person's wish, from a plan made while they were blank"
check "the server, which knows no better, accepts it" wish_all
agent_start
judged() { is "$(drives '[.items[] | select(.adopt == "refused")] | length')" $((${#serials[@]} + 1)); }
check "the agent refuses every one" until_true 120 judged
for row in "${states[@]}"; do
	IFS='|' read -r serial kind detail text <<<"$row"
	check "$serial: $text" found "$serial" "$kind" "$detail"
	check "... a second wish is refused by the server" exits 8 "$(api GET "/v1/drives/$serial" | jq -r '.foreign[0].what')" "$nsmith" drive adopt "$serial" --class 4M --dry-run
done
check "FORMATTED: another drive than was planned for" exits 0 "not as it was when the plan was made" "$nsmith" drive show FORMATTED
check "nothing was sent to them, and not one byte changed" untouched
agent_stop

say "A rule that matches every drive"
mkdir "$work/adopt.d"
printf '%s\n' '[match]' 'model = *' '[adopt]' 'class = 4M' >"$work/adopt.d/all.conf"
agent_start --adopt-dir "$work/adopt.d"
check "a drive that is blank and not in use is adopted" until_true 120 drive_adopted BLANK
check "so is the one that was formatted, by a new plan" until_true 60 drive_adopted FORMATTED
why_all() { is "$(drives '[.items[] | select((.rule_why // "") | startswith("rule '"'all'"' matches, but the drive "))] | length')" ${#serials[@]}; }
check "no other: each says why" until_true 60 why_all
for row in "${states[@]}"; do
	IFS='|' read -r serial kind detail text <<<"$row"
	check "$serial: $text" found "$serial" "$kind" "$detail"
done
check "nothing was sent to them, and not one byte changed" untouched
until_idle 120
agent_stop

say "What the drives were used for goes on"
alive() { local pid; for pid in "${processes[@]}"; do kill -0 "$pid" || return 1; done; }
check "the processes" alive
in_place() { local at; for at in MNT PARTMNT LOOPMNT root over node; do grep -q " $work/mnt/$at " /proc/self/mountinfo || return 1; done; }
check "the mounts" in_place
check "the swap" is "$(grep -c -e "^${dev[SWAP]} " -e SWAPFILE /proc/swaps)" 2
check "the devices upon them" eval 'dmsetup info one && dmsetup info vg-lv && dmsetup info secret && grep -q "^md9 : active" /proc/mdstat && [ "$(losetup -ln | wc -l)" = 3 ]'
finish
