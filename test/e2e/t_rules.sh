#!/bin/bash
# t_rules - drives adopted without a person: only what a rule of the host names, only blank ones, and never by halves.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
begin t_rules
rules=$work/adopt.d
mkdir "$rules"
# rule NAME LINE...: writes a rule
rule() { printf '%s\n' "${@:2}" >"$rules/$1.conf"; }
# try: the dry run, its lines without the header
try() { "$agent" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --softnvme "$socket" --host e2e --adopt-dir "$rules" --adopt-dry-run; }
tried() { try | grep -E "^$1 " | grep -qE -- "$2" || { try; return 1; }; }
rule_of() { api GET "/v1/drives/$1" | jq -r '.rule // "none"'; }
why_of() { api GET "/v1/drives/$1" | jq -r '.rule_why // ""'; }
why_has() { why_of "$1" | grep -qF -- "$2" || { why_of "$1"; return 1; }; }

drives_start A1=tiny A2=tiny A3=tiny A4=tiny B1=tiny-user FULL=tiny OTHER=tiny-slow W1=tiny-no-nsmgmt
dd if=/dev/urandom of="$(ls "$work"/drives/FULL/ns/*)" bs=4096 count=1 seek=700 conv=notrunc status=none

say "Rules, and what they would do"
rule 10-keep '[match]' 'serial = A4' '[adopt]' 'adopt = no'
rule 20-some '[match]' 'serial = A?' 'size_min = 100MB' '[adopt]' 'class = small' 'max_drives = 2'
rule 30-full '[match]' 'serial = FULL' '[adopt]' 'class = small'
rule 40-user '[match]' 'serial = B*' '[adopt]' 'class = later'
rule 50-whole '[match]' 'serial = W1' '[adopt]' 'as = whole' 'class = small'
check "dry run: the first two that match" tried A2 "would be adopted by rule '20-some': namespace, class small"
check "... not the third: the rule has its two" tried A3 "left alone: rule '20-some' has its 2 drives already"
check "... an earlier rule excludes" tried A4 "left alone: rule '10-keep' leaves it alone"
check "... data on a drive is said, and what" tried FULL "left alone: rule '30-full' matches, but the drive holds data of unknown kind: byte"
check "... what no rule names" tried OTHER "left alone: no rule matches it"
check "... as a whole" tried W1 "would be adopted by rule '50-whole': whole, class small"
check "a dry run makes no state" is "$(ls "$NSMITH_STATE_DIR")" ""
check "... and changes no drive" is "$(for d in A1 FULL W1; do drives_ctl log "$d"; done | grep -cE 'create|delete|detach|attach|format|write')" 0

say "A rule that cannot be read: none counts"
server_start
class_small
rule 25-typo '[match]' 'modle = X*' '[adopt]' 'class = small'
check "dry run names file, line and the nearest key" exits 2 "25-typo.conf' line 2: unknown key 'modle'.*nearest known key is 'model'" try
agent_start --adopt-dir "$rules"
check "the agent says so" grep -q "adoption-rules.*25-typo.conf' line 2" "$agent_log"
until_true 10 drive_seen W1
check "status says so" exits 0 "adopts no drive by itself: .*25-typo.conf' line 2: unknown key 'modle'" "$nsmith" status
check "no drive is adopted" is "$(api GET /v1/drives | jq '[.items[] | select(.adopt != "available")] | length')" 0
check "each says why" why_has A1 "the rules cannot be read"
agent_stop
rm "$rules/25-typo.conf"

say "Without a person"
agent_start --adopt-dir "$rules"
check "A1, A2 and W1 are adopted" until_true 20 sh -c "[ \$('$nsmith' drive ls --json | jq '[.items[] | select(.adopt == \"adopted\")] | length') = 3 ]"
until_idle 30
check "their slices are erased and free" is "$(slice_count '.state == "free" and .erasure != null')" 17
for pair in A1=20-some A2=20-some W1=50-whole; do check "${pair%=*}: recorded with its rule" is "$(rule_of "${pair%=*}")" "${pair#*=}"; done
check "drive show says so" exits 0 "adopted by rule 20-some" "$nsmith" drive show A1
check "drive show says why not" exits 0 "adopted by no rule: rule '30-full' matches, but the drive holds data" "$nsmith" drive show FULL
check "A3 is left: the rule has its two" why_has A3 "has its 2 drives already"
check "B1 waits for its class" why_has B1 "cannot find slice class 'later'"
check "FULL is as it was" is "$(drives_ctl log FULL | grep -cE 'create|delete|detach|attach|format')" 0
api PUT /v1/classes/later '{"nominal_bytes": 67108864}' >/dev/null
check "the class comes, and B1 is adopted" until_true 20 drive_adopted B1
check "a person may still adopt what the rules leave alone" adopt A4
check "... and is recorded as such" is "$(rule_of A4)" none
until_idle 30

say "Later"
agent_stop
agent_start --adopt-dir "$rules"
until_idle 30
check "the record outlives the agent" is "$(rule_of A1)" 20-some
check "dry run beside a running agent is refused" exits 4 "another nsmith-agent uses it" try
agent_stop
check "the dry run knows what is adopted, and by whom" tried A1 "is adopted already, by rule 20-some"
check "... a person" tried A4 "is adopted already, by a person"
rm "$NSMITH_STATE_DIR"/agent.db*
check "an agent without its ledger finds B1 blank" tried B1 "would be adopted by rule"
agent_start --adopt-dir "$rules"
check "the server knows its slices: a person decides" until_true 10 why_has B1 "slices of it are known"
check "... and it is left alone" is "$(api GET /v1/drives/B1 | jq -r .adopt)" available

say "No rules"
agent_stop
agent_start --adopt-dir "$work/nowhere"
check "a folder that is named and not there is an error" grep -q "adoption-rules.*nowhere" "$agent_log"
finish
