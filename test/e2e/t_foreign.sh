#!/bin/bash
# t_foreign - somebody else's data is not touched: every kind of foreign_zoo.sh, on a drive of its own, is refused by the
# agent's fresh look (it was written after the drive had been seen blank, and its adoption wanted), by the server, and
# by a rule that matches everything. Then drives that others use, that cannot be read, or that are not blank as a whole.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
begin t_foreign
all=$work size=$((512 << 20)) by_one=()
. "$top/test/e2e/foreign_zoo.sh"
mkdir "$all/rules"
printf '%s\n' '[match]' 'model = *' '[adopt]' 'class = small' >"$all/rules/all.conf"

changes() { drives_ctl log "$1" | grep -E '  (create|delete|attach|detach|format|sanitize[a-z-]*|write[a-z-]*|deallocate|flush) ' || :; }
medium() { echo "$work/drives/$1/ns/1"; }
written() { stat -c '%y %s' "$(medium "$1")"; }
# look: what the server says of all drives, once for all; drive_json SERIAL: of one, as it was then.
look() { api GET /v1/drives >"$all/look.json"; }
drive_json() { jq -c --arg serial "$1" '.items[] | select(.serial == $serial)' "$all/look.json"; }
all_judged() { look && jq -e '.items | all(.adopt != "checking" and .adopt != "cutting")' "$all/look.json" >/dev/null; }
judged() { until_true 120 all_judged; }

# found SERIAL: which of the three checks of src/probe found something, in the order u s b; o: it could not
# even be opened alone; ?: something else.
found() {
	drive_json "$1" | jq -r '[.foreign[] |
		if (.what | test("^is (mounted|used to swap|held|open in)")) then "u"
		elif (.detail | test("^partition table ")) or .what == "holds a signature" then "s"
		elif .what == "holds data of unknown kind" or (.detail | test("^cannot read at byte")) then "b"
		elif (.detail | test("places of signatures|look for signatures")) then "s"
		elif (.detail | test("^cannot open .*: it is in use")) then "o" else "?" end] | unique | join("") |
		(if test("u") then "u" else "" end) + (if test("s") then "s" else "" end) + (if test("b") then "b" else "" end) +
		(if test("o") then "o" else "" end) + (if test("[?]") then "?" else "" end)'
}

# refused SERIAL CHECKS: by the host, with the reason; nothing was changed.
refused() {
	is "$(drive_json "$1" | jq -r .adopt)" refused || return 1
	is "$(found "$1")" "$2" || { drive_json "$1" | jq -c .foreign; return 1; }
	drive_json "$1" | jq -e '.why | startswith("the drive ")' >/dev/null || { drive_json "$1" | jq .why; return 1; }
	is "$(changes "$1")" "" && is "$(written "$1")" "${before[$1]}"
}
declare -A before

# fresh FOLDER [SERIAL=PROFILE...]: a host of its own, with these drives, all seen and blank.
fresh() {
	end_all
	unset NSMITH_RUN_DIR NSMITH_STATE_DIR
	setup_run "$all/$1"
	api_socket=$NSMITH_RUN_DIR/nsmithd.sock
	drives_start "${@:2}"
	server_start
	agent_start
	class_small
	until_true 120 all_seen $(($# - 1))
}
all_seen() { is "$(api GET /v1/drives | jq '.items | length')" "$1"; }
want() { api POST "/v1/drives/$1/adopt" "{\"class\": \"small\", \"confirm\": \"$1\"${2:+, $2}}" >/dev/null; }
by_rule() { # a rule that matches all adopts none
	agent_stop
	agent_start --adopt-dir "$all/rules"
	until_true 120 looked_at && is "$(api GET /v1/drives | jq -c '[.items[] | select(.adopt != "available" and .adopt != "refused") | .serial]')" "[]"
}
looked_at() { api GET /v1/drives | jq -e '.items | all(.rule_why // "" | test("^rule .all. matches, but"))' >/dev/null; }

# batch FROM COUNT: these cases of the zoo, on one host.
batch() {
	local i args=()
	for ((i = $1; i < $1 + $2; i++)); do args+=("Z$i=tiny"); done
	fresh "zoo-$1" "${args[@]}"
	for ((i = $1; i < $1 + $2; i++)); do
		m=$(medium "Z$i")
		eval "${zoo_cmds[i]}" >"$all/tool.log" 2>&1 || { not_ok "${zoo_names[i]}: cannot be made"; cat "$all/tool.log"; }
		truncate -s "$size" "$m"
		before[Z$i]=$(written "Z$i")
	done
	for ((i = $1; i < $1 + $2; i++)); do want "Z$i" || not_ok "${zoo_names[i]}: it was seen blank, so it can be wanted"; done
	judged
	for ((i = $1; i < $1 + $2; i++)); do
		check "${zoo_names[i]}: refused, found by ${zoo_checks[i]}" refused "Z$i" "${zoo_checks[i]}"
		[ "${#zoo_checks[i]}" != 1 ] || by_one+=("${zoo_names[i]}")
	done
	check "once it is known, the server refuses it too" exits 8 "cannot adopt drive 'Z$1'" "$nsmith" drive adopt "Z$1" --class small --dry-run
	check "none of these $2 is adopted by a rule that matches all" by_rule
	for ((i = $1; i < $1 + $2; i++)); do [ -z "$(changes "Z$i")" ] || not_ok "${zoo_names[i]}: changed"; done
	rm -rf "$all/zoo-$1/drives"
}

say "Data: ${#zoo_names[@]} kinds"
for ((first = 0; first < ${#zoo_names[@]}; first += 30)); do
	left=$((${#zoo_names[@]} - first))
	batch $first $((left < 30 ? left : 30))
done

say "What is not foreign: the test can fail"
fresh blank ZEROS=tiny ONES=tiny MIXED=tiny
head -c $size /dev/zero | tr '\0' '\377' >"$(medium ONES)"
head -c 512 /dev/zero | tr '\0' '\377' | dd of="$(medium MIXED)" bs=512 seek=7 conv=notrunc status=none
for serial in ZEROS ONES MIXED; do check "$serial is blank, and adopted" adopt $serial; done

say "Drives that somebody uses, or that cannot be read"
fresh used READ=tiny WRITE=tiny LOCK=tiny NBD=tiny FAULT=tiny CLIENT=tiny-no-nsmgmt
python3 -c 'import sys,time; f=open(sys.argv[1],"rb"); print("open", flush=True); time.sleep(600)' "$(medium READ)" >"$all/open" & openers=($!)
python3 -c 'import sys,time; f=open(sys.argv[1],"r+b"); time.sleep(600)' "$(medium WRITE)" & openers+=($!)
python3 -c 'import sys,time,fcntl; f=open(sys.argv[1],"r+b"); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)' "$(medium LOCK)" & openers+=($!)
qemu-nbd -f raw -k "$all/nbd.sock" -t "$(medium NBD)" & openers+=($!)
stop_openers() { kill "${openers[@]}" 2>/dev/null; wait "${openers[@]}" 2>/dev/null; }
trap 'stop_openers; end_all' EXIT
has_open() { find "/proc/$1/fd" -lname "$2" | grep -q .; }
n=0
for serial in READ WRITE LOCK NBD; do until_true 20 has_open "${openers[n]}" "$(medium $serial)" && n=$((n + 1)); done
for use in READ=u WRITE=u NBD=u LOCK=o; do
	serial=${use%=*}
	before[$serial]=$(written $serial)
	want $serial
	judged
	check "$serial: open in another program, refused" refused $serial "${use#*=}"
done
stop_openers
trap end_all EXIT
mkfs.ext4 -qF "$(medium CLIENT)"
before[CLIENT]=$(written CLIENT)
want CLIENT '"provider": "whole"'
judged
check "a file system on a drive that would be one slice as a whole" refused CLIENT sb
chmod 000 "$(medium FAULT)" && mv "$(medium FAULT)" "$all/away" && mkdir "$(medium FAULT)"
want FAULT
judged
check "what cannot be read is not blank" exits 8 "cannot be read|cannot open|another device|neither" "$nsmith" drive adopt FAULT --class small --dry-run
check "... refused, and nothing was changed" is "$(changes FAULT)" ""

say "A drive that another nsmith has cut"
fresh other CUT=tiny-user
check "another host adopts it" adopt CUT
claim there 1
slice=$(claim_slices there)
nsid=$(api GET "/v1/slices/$slice" | jq .nsid)
tag_write "$(slice_link "$slice")" "somebody's"
agent_stop
server_stop
rm -rf "${NSMITH_STATE_DIR:?}" && mkdir "$NSMITH_STATE_DIR"
server_start
agent_start
class_small
until_true 20 drive_seen CUT
log=$(changes CUT | wc -l)
check "eight namespaces, of which one holds data: refused" exits 8 "holds data of unknown kind" "$nsmith" drive adopt CUT --class small --dry-run
look
check "the namespace is named" is "$(drive_json CUT | jq -c '[.foreign[].nsid] | unique')" "[$nsid]"
check "a rule takes it neither" by_rule
check "nothing was changed" is "$(changes CUT | wc -l)" "$log"

note "found by one check alone (no signature that libblkid knows): ${#by_one[@]}"
printf '     %s\n' "${by_one[@]}"
finish
