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
drives_start H1=tiny
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

finish
