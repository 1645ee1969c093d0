# shellcheck shell=bash disable=SC2034,SC2154,SC2164
# lib.sh - what the tests t_*.sh of test/host share: each starts a host of test/host/run and goes on inside it, with the
# programs of test/e2e/lib.sh and the kernel's own NVMe driver. Sourced by bash; wants $top.
#
#   NSMITH_BUILD         programs under test, default build/demo
#   NSMITH_HOST_KERNEL   default cloud; see test/host/run
# Logs are in build/e2e/NAME.out afterwards.
. "$top/test/e2e/lib.sh"
patience=6 pause=0.2 # the CPU is an emulated one: it waits longer, and asks less

# in_host NAME [OPTION of test/host/run...] [-- ARGUMENT...]: outside, the rest of the script runs in a host that shares
# the folder $out; inside, a run of its own begins. The script's ARGUMENTs go with it.
in_host() {
	local options=()
	name=$1
	shift
	out=$top/build/e2e/$name.out
	if [ "${NSMITH_HOST-}" = 1 ]; then
		begin "$name"
		agent_drives=() host_name=bed
		trap 'end_all; logs_out' EXIT
		PATH=$top/test/host:$PATH
		return
	fi
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	export NSMITH_BUILD=${NSMITH_BUILD:-$top/build/demo}
	[ -x "$NSMITH_BUILD/src/agent/nsmith-agent" ] || { echo "$name: no programs in $NSMITH_BUILD; meson setup, ninja" >&2; exit 1; }
	rm -rf "$out"
	mkdir -p "$out"
	exec "$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -w "$out" -l "$out/console" "${options[@]}" -- \
		env NSMITH_BUILD="$NSMITH_BUILD" bash "$(readlink -f "$0")" "$@"
}

logs_out() {
	cp "$work"/*.log "$out/" 2>/dev/null
	dmesg >"$out/dmesg"
}

# ---- software drives on the kernel's driver, by NVMe/TCP -----------------------------------------------------------

# The profiles tiny*, made still smaller, so that every byte of them can be compared again and again: seven slices of
# 4 MiB a drive, and blocks that a guest's firmware knows too.
small_profiles() {
	local file
	profiles=$work/profiles
	mkdir -p "$profiles"
	for file in "$top"/share/profiles/tiny*.conf; do
		sed 's/512MiB/28MiB/; s/^nn = 16/nn = 8/; /^lba_format/d' "$file" >"$profiles/${file##*/}"
		echo 'lba_format = 512' >>"$profiles/${file##*/}"
	done
}
class_4m() { api PUT /v1/classes/4M '{"nominal_bytes": 4194304, "tolerance_ppm": 0}' >/dev/null; }

# fabric_start SERIAL=PROFILE...: drives that can be connected.
fabric_start() {
	modprobe -qa nvme_tcp || { echo "the kernel has no nvme_tcp"; return 1; }
	softnvme_more=(--tcp 127.0.0.1:4420)
	drives_start "$@"
}

# connect SERIAL...: they get the first free names, in this order.
connect() {
	local serial
	for serial; do
		nvme connect -t tcp -a 127.0.0.1 -s 4420 -n "nqn.2026-01.org.nsmith:soft:$serial" --reconnect-delay=1 \
			--ctrl-loss-tmo=600 --keep-alive-tmo=600 >/dev/null && until_true 10 controller "$serial" || return 1
	done
}
# disconnect SERIAL...: as if pulled, all commands under way come back as aborted.
disconnect() {
	local serial at
	for serial; do
		at=$(controller "$serial") || return 1
		echo 1 >"/sys/class/nvme/$at/delete_controller"
	done
}

# changes SERIAL: the commands that it got and that change something; a host sets a feature or two when it connects.
changes() { drives_ctl log "$1" | grep -v '  set-features ' || :; }

# ---- what the kernel says ------------------------------------------------------------------------------------------

controller() { # serial: nvmeN
	local file serial
	for file in /sys/class/nvme/*/serial; do
		read -r serial 2>/dev/null <"$file" || continue
		[ "$serial" != "$1" ] || { file=${file%/serial} && echo "${file##*/}" && return; }
	done
	return 1
}
node() { # serial nsid: /dev/nvmeXnY
	local folder serial nsid
	for folder in /sys/class/block/nvme*; do
		case ${folder##*/} in *c*n* | *p*) continue ;; esac
		read -r serial 2>/dev/null <"$folder/device/serial" && read -r nsid 2>/dev/null <"$folder/nsid" || continue
		[ "$serial/$nsid" != "$1/$2" ] || { echo "/dev/${folder##*/}"; return; }
	done
	return 1
}
# whose PATH: "serial/nsid" of the namespace that it leads to now.
whose() {
	local number at serial nsid
	number=$(stat -Lc '%Hr:%Lr' "$1") && at=/sys/dev/block/$number && [ -e "$at" ] || { echo nobody; return; }
	read -r serial <"$at/device/serial" && read -r nsid <"$at/nsid" && echo "$serial/$nsid"
}
slice_at() { api GET "/v1/slices/$1" | jq -r '"\(.drive)/\(.nsid)"'; } # the same, as nsmith says

# ---- what is in the media, past all of our programs and the kernel ---------------------------------------------------

medium() { echo "$work/drives/${1%/*}/ns/${1#*/}"; } # of serial/nsid
