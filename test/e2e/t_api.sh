#!/bin/bash
# t_api - every operation of the API, done and refused, and everything that was said in it as docs/openapi.yaml has it.
# What other scripts recorded (NSMITH_RECORD) is held against it too.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
export NSMITH_RECORD=${NSMITH_RECORD:-$top/build/e2e/record}
mkdir -p "$NSMITH_RECORD"
rm -f "$NSMITH_RECORD/t_api.jsonl"
begin t_api
json() { api "$@" | jq -c .; }

# answers STATUS METHOD PATH [BODY [CURL OPTION...]]
answers() {
	local want=$1
	shift
	api "$@" >"$work/answer" || :
	is "$(tail -1 "$work/.status")" "$want" || { cat "$work/answer"; return 1; }
}
field() { jq -r "$1" "$work/answer"; }

say "The world"
drives_start A1=tiny LIAR=tiny-liar CLIENT=tiny-no-nsmgmt HITS=tiny-hits-all
server_start
agent_start
for serial in A1 LIAR CLIENT HITS; do until_true 10 drive_seen $serial; done
class_small
check "status" answers 200 GET /v1/status
for what in hosts drives slices classes flavors claims vms erasures; do check "$what" answers 200 GET /v1/$what; done

say "Drives"
check "dry run: the plan" answers 200 POST '/v1/drives/A1/adopt?dry_run=true' '{"class": "small"}'
check "it has the namespaces that are lost" is "$(field '.lost | length')" 1
check "nothing is wanted of the drive" drive_is A1 available
check "not without its serial number" answers 422 POST /v1/drives/A1/adopt '{"class": "small"}'
check "not a plan that is no more" answers 409 POST /v1/drives/A1/adopt \
	"$(api POST '/v1/drives/A1/adopt?dry_run=true' '{"class": "small"}' | jq -c '{class: "small", confirm: "A1", expect: (.layout | .count = 1)}')"
check "A1 is cut" adopt A1
check "LIAR is cut" adopt LIAR
check "as a whole" adopt CLIENT small '"provider": "whole"'
check "one host" answers 200 GET /v1/hosts/e2e
check "one host that is not there" answers 404 GET /v1/hosts/none
check "one drive, in full" answers 200 GET /v1/drives/A1
check "one that is not there" answers 404 GET /v1/drives/NONE
check "adopt what is not there" answers 404 POST /v1/drives/NONE/adopt '{"confirm": "NONE"}'
check "drain, dry" answers 200 POST '/v1/drives/A1/drain?dry_run=true'
check "drain" answers 200 POST /v1/drives/A1/drain '{"reason": "a loud fan", "host": "e2e"}'
check "it is told" is "$(field .drained.why)" "by a person: a loud fan"
check "drain what is not there" answers 404 POST /v1/drives/NONE/drain
check "resume" answers 200 POST /v1/drives/A1/resume '{"despite_health": true}'
check "resume once more" answers 409 POST /v1/drives/A1/resume '{}'
check "retry of one that is well" answers 409 POST /v1/drives/A1/retry
check "one that does not keep its word is found out" answers 200 POST /v1/drives/HITS/adopt '{"class": "small", "confirm": "HITS"}'
until_true 30 drive_is HITS fault
until_idle 60
check "retry" answers 200 POST /v1/drives/HITS/retry '{"host": "e2e"}'
until_true 30 drive_is HITS adopted
check "drain it" answers 200 POST /v1/drives/HITS/drain

say "Tasks"
task_over() { [ "$(api GET "/v1/drives/$1" | jq -r '.task.state')" = "$2" ]; }
check "a probe" answers 200 POST /v1/drives/CLIENT/probe '{}'
check "it is done" until_true 10 task_over CLIENT done
check "with what was found" is "$(api GET /v1/drives/CLIENT | jq -r .task.result.verdict)" limited
check "a probe of what is not there" answers 404 POST /v1/drives/NONE/probe '{}'
check "a destructive one, not confirmed" answers 422 POST /v1/drives/A1/probe '{"destructive": true}'
check "a destructive one" answers 200 POST /v1/drives/A1/probe '{"destructive": true, "confirm": "A1"}'
check "it is done" until_true 20 task_over A1 done
check "the drive is ready again" eval 'until_true 20 drive_adopted A1 && until_idle 30'
"$softnvme" --make-firmware API1 "$work/fw.bin"
digest=$(sha256sum "$work/fw.bin" | cut -d' ' -f1)
{ printf '{"hex": "' && od -An -v -tx1 "$work/fw.bin" | tr -d ' \n' && printf '"}'; } >"$work/piece.json"
firmware="{\"digest\": \"$digest\", \"size_bytes\": $(stat -c %s "$work/fw.bin")}"
check "firmware whose image is not here" answers 404 POST /v1/drives/A1/firmware "$firmware"
check "a piece that is none" answers 400 PUT "/v1/firmware/$digest?piece=0" '{"hex": "x"}'
check "the image" answers 200 PUT "/v1/firmware/$digest?piece=0" "@$work/piece.json"
check "as the agent gets it" answers 200 GET "/v1/agents/e2e/firmware/$digest?piece=0"
check "no such piece" answers 404 GET "/v1/agents/e2e/firmware/$digest?piece=1"
check "firmware, dry" answers 200 POST '/v1/drives/A1/firmware?dry_run=true' "$firmware"
check "firmware" answers 200 POST /v1/drives/A1/firmware "$firmware"
check "it is done" until_true 10 task_over A1 done
check "and runs" is "$(field .task.kind) $(api GET /v1/drives/A1 | jq -r .firmware)" "firmware API1"

say "Slices"
bad=$(api GET '/v1/slices?drive=LIAR&state=quarantined' | jq -r '.items[0].id')
check "by drive and state" [ -n "$bad" ]
check "a state that is none" answers 400 GET '/v1/slices?state=lost'
check "one" answers 200 GET "/v1/slices/$bad"
check "one that is not there" answers 404 GET /v1/slices/none
check "retry, dry" answers 200 POST "/v1/slices/$bad/retry?dry_run=true"
check "retry" answers 200 POST "/v1/slices/$bad/retry" '{}'
until_idle
check "retry of one that needs none" answers 409 POST "/v1/slices/$(slices '.drive == "A1"' | head -1)/retry"
check "retire, not confirmed" answers 422 POST "/v1/slices/$bad/retire" '{"confirm": "x"}'
check "retire" answers 200 POST "/v1/slices/$bad/retire" "{\"confirm\": \"$bad\"}"

say "Classes and flavors"
check "class, dry" answers 200 PUT '/v1/classes/big?dry_run=true' '{"nominal_bytes": 1099511627776}'
check "it is not there" is "$(api GET /v1/classes | jq '[.items[] | select(.name == "big")] | length')" 0
check "a class that is in use does not change" answers 409 PUT /v1/classes/small '{"nominal_bytes": 1099511627776}'
check "flavor" answers 200 PUT /v1/flavors/two '{"vcpus": 1, "memory_bytes": 67108864, "slices": 2, "class": "small", "datapath": "blk", "spread": "pack"}'
check "a flavor of a class that is not there" answers 404 PUT /v1/flavors/three '{"vcpus": 1, "memory_bytes": 67108864, "slices": 2, "class": "none"}'
api PUT /v1/flavors/gone '{"vcpus": 1, "memory_bytes": 67108864, "slices": 2, "class": "small"}' >/dev/null
check "delete, dry" answers 200 DELETE '/v1/flavors/gone?dry_run=true'
check "delete" answers 200 DELETE /v1/flavors/gone
check "delete once more" answers 404 DELETE /v1/flavors/gone

say "Claims"
check "dry run: where it would be" answers 201 POST '/v1/claims?dry_run=true' '{"class": "small", "slices": 3}'
check "with a key" answers 201 POST /v1/claims '{"id": "c1", "class": "small", "slices": 3}' -H 'Idempotency-Key: k1'
cp "$work/answer" "$work/first"
check "again, with the same key" answers 201 POST /v1/claims '{"id": "c1", "class": "small", "slices": 3}' -H 'Idempotency-Key: k1'
check "the same answer" cmp "$work/first" "$work/answer"
check "another body with that key" answers 409 POST /v1/claims '{"id": "c2", "class": "small", "slices": 3}' -H 'Idempotency-Key: k1'
until_true 10 claim_is c1 ready
check "one, ready, with its disks" answers 200 GET /v1/claims/c1
check "three of them" is "$(field '.disks | length')" 3
check "more than there are" answers 507 POST /v1/claims '{"class": "small", "slices": 16}'
check "one that is not there" answers 404 GET /v1/claims/none
check "let go of what is not there" answers 404 DELETE /v1/claims/none
check "let go" answers 200 DELETE /v1/claims/c1
until_idle

say "VMs"
vm='{"name": "v1", "flavor": "two", "kernel": "/boot/vmlinuz"}'
check "dry run" answers 201 POST '/v1/vms?dry_run=true' "$vm"
check "create" answers 201 POST /v1/vms "$vm"
check "create once more" answers 409 POST /v1/vms "$vm"
power_is() { [ "$(api GET /v1/vms/v1 | jq -r .power)" = "$1" ]; }
check "it runs" until_true 20 power_is running
check "one" answers 200 GET /v1/vms/v1
check "its claim is not let go of behind its back" answers 409 DELETE "/v1/claims/$(field .claim)"
for act in reboot stop; do check "$act" answers 200 POST /v1/vms/v1/$act; done
check "it is off" until_true 40 power_is off
check "start" answers 200 POST /v1/vms/v1/start '{}'
check "it runs again" until_true 20 power_is running
check "kill" answers 200 POST /v1/vms/v1/kill
for act in start stop kill reboot; do check "$act of one that is not there" answers 404 POST /v1/vms/none/$act; done
check "one that is not there" answers 404 GET /v1/vms/none
check "delete one that is not there" answers 404 DELETE /v1/vms/none
check "delete" answers 200 DELETE /v1/vms/v1
until_idle 30

say "Erasures"
check "of one slice" answers 200 GET "/v1/erasures?slice=$(slices '.drive == "A1"' | head -1)"
check "one" answers 200 GET "/v1/erasures/$(field '.items[0].id')"
check "one that is not there" answers 404 GET /v1/erasures/none

say "Agents"
check "a name that is none" answers 400 POST '/v1/agents/%20/register' '{}'
check "a report of another host" answers 400 POST /v1/agents/other/report "$(jq -cn '{host: "e2e"}')"
check "records of nobody" answers 400 POST /v1/agents/e2e/records '{"records": [1]}'
check "wants of nobody" answers 404 GET /v1/agents/nobody/wants

say "As written down"
end_all
relay_pid=''
check "all that was said is as docs/openapi.yaml has it, and every operation was seen done and refused" \
	"$top/test/e2e/openapi" check "$top/docs/openapi.yaml" "$NSMITH_RECORD"/*.jsonl
"$top/test/e2e/openapi" check "$top/docs/openapi.yaml" "$NSMITH_RECORD"/*.jsonl | tail -1 | sed 's/^/   /'
# The check can fail: without one field, or with one more.
sed 's/^        sentence: .*$//' "$top/docs/openapi.yaml" >"$work/less.yaml"
check "a field too much is found" exits 1 "sentence" "$top/test/e2e/openapi" check "$work/less.yaml" "$NSMITH_RECORD/t_api.jsonl"
sed 's/required: \[sentence, /required: [nonsense, sentence, /' "$top/docs/openapi.yaml" >"$work/more.yaml"
check "a field that is missing is found" exits 1 "nonsense" "$top/test/e2e/openapi" check "$work/more.yaml" "$NSMITH_RECORD/t_api.jsonl"
finish
