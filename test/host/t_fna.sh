#!/bin/bash
# t_fna - an erase of one slice never changes another, whatever the drive says of its Format (Identify Controller, FNA).
#
#   test/host/t_fna.sh
#
#   NSMITH_BUILD         programs under test, default build/demo
#   NSMITH_HOST_KERNEL   default cloud; see test/host/run
# Logs are in build/e2e/t_fna.out afterwards.
#
# 32 drives in one host, over NVMe/TCP: all values of FNA's defined bits, without and with its reserved bits. Each drive
# does what its FNA says: with bit 0 any format, with bit 1 any secure erase, hits all of its namespaces. Two slices
# each: one is released, and so erased by the agent; every block of the other was tagged, and is compared. Nothing here
# is in a hurry: under emulation, on a machine that does other things too, it takes from some minutes to half an hour.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
out=$top/build/e2e/t_fna.out

if [ "${NSMITH_HOST-}" != 1 ]; then
	rm -rf "$out"
	mkdir -p "$out"
	exec "$top/test/host/run" -k "${NSMITH_HOST_KERNEL:-cloud}" -m 1536 -t 3000 -w "$out" -l "$out/console" -- \
		env NSMITH_BUILD="${NSMITH_BUILD:-$top/build/demo}" bash "$(readlink -f "$0")"
fi

# shellcheck source=test/e2e/lib.sh
. "$top/test/e2e/lib.sh"
# shellcheck source=test/host/tcp.sh
. "$top/test/host/tcp.sh"
begin t_fna
trap 'end_all; dmesg >"$work/dmesg.log"; cp "$work"/*.log "$out/"' EXIT
block_tags=$build/test/block_tags

fnas=()
for high in 0 f; do for low in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do fnas+=("$high$low"); done; done
mkdir -p "$work/profiles"
for fna in "${fnas[@]}"; do
	cat >"$work/profiles/fna-$fna.conf" <<-END
		# FNA $fna
		model = SOFT FNA $fna
		capacity = 8MiB
		nn = 8
		granularity = 1MiB
		fna = 0x$fna
	END
done

method() { # fna: what docs/architecture.md demands
	local bits=$((0x$1))
	if ((bits & 3)); then echo overwrite; elif ((bits & 4)); then echo format-crypto; else echo format-user-data; fi
}
erased_by() { # slice: method and verdict of its last erasure
	api GET "/v1/erasures/$(api GET "/v1/slices/$1" | jq -r .erasure)" | jq -r '.erasure | "\(.method) \(.verdict)"'
}
tag() { # claim: every block of its slice
	local slice
	slice=$(claim_slices "$1")
	"$block_tags" write "$1 $slice" "$(slice_link "$slice")"
}
kept() { # claim
	local slice
	slice=$(claim_slices "$1")
	"$block_tags" check "$1 $slice" "$(slice_link "$slice")"
}

say "32 drives"
drives=()
for fna in "${fnas[@]}"; do drives+=("F-$fna=fna-$fna"); done
check "they are connected" tcp_start "$work/profiles" "${drives[@]}"
fna_of() { printf '%02x' "$(nvme id-ctrl "/dev/$(controller "F-$1")" -o json | jq .fna)"; }
for fna in "${fnas[@]}"; do fna_of "$fna"; done >"$work/fna"
check "nvme-cli reads every value of FNA" is "$(<"$work/fna")" "$(printf '%s' "${fnas[@]}")"
check "the agent is there" agent_on_kernel
# shellcheck disable=SC2317 # by check
all_seen() { [ "$("$nsmith" drive ls --json | jq '.items | length')" = 32 ]; }
check "it sees them" wait_for 300 all_seen
for fna in "${fnas[@]}"; do
	api PUT "/v1/classes/f$fna" '{"nominal_bytes": 4194304}' >/dev/null
	api POST "/v1/drives/F-$fna/adopt" "{\"class\": \"f$fna\", \"confirm\": \"F-$fna\"}" >/dev/null
done
check "each is cut into two slices, and has erased them" wait_for 1500 idle
check "64 slices are free" is "$(slice_count '.state == "free" and .erasure != null')" 64

say "Every block is tagged"
claim_one() { api POST /v1/claims "{\"id\": \"$1-$2\", \"class\": \"f$2\", \"slices\": 1}" >/dev/null; }
for fna in "${fnas[@]}"; do { claim_one keep "$fna" && claim_one give "$fna"; } || not_ok "claims on F-$fna"; done
check "all slices are claimed" wait_for 300 idle
for fna in "${fnas[@]}"; do { tag "keep-$fna" && tag "give-$fna"; } || not_ok "tags on F-$fna"; done
for fna in "${fnas[@]}"; do
	slice=$(claim_slices "give-$fna")
	echo "$slice" >"$work/give-$fna"
	readlink -f "$(slice_link "$slice")" >"$work/node-$fna"
done

say "One of two is given back"
for fna in "${fnas[@]}"; do api DELETE "/v1/claims/give-$fna" >/dev/null; done
check "all 32 are erased" wait_for 1500 idle
for fna in "${fnas[@]}"; do
	read -r slice <"$work/give-$fna"
	read -r node <"$work/node-$fna"
	check "FNA $fna: erased by $(method "$fna")" is "$(erased_by "$slice")" "$(method "$fna") verified"
	check "FNA $fna: no block of it is left" "$block_tags" none "give-$fna $slice" "$node"
	check "FNA $fna: every block of its neighbour is" kept "keep-$fna"
done
for fna in "${fnas[@]}"; do drives_ctl log "F-$fna"; done >"$work/commands"
check "no command was for all namespaces" is "$(grep -c 'nsid=4294967295' "$work/commands")" 0

say "The drives are what they say: had the agent sent a Format, it would have been seen"
format_hits() { # fna ses: whether a Format of the free slice changes its neighbours
	local node
	read -r node <"$work/node-$1"
	nvme format "$node" -s "$2" -f >/dev/null && if kept "keep-$1" >/dev/null; then echo no; else echo yes; fi
}
check "FNA 00: a secure erase hits one" is "$(format_hits 00 1)" no
check "FNA f8: and with reserved bits" is "$(format_hits f8 1)" no
check "FNA 02: it hits all" is "$(format_hits 02 1)" yes
check "FNA f1: and with bit 0 too" is "$(format_hits f1 1)" yes
check "FNA 06: so does a cryptographic one" is "$(format_hits 06 2)" yes
check "the kernel has nothing to say" quiet_kernel
finish
