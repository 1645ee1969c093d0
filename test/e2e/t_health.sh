#!/usr/bin/env bash
# t_health.sh - the real programs: a drive in bad health, or at a person's word, gets no new tenants and keeps its old
# ones; what tenants wrote is told; a drive whose erase hits neighbours is found out before it has a tenant.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
. "$top/test/e2e/lib.sh"
begin t_health

drive_json() { api GET "/v1/drives/$1" | jq -r "$2"; }
drive_has() { [ "$(drive_json "$1" "$2")" = "$3" ] || { echo "got '$(drive_json "$1" "$2")', want '$3'"; return 1; }; }
# The agent looks at its drives when it starts, so a test need not wait for the next look.
look() { agent_stop; agent_start; until_true 20 drive_has "$@"; }
full() { exits 5 "$1" "$nsmith" claim create --class small --slices 1; }

say "one drive, two slices of a tenant"
drives_start H1=tiny H2=tiny-hits-all H3=tiny-format
server_start
agent_start
class_small
check "a drive is adopted" adopt H1
check "its health is told: ok" drive_has H1 .health.level ok
check "a claim has two slices" claim first 2

say "a person"
check "a dry run of drain changes nothing" eval '"$nsmith" drive drain H1 --dry-run --reason fan && drive_has H1 .drained null'
check "a person drains it" "$nsmith" drive drain H1 --reason "the fan is loud"
check "the reason and who are shown" drive_has H1 .drained.why "by a person: the fan is loud"
check "and in the table" eval '"$nsmith" drive ls | grep -q "drained.*by a person: the fan is loud"'
check "and in the status" eval '"$nsmith" status | grep -q "drive H1 is drained: by a person"'
check "a claim is refused, and the slices are counted" full "[0-9] more on drained drives"
server_stop KILL
server_start
check "the word survives the server's death" drive_has H1 .drained.by_person true
check "the tenant keeps its slices" claim_is first ready
check "what it lets go is erased" release first
check "and not given out" full "on drained drives"
check "it is resumed" "$nsmith" drive resume H1
check "twice is a conflict" exits 4 "not drained" "$nsmith" drive resume H1
check "and given out" claim second 1

say "health"
drives_ctl health H1 used=101 temperature=45
check "a worn drive is drained" look H1 .drained.by_health true
check "with its reason" drive_has H1 .drained.why "by its health: it is worn out (101 % used)"
check "a claim is refused" full "on drained drives"
check "a person cannot resume that away in passing" exits 8 "worn out" "$nsmith" drive resume H1
check "but by saying so" "$nsmith" drive resume H1 --despite-health
check "then it is given out" claim third 1
drives_ctl health H1 warning=8
check "a new reason drains it again" look H1 .drained.why "by its health: critical warning bit 3: the media is read-only"
drives_ctl health H1 warning=0 used=3
check "good health serves" look H1 .drained null

say "limits"
server_stop
printf '[health]\nused_drain_percent = 3\n' >"$work/nsmithd.conf"
server_start --config "$work/nsmithd.conf"
until_true 10 drive_seen H1
check "another limit counts at once" drive_has H1 .drained.why "by its health: it is worn out (3 % used)"
server_stop
printf '[health]\nused_drain_percnt = 3\n' >"$work/wrong.conf"
check "a wrong key is refused with the nearest" exits 2 "used_drain_percent" "$nsmithd" --state "$NSMITH_STATE_DIR" \
	--run "$NSMITH_RUN_DIR" --config "$work/wrong.conf"
server_start

say "wear of a claim"
slice=$(claim_slices third)
wrote() { [ "$(api GET /v1/claims/third | jq -r '.wear[0].units_written')" = "$1" ]; }
drives_ctl health H1 written=5000 used=4
agent_stop
agent_start
check "claim show tells what was written since" until_true 20 wrote 5000
check "and that it is the whole drive's count" eval '"$nsmith" claim show third | grep -q "whole drive, shared by"'
check "it is released" release third
erasure=$(api GET "/v1/slices/$slice" | jq -r .erasure)
check "the record of the erase has both readings" eval 'api GET "/v1/erasures/$erasure" |
	jq -e ".erasure.wear_back.units_written - .erasure.wear_out.units_written == 5000 and .erasure.wear_back.used_percent == 4"'
check "its certificate is good" "$nsmith" erasure verify "$erasure"
check "erasure show says it" eval '"$nsmith" erasure show "$erasure" | grep -q "2.5.*GB.*whole drive"'

say "a drive whose erase hits all namespaces, although it says that it does not"
at_fault() { drive_is H2 fault; }
api POST /v1/drives/H2/adopt '{"class": "small", "confirm": "H2"}' >/dev/null
check "is found out before anybody has a slice of it" until_true 30 at_fault
check "and why is told" drive_has H2 '.why | test("erased another, although the drive says that it does not .FNA 04h")' true
"$nsmith" drive drain H1 >/dev/null # nothing else has room
check "nothing of it is given out" full "most 0; 7 more on drained drives"
check "the status says what to do" eval '"$nsmith" status | grep -q "nsmith drive retry H2"'
free_on() { api GET "/v1/slices?drive=$1&state=free" | jq '.items | length'; }
all_free() { [ "$(free_on H2)" = "$(api GET "/v1/slices?drive=H2" | jq '.items | length')" ]; }
check "its slices are overwritten, one by one" until_true 60 all_free
check "no retry of a drive that is well" exits 4 "not at fault" "$nsmith" drive retry H1
check "a person takes it all the same" "$nsmith" drive retry H2
check "then it is used" until_true 20 drive_is H2 adopted
check "two tenants have slices of it" eval 'claim one 1 && claim two 2'
tags_write one
tags_write two
check "one is released, and erased" release one
check "the other's data is there" tags_are two
overwritten() { "$nsmith" erasure ls --json | jq -e 'last(.items | sort_by(.seq)[]) | .method == "overwrite" and .verdict == "verified"'; }
check "for it was overwritten" overwritten
check "a drive that keeps its word is adopted" adopt H3
by_format() { api GET /v1/erasures | jq -e '[.items[] | select(.drive.serial == "H3") | .method] | unique == ["format-crypto"]'; }
check "and formatted" by_format

finish
