#!/bin/bash
# t_qemu_nvme - the agent on the kernel's own driver: QEMU's NVMe drives in a host of test/host/run.
#
#   test/host/t_qemu_nvme.sh
#
#   NSMITH_BUILD         programs under test, default build/demo
#   NSMITH_HOST_KERNEL   default cloud; see test/host/run
#   NSMITH_HOST_QEMU     default qemu-system-x86_64
# Logs and drives are in build/e2e/t_qemu_nvme.out afterwards.
#
# These drives have Format and namespace attachment. They claim namespace management too (OACS bit 3), and answer it
# with Invalid Command Opcode; their Commands Supported and Effects log does not list it.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
out=$top/build/e2e/t_qemu_nvme.out

# ---- outside: drives, and a host that has them ---------------------------------------------------------------------

if [ "${NSMITH_HOST-}" != 1 ]; then
	set -e
	rm -rf "$out"
	mkdir -p "$out"
	args=() slot=0
	port() { slot=$((slot + 1)) && args+=(-q "-device pcie-root-port,id=port$slot,chassis=$slot,slot=$slot"); }
	medium() { # serial size: a node that stays when its drive is pulled
		truncate -s "$2" "$out/$1.img"
		args+=(-q "-blockdev driver=file,node-name=$1-medium,filename=$out/$1.img")
	}
	drive() { # serial size [property...]
		medium "$1" "$2"
		port
		args+=(-q "-device nvme,id=$1,bus=port$slot,serial=$1,drive=$1-medium")
	}
	for serial in WHOLE EXT4 MOUNTED PARTS; do drive $serial 64M; done
	mke2fs -qFt ext4 "$out/EXT4.img"
	mke2fs -qFt ext4 "$out/MOUNTED.img"
	printf 'label: gpt\nsize=8MiB\nsize=8MiB\n' | sfdisk -q "$out/PARTS.img"
	# Only with a subsystem of its own can QEMU's drive detach; and only then has it more than one namespace.
	for serial in CLAIMS TWO; do
		port
		args+=(-q "-device nvme-subsys,id=sub-$serial,nqn=nqn.2026-01.test:$serial"
			-q "-device nvme,id=$serial,bus=port$slot,serial=$serial,subsys=sub-$serial")
	done
	for name in CLAIMS-1 TWO-1 TWO-2; do
		medium $name 128M
		args+=(-q "-device nvme-ns,drive=$name-medium,bus=${name%-*},nsid=${name#*-}")
	done
	medium OTHER 64M # for port$slot, plugged in later
	port
	exec "$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -Q "${NSMITH_HOST_QEMU:-qemu-system-x86_64}" -t 600 \
		-w "$out" -l "$out/console" "${args[@]}" -- \
		env NSMITH_BUILD="${NSMITH_BUILD:-$top/build/demo}" spare_port="port$slot" bash "$(readlink -f "$0")"
fi

# ---- inside --------------------------------------------------------------------------------------------------------

. "$top/test/e2e/lib.sh"
begin t_qemu_nvme
trap 'end_all; cp "$work"/*.log "$out/"' EXIT
PATH=$top/test/host:$PATH

controller() { # serial: nvmeN, as the kernel has it
	local file
	for file in /sys/class/nvme/*/serial; do
		[ "$(tr -d ' ' <"$file" 2>/dev/null)" != "$1" ] || { basename "${file%/serial}"; return; }
	done
	return 1
}
serial_of() { tr -d ' ' <"/sys/class/block/${1##*/}/device/serial"; } # of a namespace's node
node() { # serial: its first namespace
	local folder
	for folder in /sys/class/block/nvme*; do
		case ${folder##*/} in *c*n* | *p*) ;; *) [ "$(serial_of "$folder" 2>/dev/null)" != "$1" ] || { echo "/dev/${folder##*/}"; return; } ;; esac
	done
	return 1
}
sum() { dd if="$1" bs=1M iflag=direct status=none | md5sum; }
is_zero() { dd if="$1" bs=1M iflag=direct status=none | cmp -n "$(blockdev --getsize64 "$1")" - /dev/zero; }
same_data() { dd if="$1" bs=1M count=4 iflag=direct status=none | cmp - "$work/data"; }

listed() { # serial: as the kernel says, in every column that it knows
	local shown
	shown=$(api GET "/v1/drives/$1") || { echo "not listed"; return 1; }
	is "$(jq -r '[.name, .model, .firmware] | join("|")' <<<"$shown")" \
		"$(controller "$1")|$(sed 's/ *$//' "/sys/class/nvme/$(controller "$1")/model")|$(sed 's/ *$//' "/sys/class/nvme/$(controller "$1")/firmware_rev")" &&
		is "$(jq -r .seen.ns[0].path <<<"$shown")" "$(node "$1")"
}
adopt_as() { "$nsmith" drive adopt "$2" --as "$1" --class small --yes --serial="$2" --timeout 60; }
refused() { # serial pattern: for both ways to adopt it, and nothing on it changes
	local before how
	before=$(sum "$(node "$1")")
	for how in whole namespace; do exits 8 "$2" adopt_as $how "$1" || return 1; done
	is "$(sum "$(node "$1")")" "$before" && exits 0 "^(available|refused)" drive_word "$1"
}
drive_word() { "$nsmith" drive ls --json | jq -r --arg serial "$1" ".items[] | select(.serial == \$serial) | .adopt"; }
slice_of() { slices ".drive == \"$1\""; }
slice_is() { is "$(slice_state "$slice")" "$1"; }
# The link of the slice is its own drive's, or there is none. Never another's.
link_true() {
	local target
	target=$(readlink "$link") || return 0
	[ -b "$target" ] || return 0
	is "$(serial_of "$target")" WHOLE
}
# As until_true, but gentler: for what takes long, and asks the emulated CPU.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
		sleep 1
	done
}
drives_seen() { local serial; for serial in WHOLE EXT4 MOUNTED PARTS CLAIMS TWO; do drive_seen $serial || return 1; done; }
quiet_kernel() { ! dmesg | grep -E 'nvme.*(timeout|reset|fail)|I/O error'; }

modprobe -qa nvme ext4
until_true 10 node TWO
mount "$(node MOUNTED)" /mnt && echo precious >/mnt/file && sync
server_start
"$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --virt "$virt" --host bed >"$work/agent.log" 2>&1 &
# shellcheck disable=SC2034 # lib.sh ends it
agent_child=$!
until_true 10 grep -q ' registered ' "$work/agent.log"
class_small
until_true 10 drives_seen

say "What is there"
for serial in WHOLE EXT4 MOUNTED PARTS CLAIMS TWO; do
	check "$serial is listed, with the names the kernel gave it" listed $serial
done

say "What holds something is refused"
check "a file system" refused EXT4 ext4
check "a mounted file system" refused MOUNTED "mounted|held"
check "its file is there" is "$(cat /mnt/file)" precious
check "partitions" refused PARTS partition
check "two namespaces are not a whole" exits 2 "2 namespaces" adopt_as whole TWO

say "A drive as a whole"
check "adopted" exits 0 "adopted" adopt_as whole WHOLE
slice=$(slice_of WHOLE)
check "its slice is free" slice_is free
erasures() { "$nsmith" erasure ls --slice "$slice" --json | jq -r '[.items[] | "\(.method) \(.verdict)"] | join(", ")'; }
check "erased by Format NVM, and that was verified" is "$(erasures)" "format-user-data verified"
check "nothing is left of the markers" is_zero "$(node WHOLE)"
check "claimed" claim c1 1
link=$(slice_link "$slice")
check "its path leads to the drive" is "$(readlink -f "$link")" "$(node WHOLE)"
head -c $((4 << 20)) /dev/urandom >"$work/data"
check "its path can be written" dd if="$work/data" of="$link" bs=1M oflag=direct status=none
check "and read" same_data "$link"
check "released" exits 0 "" "$nsmith" claim release c1
check "its path is gone" test ! -L "$link"
check "erased once more" is "$(erasures)" "format-user-data verified, format-user-data verified"
check "nothing is left of the tenant" is_zero "$(node WHOLE)"
check "the certificate holds" exits 0 "" "$nsmith" erasure verify "$("$nsmith" erasure ls --slice "$slice" --json | jq -r .items[0].id)"

say "A tenant that does not let go"
check "claimed" claim c2 1
exec 7<>"$link"
api DELETE /v1/claims/c2 >/dev/null
until_true 10 test ! -L "$link"
sleep 3 # an erase takes a tenth of that
check "while a program has it open it does not become free" is "$(slice_state "$slice" | sed 's/^\(dirty\|erasing\)$/not free/')" "not free"
exec 7>&-
wait_for 40 idle
check "then it does" slice_is free
check "the kernel has nothing to say" quiet_kernel

say "A drive that claims namespace management"
before=$(sum "$(node CLAIMS)") started=$SECONDS code=0
answer=$(adopt_as namespace CLAIMS 2>&1) || code=$?
answer=$(grep '^nsmith:' <<<"$answer")
note "exit code $code after $((SECONDS - started)) s: $answer"
check "is not adopted" test $code != 0
check "the answer names namespace management" grep -qi 'namespace management' <<<"$answer"
check "and that the drive claims it, but does not have it" grep -qiE 'claim|though|does not (offer|support|have)|has no' <<<"$answer"
check "its namespace is still there" wait_for 5 node CLAIMS
check "with its data" is "$(sum "$(node CLAIMS)" 2>&1)" "$before"
check "as a whole it can still be adopted" exits 0 "adopted" adopt_as whole CLAIMS

say "A drive that is pulled"
# CLAIMS may have a free slice too: WHOLE's own is wanted.
api DELETE /v1/claims/c3 >/dev/null 2>&1
check "both slices claimed" claim c3 "$(slice_count '.state == "free"')"
check "written" dd if="$work/data" of="$link" bs=1M oflag=direct status=none
name_before=$(controller WHOLE)
qmp device_del id=WHOLE >/dev/null
check "the kernel lost it" until_true 15 test ! -e "/dev/$name_before"
qmp device_add driver=nvme id=OTHER bus="$spare_port" serial=OTHER drive=OTHER-medium >/dev/null
check "another drive takes its name" until_true 15 test -b "/dev/${name_before}n1"
check "a tenant is not led to the other drive" link_true
check "reported missing" wait_for 40 drive_is WHOLE missing
check "status names it" exits 0 "WHOLE is missing" "$nsmith" status
check "its path is gone" test ! -L "$link"
check "its slice is still the tenant's" slice_is attached
check "the other drive is listed" wait_for 40 listed OTHER
qmp device_add driver=nvme id=WHOLE bus=port1 serial=WHOLE drive=WHOLE-medium >/dev/null
check "put back: it is well again" wait_for 40 drive_is WHOLE adopted
check "under another name" test "$(controller WHOLE)" != "$name_before"
check "its path is there again" until_true 20 test -L "$link"
check "it leads to the drive" link_true
check "with the tenant's data" same_data "$link"
check "released" exits 0 "" "$nsmith" claim release c3
check "erased" is_zero "$(node WHOLE)"

say "What was refused is as it was"
check "the mounted file system" is "$(umount /mnt && e2fsck -fn "$(node MOUNTED)" >/dev/null 2>&1 && mount -o ro "$(node MOUNTED)" /mnt && cat /mnt/file)" precious
finish
