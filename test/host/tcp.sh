# shellcheck shell=bash disable=SC2034,SC2154
# tcp.sh - software drives that the host's kernel has over NVMe/TCP, from a process in the same host. Sourced behind
# lib.sh, inside a host of test/host/run.

address=127.0.0.1 tcp_port=4420

# tcp_start FOLDER SERIAL=PROFILE...: drives of the profiles in FOLDER, connected.
tcp_start() {
	local folder=$1 add args=()
	shift
	for add in "$@"; do args+=(--add "$add"); done
	"$softnvme" --dir "$work/drives" --socket "$socket" --tcp $address:$tcp_port --profiles "$folder" "${args[@]}" \
		>>"$work/softnvme.log" 2>&1 &
	softnvme_pid=$!
	until_true 20 "$softnvme" --ctl "$socket" ls || return 1
	modprobe -q nvme_tcp
	# An emulated host may be slow: the keep alive timer is not what is tested.
	nvme connect-all -t tcp -a $address -s $tcp_port --reconnect-delay=1 --keep-alive-tmo=120
	for add in "$@"; do until_true 20 controller "${add%%=*}" || return 1; done
}

# As until_true, but gentler: for what takes long, and asks the emulated CPU.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "never true: $*"; return 1; }
		sleep 2
	done
}

controller() { # serial: nvmeN, as the kernel has it
	local file
	for file in /sys/class/nvme/*/serial; do
		[ "$(tr -d ' ' <"$file" 2>/dev/null)" != "$1" ] || { basename "${file%/serial}"; return; }
	done
	return 1
}
is_live() { [ "$(cat "/sys/class/nvme/$1/state")" = live ]; }
quiet_kernel() { ! dmesg | grep -E 'nvme.*(timeout|fail)|I/O error'; }

# agent_on_kernel: nsmithd, and an agent on the kernel's drives.
agent_on_kernel() {
	server_start
	"$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --virt "$virt" --host bed >"$work/agent.log" 2>&1 &
	agent_child=$!
	until_true 20 grep -q ' registered ' "$work/agent.log"
}
