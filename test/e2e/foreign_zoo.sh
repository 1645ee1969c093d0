# shellcheck shell=bash disable=SC2034,SC2154
# foreign_zoo.sh - what may be on somebody else's drive. Sourced by t_foreign.sh.
#
#   data NAME CHECKS CMD...     CMD writes it to the medium $m, a file of $size bytes that reads as zeros
#
# CHECKS are those of src/probe that must find it: s(ignature: libblkid), b(ytes). Where only one of them can, the case
# says which; the third, u(se), has cases of its own, as data that nobody uses is not in use.

zoo_names=() zoo_checks=() zoo_cmds=()
data() { zoo_names+=("$1") && zoo_checks+=("$2") && zoo_cmds+=("$(printf '%q ' "${@:3}")"); }

# at OFFSET BYTES [OFFSET BYTES]...: bytes as printf knows them; an offset below 0 counts from the end.
at() {
	local offset
	while [ $# -gt 0 ]; do
		offset=$(($1 < 0 ? size + $1 : $1))
		# shellcheck disable=SC2059
		printf -- "$2" | dd of="$m" bs=4096 seek="$offset" oflag=seek_bytes conv=notrunc status=none || return 1
		shift 2
	done
}
# from FILE [OFFSET]: the file's content.
from() { dd if="$1" of="$m" bs=1M seek="${2:-0}" oflag=seek_bytes conv=notrunc,sparse status=none; }
zero() { dd if=/dev/zero of="$m" bs=4096 seek="$(($1 < 0 ? size + $1 : $1))" count="$2" oflag=seek_bytes iflag=count_bytes conv=notrunc status=none; } # OFFSET BYTES
then_zero() { local offset=$1 bytes=$2; shift 2; "$@" && zero "$offset" "$bytes"; }
fill() { (set +o pipefail; yes "$1" | tr -d '\n' | head -c "$3") | dd of="$m" bs=1M seek="$(($2 < 0 ? size + $2 : $2))" oflag=seek_bytes conv=notrunc iflag=fullblock status=none; } # TEXT OFFSET BYTES
tool() { "$@" "$m"; }
table() { printf '%s\n' "$@" | sfdisk -q --no-reread --no-tell-kernel "$m"; }
tree() { mkdir -p "$work/tree" && echo payroll >"$work/tree/payroll"; }
made() { # FILE CMD...: CMD makes a file of its own out of a folder, which is then written to the medium
	local file=$work/$1
	rm -f "$file"
	tree && (cd "$work" && "${@:2}" >/dev/null) && from "$file"
}
small() { truncate -s 16M "$work/small" && "$@" "$work/small" && from "$work/small" && rm "$work/small"; } # a file system of 16 MiB
luks() { echo secret | cryptsetup luksFormat -q --type "$1" --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$m" -; }
luks1() { echo secret | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 "$m" -; }

# ---- by the tools that people use ------------------------------------------------------------------------------------

data ext2 sb tool mkfs.ext2 -qF
data ext3 sb tool mkfs.ext3 -qF
data ext4 sb tool mkfs.ext4 -qF -L payroll
data "ext4 with blocks of 1 KiB" sb tool mkfs.ext4 -qFb 1024
data "an external journal of ext4" sb tool mke2fs -qFO journal_dev
data "ext4 without its first superblock" b then_zero 1024 1024 tool mkfs.ext4 -qF
data xfs sb tool mkfs.xfs -q
data "xfs with blocks of 1 KiB" sb tool mkfs.xfs -qb size=1024
data btrfs sb tool mkfs.btrfs -q
data "btrfs without its first superblock" b then_zero 65536 4096 tool mkfs.btrfs -q
data "vfat, FAT16" sb tool mkfs.vfat -F 16
data "vfat, FAT32" sb tool mkfs.vfat -F 32
data "vfat, FAT12 of 16 MiB" sb small mkfs.vfat -F 12
data "vfat, a label with spaces" sb tool mkfs.vfat -n "MY DATA"
data exfat sb tool mkfs.exfat
data ntfs sb tool mkfs.ntfs -qQF
data f2fs sb tool mkfs.f2fs -qf
data nilfs2 sb tool mkfs.nilfs2 -q
data udf sb tool mkfs.udf --media-type=hd
data "udf with blocks of 512 bytes" sb tool mkfs.udf -b 512
data jfs sb tool mkfs.jfs -q
data reiserfs sb tool mkreiserfs -qff
data minix sb small mkfs.minix
data "minix 2" sb small mkfs.minix -2
data "minix 3" sb small mkfs.minix -3
data bfs sb small mkfs.bfs
data cramfs sb made cramfs mkfs.cramfs tree cramfs
data squashfs sb made squashfs mksquashfs tree squashfs -quiet
data erofs sb made erofs mkfs.erofs erofs tree
data "ISO 9660" sb made iso genisoimage -quiet -R -o iso tree
data swap sb tool mkswap -q
data "swap, named" sb tool mkswap -qL swap0
data "LUKS 1" sb luks1
data "LUKS 2" sb luks luks2
data "LUKS 2 without its first header" sb then_zero 0 4096 luks luks2
data "dm-verity" sb verity
data "MBR" sb table 'label: dos' 'size=8MiB' 'size=8MiB'
data "MBR without a partition" sb table 'label: dos'
data "MBR with a logical partition" sb table 'label: dos' 'size=64MiB, type=5' 'size=8MiB'
data "GPT" sb table 'label: gpt' 'size=8MiB' 'size=8MiB'
data "GPT without a partition" sb table 'label: gpt'
data "only the backup of a GPT, at the end" sb then_zero 0 17408 table 'label: gpt' 'size=8MiB'
data "GPT without its backup" sb then_zero -16896 16896 table 'label: gpt' 'size=8MiB'
data "a partition table of SGI" sb table 'label: sgi' 'size=8MiB'
data "a partition table of Sun" sb table 'label: sun' 'size=8MiB'
data "GPT by gdisk, with a hybrid MBR" sb gpt_hybrid
data "an ext4 in a partition, its table wiped" b in_partition
data "an image of a VM, qcow2" b qcow2
data "a tar archive" b made tar tar -cf tar tree

verity() { mkdir -p "$work/t" && truncate -s 8M "$work/t/data" && veritysetup format "$work/t/data" "$m" >/dev/null; }
gpt_hybrid() { sgdisk -n 1:0:+8M -h 1 "$m" >/dev/null; }
in_partition() { truncate -s 64M "$work/part" && mkfs.ext4 -qF "$work/part" && from "$work/part" $((1 << 20)); }
qcow2() { rm -f "$work/q" && qemu-img create -q -f qcow2 "$work/q" 1G && from "$work/q"; }

# ---- by hand: what no tool of Debian makes on a file -------------------------------------------------------------------

data "MD 1.2" sb at 4096 '\xfc\x4e\x2b\xa9\x1' $((4096 + 0x90)) '\x8'
data "MD 1.1" sb at 0 '\xfc\x4e\x2b\xa9\x1'
data "MD 1.0, at the end" sb at -8192 '\xfc\x4e\x2b\xa9\x1' $((-8192 + 0x90)) '\xf0\xff\x0f'
data "MD 0.90, at the end" sb at -65536 '\xfc\x4e\x2b\xa9\x0\x0\x0\x0\x5a'
data "LVM 2" sb at 512 'LABELONE\x1\x0\x0\x0\x0\x0\x0\x0\x0\x0\x0\x0\x20\x0\x0\x0LVM2 001'
data "LVM 2, its label in the third sector" sb at 1536 'LABELONE\x3\x0\x0\x0\x0\x0\x0\x0\x0\x0\x0\x0\x20\x0\x0\x0LVM2 001'
data "LVM 1" sb at 0 'HM\x1'
data "dm-integrity" sb at 0 'integrt\x0\x1'
data "a snapshot of dm" sb at 0 'SnAp\x1'
data "Intel RAID, at the end" sb at -1024 'Intel Raid ISM Cfg Sig. 1.1.00'
data "LSI RAID, at the end" sb at -512 '$XIDE$'
data "DDF RAID, at the end" sb at -512 '\xde\x11\xde\x11' $((-512 + 0x60)) '\x0\x0\x0\x0\x0\xf\xff\xff'
data "Promise RAID, near the end" sb at $((-63 * 512)) 'Promise Technology, Inc.'
data "bcache" sb at $((4096 + 24)) '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81' $((4096 + 8)) '\x8'
data "ZFS" sb at $((0x20000)) '\x0c\xb1\xba\x0' $((0x20400)) '\x0c\xb1\xba\x0' $((0x20800)) '\x0c\xb1\xba\x0' $((0x20c00)) '\x0c\xb1\xba\x0'
data "ZFS, only its labels at the end" sb zfs_end
data "Ceph BlueStore" sb at 0 'bluestore block device'
data "VDO" sb at 0 'dmvdo001'
data "Stratis, its checksum wrong" b stratis
data "DRBD 8.4, at the end" sb at -4036 '\x83\x74\x02\x6b'
data "DRBD 9, at the end" sb at -4036 '\x83\x74\x02\x6d'
data "BitLocker" sb at 0 '\xeb\x58\x90-FVE-FS-' 176 '\x0\x0\x1' 65536 '-FVE-FS-\x0\x0\x2'
data "VMFS" sb at $((0x200000)) '\x5e\xf1\xab\x2f'
data "a member of VMFS" sb at $((0x100000)) '\x0d\xd0\x01\xc0'
data "Oracle ASM" sb at 32 'ORCLDISK'
data "APFS" sb at 32 'NXSB' 24 '\x1\x0\x0\x80' 36 '\x0\x10'
data "HFS" sb at 1024 'BD' $((1024 + 0x14)) '\x0\x0\x10'
data "HFS+" sb at 1024 'H+\x0\x4' $((1024 + 40)) '\x0\x0\x10'
data "UFS" sb at $((8192 + 0x55c)) '\x54\x19\x1'
data "UFS 2" sb at $((65536 + 0x55c)) '\x19\x01\x54\x19'
data "System V" sb at $((512 + 504)) '\x20\x7e\x18\xfd\x1'
data "romfs" sb at 0 '-rom1fs-'
data "UBI" sb at 0 'UBI#'
data "UBIFS" sb at 0 '\x31\x18\x10\x06'
data "Reiser4" sb at 65536 'ReIsEr4'
data gfs2 sb at 65536 '\x01\x16\x19\x70' $((65536 + 0x18)) '\x0\x0\x07\x09\x0\x0\x07\x6c'
data ocfs2 sb at 2048 OCFSV2
data "VxFS" sb at 1024 '\xf5\xfc\x01\xa5'
data "BeFS, not whole" b at 544 '1SFB' 548 'EGIB'
data "mpool" sb at 0 'mpoolDev'
data "a suspended system" sb at $((4096 - 10)) 'S1SUSPEND\x0'
data "hibernation of TuxOnIce" sb at $((4096 - 10)) 'ULSUSPEND\x0'
data "FileVault 2, not whole" b at 88 'CS'
data "a label of BSD" b at 512 '\x57\x45\x56\x82' $((512 + 132)) '\x57\x45\x56\x82'
data "a map of Apple partitions" sb at 0 'ER\x2\x0' 512 'PM\x0\x0\x0\x0\x0\x1'
data "an old boot sector" sb at 510 '\x55\xaa'
data "Netware" sb at 4096 'SPB5'
data "an unknown file system of two sectors" b fill unknown 1048576 1024
data "one byte that is not zero, the first" b at 0 '\x1'
data "... the last of the first sector" b at 511 '\x1'
data "... in the fourth MiB" b at $(((4 << 20) - 1)) '\x80'
data "... in the last MiB" b at $((-(1 << 20))) '\x1'
data "... the last of all" b at -1 '\x1'
data "a zero in a sector of FFh" b ff_but_one
data "64 MiB in the midst, nothing at either end" b fill midst $((128 << 20)) $((64 << 20))
data "random data, as a cipher leaves it" b fill_random
data "text" b fill 'all work and no play' 0 4096

# What came of another nsmith, or of a guest that plays one.
data "a marker of an erase that did not end" b at 0 'nsmith erase marker\x0\x1' 4096 'nsmith'
data "a certificate, in the open" b at 0 'nsmith erasure 1\nslice: ns-0\n'

zfs_end() { at $((-524288 + 0x20000)) '\x0c\xb1\xba\x0' $((-524288 + 0x20400)) '\x0c\xb1\xba\x0' $((-524288 + 0x20800)) '\x0c\xb1\xba\x0' $((-524288 + 0x20c00)) '\x0c\xb1\xba\x0'; }
stratis() { at 516 '!Stra0tis\x86\xff\x02^\x41rh'; }
ff_but_one() { head -c 8192 /dev/zero | tr '\0' '\377' | dd of="$m" conv=notrunc status=none && at 5000 '\x0'; }
fill_random() { dd if=/dev/urandom of="$m" bs=1M seek=64 count=64 conv=notrunc status=none; }
