#!/bin/bash
# t_witness - what another NVMe program says: Debian's nvme-cli, through the kernel's driver, over NVMe/TCP.
#
#   test/host/t_witness.sh
#
#   NSMITH_BUILD         programs under test, default build/demo
#   NSMITH_HOST_KERNEL   default cloud; see test/host/run
# Logs are in build/e2e/t_witness.out afterwards.
#
# First nvme-cli uses a software drive as it would any drive: names, numbers and statuses that are wanted here are those
# of the specification (Base 2.0, NVM 1.0; Sanitize Namespace: Base 2.3) as nvme-cli reads them. Then nsmith works, and
# after each of its steps nvme-cli must agree with what nsmith says.
# shellcheck disable=SC2317 # by check
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
out=$top/build/e2e/t_witness.out

if [ "${NSMITH_HOST-}" != 1 ]; then
	rm -rf "$out"
	mkdir -p "$out"
	exec "$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -m 1536 -t 1500 -w "$out" -l "$out/console" -- \
		env NSMITH_BUILD="${NSMITH_BUILD:-$top/build/demo}" bash "$(readlink -f "$0")"
fi

# shellcheck source=test/e2e/lib.sh
. "$top/test/e2e/lib.sh"
# shellcheck source=test/host/tcp.sh
. "$top/test/host/tcp.sh"
begin t_witness
trap 'end_all; dmesg >"$work/dmesg.log"; cp "$work"/*.log "$out/"' EXIT

# ---- nvme-cli ------------------------------------------------------------------------------------------------------

# nv COMMAND [OPTION...]: on $dev.
nv() { local command=$1; shift; nvme "$command" "$dev" "$@"; }
# does COMMAND...: nvme-cli says success.
does() { exits 0 "" nv "$@"; }
# refused STATUS COMMAND...: it says this status, SCT << 8 | SC, in hex; Do Not Retry and the like apart.
refused() {
	local want=$1 said code=0
	shift
	said=$(nv "$@" 2>&1) || code=$?
	[ "$code" != 0 ] && said=$(sed -n 's/^NVMe status: .*(0x\([0-9a-f]*\))$/\1/p' <<<"$said") && [ -n "$said" ] &&
		is "$(printf %03x $((0x$said & 0x7ff)))" "$want"
}
json() { nv "$@" -o json; }
has() { is "$(json "${@:3}" | jq -rc "$1")" "$2"; } # FILTER WANT COMMAND...
nsids() { json list-ns "$@" | jq -c '[.nsid_list[].nsid]'; }
raw() { nv get-log "$@" -b | od -An -v -tx1 | tr -d " \n"; } # a log's bytes
node_is() { [ -b "${dev}n$1" ] && is "$(blockdev --getsize64 "${dev}n$1") $(blockdev --getss "${dev}n$1")" "$2"; }
no_node() { [ ! -e "${dev}n$1" ]; }

head -c $((1 << 20)) /dev/urandom >"$work/data"
head -c $((1 << 20)) /dev/urandom >"$work/other"
put() { dd if="$work/${2:-data}" of="${dev}n$1" bs=1M oflag=direct status=none; }
same() { dd if="${dev}n$1" bs=1M count=1 iflag=direct status=none | cmp - "$work/${2:-data}"; }
zeros() { dd if="${dev}n$1" bs=1M count=1 iflag=direct status=none | cmp -n $((1 << 20)) - /dev/zero; }
differs() { dd if="${dev}n$1" bs=1M count=1 iflag=direct status=none >"$work/read" && ! cmp -s "$work/read" "$work/data"; }

mkdir -p "$work/profiles"
profile() { { echo "# $1"; printf 'capacity = 256MiB\nnn = 16\ngranularity = 1MiB\nfna = 0x04\n'; cat; } >"$work/profiles/$1.conf"; }
profile all <<-END
	vendor_id = 0x1234
	model = SOFT WITNESS
	firmware = FIRST001
	crypto_result = noise
	sanitize = block overwrite crypto
	sanitize_ns = yes
	sanitize_ms = 500
	smart_per_namespace = yes
END
profile slow <<-END
	sanitize = block overwrite crypto
	sanitize_ns = yes
	sanitize_ms = 86400000
END
profile old <<-END
	firmware = OLD00001
	ns_management = no
	firmware_slots = 2
	firmware_slot1_read_only = yes
	firmware_activation = controller-reset
END
profile subsystem <<-END
	firmware = OLD00001
	firmware_activation = subsystem-reset
END

say "A drive"
check "six are connected" tcp_start "$work/profiles" W1=all W2=old W3=subsystem W4=slow W5=slow N1=all
dev=/dev/$(controller W1)
id() { check "id-ctrl: $1 is $2" has ".$1 | tostring | sub(\" +\$\"; \"\")" "$2" id-ctrl; }
id sn W1
id mn "SOFT WITNESS"
id fr FIRST001
id vid $((0x1234))
id cntlid 1
id ver $((0x20000))
id oacs $((1 << 1 | 1 << 2 | 1 << 3)) # Format, Firmware, Namespace Management
id ctratt $((1 << 7))                 # Namespace Granularity
id oaes $((1 << 8))                   # Namespace Attribute Notices
id lpa 7                              # SMART of a namespace, Effects, Extended Data
id frmw $((3 << 1 | 1 << 4))          # three slots, activation without a reset
id fwug 1
id mtfa 10
id elpe 63
id sanicap 7 # cryptographic, block, overwrite
id nn 16
id fna 4
id sqes $((0x66))
id cqes $((0x44))
id tnvmcap $((256 << 20))
id unvmcap 0
id subnqn nqn.2026-01.org.nsmith:soft:W1
check "list-ns: one namespace" is "$(nsids)" "[1]"
check "list-ns --all: the same" is "$(nsids --all)" "[1]"
check "list-ctrl: one controller" has '[.ctrl_list[].ctrl_id]' "[1]" list-ctrl
check "list-ctrl -n 1: it has it" has '[.ctrl_list[].ctrl_id]' "[1]" list-ctrl -n 1
check "id-ns: the whole drive" has '[.nsze, .ncap, .nuse, .flbas, .nmic]' "[524288,524288,524288,0,0]" id-ns -n 1
check "id-ns: its LBA formats" has '[.lbafs[].ds]' "[9,12]" id-ns -n 1
check "id-ns-granularity: 1 MiB" has '[.["namespace-granularity-list"][0][]]' "[1048576,1048576]" id-ns-granularity
ids=$(json id-ns -n 1 | jq -c '[.eui64, .nguid]')
check "ns-descs: its identifiers are those of id-ns" has '[.["ns-descs"][] | .eui64 // .nguid // empty]' "$ids" ns-descs -n 1
check "id-ns of a namespace that is not there" has .nsze 0 id-ns -n 2 --force
check "id-ns of one that cannot be" refused 00b id-ns -n 17
check "the kernel has it too" node_is 1 "$((256 << 20)) 512"

say "Logs and features"
check "smart-log" has '[.critical_warning, .temperature, .avail_spare, .spare_thresh, .percent_used]' "[0,303,100,10,0]" smart-log
check "smart-log: nothing was written yet" has .data_units_written 0 smart-log
dd if=/dev/urandom of="${dev}n1" bs=512000 count=1 oflag=direct status=none
check "smart-log: 1000 blocks of 512 bytes are one data unit" has .data_units_written 1 smart-log
dd if=/dev/urandom of="${dev}n1" bs=512 count=1 oflag=direct status=none
check "smart-log: a block more is rounded up" has .data_units_written 2 smart-log
check "smart-log -n 1: of the namespace" has .data_units_written 2 smart-log -n 1
check "smart-log -n 2: of one that is not attached" refused 00b smart-log -n 2
check "fw-log: slot 1 is active" has '.[]["Active Firmware Slot (afi)"]' 1 fw-log
check "fw-log: its revision" has '.[]["Firmware Rev Slot 1"]' "$((0x3130305453524946)) (FIRST001)" fw-log
check "error-log: no errors, in as many entries as ELPE says" has '[.errors | length, (map(.error_count) | add)]' "[64,0]" error-log -e 64
nv effects-log -c 0 >"$work/effects"
effect() { check "effects-log: $1 $2" grep -qE "^ACS.*\[$1 *\] 0*$2\b" "$work/effects"; }
effect "Get Log Page" 1
effect Identify 1
effect Abort 1
effect "Asynchronous Event Request" 1
effect "Namespace Management" 9  # inventory changes
effect "Namespace Attachment" 9
effect "Firmware Commit" 11      # controller capabilities change
effect "Firmware Image Download" 1
effect "Format NVM" 10007        # content, namespace capabilities; no other command to the namespace
effect Sanitize 20003            # content; no other command at all
check "get-feature 1: arbitration has no limit" exits 0 "value:0x00000007" nv get-feature -f 1
check "get-feature 4: the threshold is WCTEMP" exits 0 "value:0x0+$(printf %x 343)$" nv get-feature -f 4
check "get-feature 7: queues" does get-feature -f 7
check "get-feature 0xb: the kernel wants Namespace Attribute Notices" exits 0 "value:0x00000100" nv get-feature -f 0xb
check "get-feature 0xf: the keep alive timer of nvme connect" exits 0 "value:0x0001d4c0" nv get-feature -f 0xf
check "set-feature 4, and back" sh -c "nvme set-feature $dev -f 4 -v 350 >/dev/null && nvme get-feature $dev -f 4 | grep -q 0x0000015e"
check "get-feature 6: there is no volatile write cache" refused 002 get-feature -f 6
check "get-feature of none" refused 002 get-feature -f 0x7f
check "get-log of none" refused 109 get-log -i 0x60 -l 512
check "sanitize-log: never" has '.[].sstat.status | .[0:3]' "(0)" sanitize-log
check "sanitize-log: something was written" has '.[].sstat.global_erased' 0 sanitize-log

say "Namespaces"
check "delete-ns of what is attached" refused 00c delete-ns -n 1
check "detach-ns" does detach-ns -n 1 -c 1
check "detach-ns twice" refused 11a detach-ns -n 1 -c 1
check "the kernel lost it, by an event" until_true 20 no_node 1
check "list-ns: none is active" is "$(nsids)" "[]"
check "list-ns --all: one is there" is "$(nsids --all)" "[1]"
check "list-ctrl -n 1: no controller has it" has .num_ctrl 0 list-ctrl -n 1
check "delete-ns" exits 0 "deleted nsid:1" nv delete-ns -n 1
check "delete-ns twice" refused 00b delete-ns -n 1
check "all is free" has .unvmcap "$((256 << 20))" id-ctrl
check "create-ns too big" refused 115 create-ns -s 526336 -c 526336 -f 0
check "create-ns off the granule" refused 002 create-ns -s 2049 -c 2049 -f 0
check "create-ns with less capacity than size" refused 11b create-ns -s 4096 -c 2048 -f 0
check "create-ns with an LBA format that is not there" refused 10a create-ns -s 131072 -c 131072 -f 7
check "create-ns of nothing" refused 002 create-ns -s 0 -c 0 -f 0
check "create-ns" exits 0 "created nsid:1" nv create-ns -s 131072 -c 131072 -f 0
check "create-ns of blocks of 4096 bytes" exits 0 "created nsid:2" nv create-ns -s 16384 -c 16384 -f 1
check "128 MiB are left" has .unvmcap "$((128 << 20))" id-ctrl
check "attach-ns to a controller that is not there" refused 11c attach-ns -n 1 -c 99
check "attach-ns of what is not there" refused 00b attach-ns -n 7 -c 1
check "format of what is not attached" refused 11a format -n 1 -s 1 -f
check "attach-ns" does attach-ns -n 1 -c 1
check "attach-ns twice" refused 118 attach-ns -n 1 -c 1
check "attach-ns of the other" does attach-ns -n 2 -c 1
check "the kernel has it, by an event" until_true 20 node_is 1 "$((64 << 20)) 512"
check "and the other" until_true 20 node_is 2 "$((64 << 20)) 4096"
check "no identifier comes back" test "$(json id-ns -n 1 | jq -c '[.eui64, .nguid]')" != "$ids"
check "id-ns: what it takes" has '[.nsze, .flbas, .nvmcap]' "[131072,0,\"$((64 << 20))\"]" id-ns -n 1

say "Format"
check "both are written" sh -c "dd if=$work/data of=${dev}n1 bs=1M oflag=direct status=none && dd if=$work/other of=${dev}n2 bs=1M oflag=direct status=none"
check "they are different" same 1 && check "and the other" same 2 other
check "format -s 1" does format -n 1 -s 1 -f
check "nothing is left" zeros 1
check "the neighbour is as it was" same 2 other
check "written again" put 1
check "format -s 2" does format -n 1 -s 2 -f
check "what is read is something else" differs 1
check "the neighbour is as it was" same 2 other
check "format -l 1" does format -n 1 -l 1 -f
check "id-ns: an eighth of the blocks" has '[.nsze, .flbas]' "[16384,1]" id-ns -n 1
check "the kernel knows" until_true 20 node_is 1 "$((64 << 20)) 4096"
check "format -l 0" does format -n 1 -l 0 -f
check "and again" until_true 20 node_is 1 "$((64 << 20)) 512"
check "format to an LBA format that is not there" refused 10a format -n 1 -l 9 -f
check "format with an erase that is not there" refused 002 admin-passthru --opcode=0x80 -n 1 --cdw10=$((5 << 9))
check "format of what is not there" refused 00b format -n 9 -s 1 -f
check "the neighbour is as it was" same 2 other

say "Sanitize Namespace (8Ch), which this nvme-cli has no name for"
sanitize_ns() { nv admin-passthru --opcode=0x8c "$@"; }
log81() { raw -i 0x81 -n "$1" -l 512; }
# SPROG 1:0, SSTAT 3:2, SCDW10 7:4, STNSID 47:44; little-endian
log81_is() { is "$(log81 "$1" | sed -E 's/^(....)(....)(........).{72}(........).*/\1 \2 \3 \4/')" "$2"; }
check "written again" put 1
check "log 81h of it: never" log81_is 1 "ffff 0000 00000000 01000000"
check "a block erase is none of its ways" refused 002 admin-passthru --opcode=0x8c -n 1 --cdw10=2
check "of what is not there" refused 00b admin-passthru --opcode=0x8c -n 9 --cdw10=4
check "begins" exits 0 Success sanitize_ns -n 1 --cdw10=4
check "log 81h: done" until_true 30 log81_is 1 "ffff 0100 04000000 01000000"
check "what is read is something else" differs 1
check "the neighbour is as it was" same 2 other

say "Sanitize"
status() { json sanitize-log | jq -rc '.[] | [.sstat.status[0:3], .cdw10_info, .sstat.global_erased, .sstat.no_cmplted_passes]'; }
status_is() { is "$(status)" "$1"; }
sanitized() { until_true 30 status_is "$1"; }
check "written again" put 1
check "an action that is not there" refused 002 admin-passthru --opcode=0x84 --cdw10=6
check "sanitize: block erase" does sanitize -a start-block-erase
check "sanitize-log: done, nothing written since" sanitized '["(1)",2,1,0]'
check "nothing is left of either" sh -c "cmp -n 1048576 ${dev}n1 /dev/zero && cmp -n 1048576 ${dev}n2 /dev/zero"
check "a write" put 1
check "is seen in the log" status_is '["(1)",2,0,0]'
check "sanitize: overwrite, twice" does sanitize -a start-overwrite -n 2 -p 0x5a5a5a5a
check "sanitize-log: two passes" sanitized '["(1)",35,1,2]'
check "written again" put 1
check "sanitize: cryptographic" does sanitize -a start-crypto-erase
check "sanitize-log: done" sanitized '["(1)",4,1,0]'
check "what is read is something else" differs 1
check "sanitize: exit failure mode" does sanitize -a exit-failure

say "Firmware, at once"
dev=/dev/$(controller W1)
image() { "$softnvme" --make-firmware "$1" "$work/$1.img" "${@:2}"; }
slots() { json fw-log | jq -rc '.[] | [.["Active Firmware Slot (afi)"]] + [to_entries[] | select(.key | test("Rev Slot")) | "\(.key[-1:])=\(.value | sub(".*\\("; "") | sub("[.]*\\)"; ""))"]'; }
slots_are() { is "$(slots)" "$1"; }
fr_is() { has '.fr | sub(" +$"; "")' "$1" id-ctrl; }
check "images are made" sh -c "for r in SECOND THIRD; do $softnvme --make-firmware \$r $work/\$r.img || exit 1; done"
check "fw-commit without a download" refused 107 fw-commit -s 2 -a 1
check "fw-download" exits 0 "success" nv fw-download -f "$work/SECOND.img"
check "fw-commit to a slot that is not there" refused 106 fw-commit -s 7 -a 0
check "fw-commit -a 0: into slot 2" does fw-commit -s 2 -a 0
check "fw-log: it is there, and not active" slots_are '[1,"1=FIRST001","2=SECOND"]'
check "fw-commit -a 2: after a reset" does fw-commit -s 2 -a 2
check "fw-log says so" slots_are '[33,"1=FIRST001","2=SECOND"]' # 2 << 4 | 1
check "id-ctrl: not yet" fr_is FIRST001
check "reset" does reset
check "the kernel is back" until_true 30 is_live "${dev##*/}"
check "id-ctrl: it runs" fr_is SECOND
check "fw-log: it is active" slots_are '[2,"1=FIRST001","2=SECOND"]'
check "fw-download in pieces of 16 KiB" exits 0 "success" nv fw-download -f "$work/THIRD.img" -x 16384
check "fw-commit -a 3: at once" does fw-commit -s 3 -a 3
check "id-ctrl: it runs" fr_is THIRD
check "fw-commit -a 3: what is in slot 1, at once" does fw-commit -s 1 -a 3
check "id-ctrl: it runs" fr_is FIRST001
head -c 65536 /dev/urandom >"$work/noise.img"
check "fw-download of noise" does fw-download -f "$work/noise.img"
check "fw-commit: it is no image" refused 107 fw-commit -s 2 -a 1
check "fw-log: slot 2 is as it was" slots_are '[1,"1=FIRST001","2=SECOND","3=THIRD"]'
check "a slot's number that cannot be" exits 1 "invalid slot" nv fw-commit -s 8 -a 2
piece() { nv admin-passthru --opcode=0x11 --cdw10=1023 --cdw11="$1" -l 4096 -w -i "$work/SECOND.img"; }
check "a piece by itself" exits 0 Success piece 2048
check "and the next" exits 0 Success piece 3072
check "one that overlaps" refused 114 admin-passthru --opcode=0x11 --cdw10=1023 --cdw11=3072 -l 4096 -w -i "$work/SECOND.img"
check "a piece off the granule" refused 002 admin-passthru --opcode=0x11 --cdw10=1023 --cdw11=512 -l 4096 -w -i "$work/SECOND.img"
check "a commit with a hole" refused 107 fw-commit -s 2 -a 1
check "its namespaces are still there" is "$(nsids)" "[1,2]"

say "Firmware that brings namespace management, after a reset of the controller"
dev=/dev/$(controller W2)
check "id-ctrl: Format and Firmware" has .oacs 6 id-ctrl
check "id-ctrl: two slots, the first read-only, a reset is needed" has .frmw 5 id-ctrl
check "create-ns: there is no such command" refused 001 create-ns -s 2048 -c 2048 -f 0
check "an image is made" image NEW00002 ns-management
check "fw-download" does fw-download -f "$work/NEW00002.img"
check "fw-commit into the slot that is read-only" refused 106 fw-commit -s 1 -a 1
check "fw-commit at once: committed, but it needs a reset of the controller" refused 111 fw-commit -s 2 -a 3
check "fw-log: slot 2 is next" slots_are '[33,"1=OLD00001","2=NEW00002"]'
check "id-ctrl: no namespace management yet" has .oacs 6 id-ctrl
check "reset" does reset
check "the kernel is back" until_true 30 is_live "${dev##*/}"
check "id-ctrl: it is there" has .oacs 14 id-ctrl
check "detach-ns" does detach-ns -n 1 -c 1
check "delete-ns" does delete-ns -n 1
check "create-ns" exits 0 "created nsid:1" nv create-ns -s 2048 -c 2048 -f 0

say "Firmware that needs a reset of the NVM subsystem"
dev=/dev/$(controller W3)
check "fw-download" does fw-download -f "$work/SECOND.img"
check "fw-commit: committed, but it needs a reset of the subsystem" refused 110 fw-commit -s 2 -a 1
check "reset" does reset
check "the kernel is back" until_true 30 is_live "${dev##*/}"
check "id-ctrl: it does not run" fr_is OLD00001
check "subsystem-reset" does subsystem-reset
check "id-ctrl: it runs, once the kernel is back" until_true 60 fr_is SECOND
check "the kernel has nothing to say" quiet_kernel

# ---- nsmith and nvme-cli -------------------------------------------------------------------------------------------

dev=/dev/$(controller N1)
cli_says() {
	local nsid
	{
		json id-ctrl
		json id-ns-granularity
		json smart-log
		json list-ns
		for nsid in $(nsids --all | jq '.[]'); do
			json id-ns -n "$nsid" --force | jq ". + {nsid: $nsid}"
			json list-ctrl -n "$nsid"
		done
	} | jq -Scs '
		def trim: sub(" +$"; "");
		def bit(n): (. / pow(2; n) | floor) % 2 == 1;
		.[0] as $id | .[1]["namespace-granularity-list"][0] as $granularity | .[2] as $smart | .[3] as $active |
		[$active.nsid_list[].nsid] as $attached | .[4:] as $rest |
		{
			serial: $id.sn | trim, model: $id.mn | trim, firmware: $id.fr | trim, nqn: $id.subnqn, vendor: $id.vid,
			cntlid: $id.cntlid, ns_management: $id.oacs | bit(3), format: $id.oacs | bit(1), fna: $id.fna, nn: $id.nn,
			crypto: $id.sanicap | bit(0), block: $id.sanicap | bit(1), over: $id.sanicap | bit(2),
			total: $id.tnvmcap | tonumber, free: $id.unvmcap | tonumber, write_zeroes: $id.oncs | bit(3), deallocate: $id.oncs | bit(2),
			nsg: $granularity["namespace-size-granularity"], ncg: $granularity["namespace-capacity-granularity"],
			temperature: $smart.temperature, spare: $smart.avail_spare, used: $smart.percent_used, warning: $smart.critical_warning,
			ns: [range(0; $rest | length; 2) | $rest[.] as $ns | $rest[. + 1] as $ctrls | {
				nsid: $ns.nsid, blocks: $ns.nsze, lbaf: $ns.flbas, block: pow(2; $ns.lbafs[$ns.flbas].ds), cost: $ns.nvmcap | tonumber,
				eui64: $ns.eui64, nguid: $ns.nguid, attached: ([$ns.nsid] | inside($attached)), by: [$ctrls.ctrl_list[]?.ctrl_id]}]
		}'
}
nsmith_says() {
	"$nsmith" drive show N1 --json | jq -Sc '
		.seen as $s | $s.caps as $c | $s.health as $h |
		{
			serial: $s.ident.serial, model: $s.ident.model, firmware: $s.firmware, nqn: $s.ident.nqn, vendor: $s.ident.vendor_id,
			cntlid: $c.cntlid, ns_management: $c.ns_management, format: $c.format, fna: $c.fna, nn: $c.nn,
			crypto: $c.sanitize_crypto, block: $c.sanitize_block, over: $c.sanitize_over,
			total: $c.total_bytes, free: $c.free_bytes, write_zeroes: $c.write_zeroes, deallocate: $c.deallocate,
			nsg: $c.nsg_bytes, ncg: $c.ncg_bytes,
			temperature: $h.temperature_k, spare: $h.spare_percent, used: $h.used_percent, warning: $h.critical_warning,
			ns: [$s.ns[] | {
				nsid, blocks: .size_blocks, lbaf, block: .block_bytes, cost: .nvmcap_bytes, eui64, nguid, attached,
				by: (if .attached then [$c.cntlid] else [] end)}]
		}'
}
agree() {
	local end=$((SECONDS + 60)) cli ours
	while :; do # nsmith says what its last look saw
		cli=$(cli_says) ours=$(nsmith_says)
		[ -n "$cli" ] && [ "$cli" = "$ours" ] && return
		((SECONDS < end)) || { diff <(jq . <<<"$cli") <(jq . <<<"$ours"); return 1; }
		sleep 2
	done
}

say "nsmith, and nvme-cli beside it"
check "the agent is there" agent_on_kernel
check "it sees the drive" until_true 60 drive_seen N1
check "a drive as it came: both say the same" agree
class_small
check "adopted" exits 0 "" "$nsmith" drive adopt N1 --class small --yes --serial=N1 --timeout 300
check "four slices are free" is "$(slice_count '.state == "free"')" 4
check "after adoption both say the same" agree
check "list-ns --all: as many as slices" is "$(nsids --all | jq length)" 4
check "no space is left" has .unvmcap 0 id-ctrl
check "claimed" claim c1 2
check "after a claim both say the same" agree
for slice in $(claim_slices c1); do
	path=$(slice_link "$slice")
	nsid=$(api GET "/v1/slices/$slice" | jq .nsid)
	check "its path leads to the namespace that nvme-cli calls $nsid" is "$(nvme get-ns-id "$(readlink -f "$path")" | sed 's/.*namespace-id://')" "$nsid"
	check "of the size that nsmith says" is "$(blockdev --getsize64 "$path")" "$(api GET "/v1/slices/$slice" | jq .size_bytes)"
	dd if="$work/data" of="$path" bs=1M oflag=direct status=none
	node=$(readlink -f "$path")
done
api DELETE /v1/claims/c1 >/dev/null
check "released" wait_for 300 idle
check "four slices are free" is "$(slice_count '.state == "free"')" 4
check "after the erase both say the same" agree
check "it was by sanitize-namespace" is "$("$nsmith" erasure ls --slice "$slice" --json | jq -r '.items[0].method')" sanitize-namespace
check "nvme-cli reads that in log 81h: done, cryptographic" log81_is "$nsid" "ffff 0100 04000000 $(printf '%02x000000' "$nsid")"
check "the data is gone" exits 1 "" cmp -s -n 1048576 "$node" "$work/data"
check "the kernel has nothing to say" quiet_kernel

say "An erase that takes a day"
dev=/dev/$(controller W4)
check "of one namespace: begins" exits 0 Success sanitize_ns -n 1 --cdw10=4
check "log 81h: it runs" exits 0 '^....02000400000' log81 1
check "another has to wait" refused 02c admin-passthru --opcode=0x8c -n 1 --cdw10=4
check "so has a format" refused 02c format -n 1 -s 1 -f
check "and what reads it" exits 1 "" nv read -n 1 -s 0 -c 0 -z 512
dev=/dev/$(controller W5)
check "of the drive: begins" does sanitize -a start-block-erase
check "sanitize-log: it runs" exits 0 '^."\(2\)",2,' status
check "another has to wait" refused 01d sanitize -a 2
check "so has a format" refused 01d format -n 1 -s 1 -f
check "so has create-ns" refused 01d create-ns -s 131072 -c 131072 -f 0
check "so has detach-ns" refused 01d detach-ns -n 1 -c 1
check "so has fw-commit" refused 01d fw-commit -s 1 -a 2
check "so has fw-download" refused 01d admin-passthru --opcode=0x11 --cdw10=1023 -l 4096 -w -i "$work/data"
check "id-ctrl, smart-log and get-feature need not" sh -c "nvme id-ctrl $dev && nvme smart-log $dev && nvme get-feature $dev -f 1"

finish
