#!/bin/bash
# t_postgres - the server on PostgreSQL: the whole line runs, and a database that is killed at any moment costs nothing
# that was acknowledged.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
[ -n "${NSMITH_TEST_PG-}" ] || exec "$top/test/unit/with-postgres" "$0" "$@"
begin t_postgres
database() { "$NSMITH_TEST_PG_CTL" "$@"; }

say "The main line"
drives_start A1=tiny B1=tiny
check "the server starts on an empty database" server_start --database "$NSMITH_TEST_PG"
agent_start
for serial in A1 B1; do until_true 10 drive_seen $serial; done
class_small
check "a drive is cut: 8 slices, erased and proven" adopt A1
check "3 of them are handed out" claim c1 3
tags_write c1
held=$(claim_slices c1)
check "no SQLite file is there" [ ! -e "$NSMITH_STATE_DIR/nsmithd.db" ]

say "The database goes away"
before=$(dump)
database kill
answer() { api GET /v1/claims >"$work/answer"; cat "$work/answer" "$work/.status"; }
down() {
	answer >"$work/said"
	jq -e '.code == "try-again" and .unchanged and (.hint | length > 0)' "$work/answer" || { cat "$work/said"; return 1; }
}
check "a request is told so, and what to do" down
check "the server goes on" kill -0 "$server_pid"
reached() { local slice; for slice in $held; do tag_is "$(slice_link "$slice")" "c1 $slice" || return 1; done; }
check "the tenant's data is still reached by its path" reached
database start
check "it is back, and the server with it: everything as before" is "$(until_true 20 api GET /v1/status && until_idle && dump)" "$before"

say "Killed under load"
# Each client tells only of what was acknowledged; the same key is sent again until there is an answer.
client() {
	local i id work=$work/client.$1 # the answers' status is kept there
	mkdir -p "$work"
	for i in $(seq 1 12); do
		id=load-$1-$i
		until api POST /v1/claims "{\"id\": \"$id\", \"class\": \"small\", \"slices\": 1}" -H "Idempotency-Key: $id" >"$work/load" ||
			grep -qE '"(does-not-fit|conflict)"' "$work/load"; do sleep 0.2; done
		grep -q '"does-not-fit"' "$work/load" && continue
		echo "$id"
	done >"$work/acknowledged"
}
adopt B1 >/dev/null
clients=()
for n in 1 2; do client $n & clients+=($!); done
for _ in 1 2 3; do
	sleep 0.7
	database kill
	sleep 0.3
	database start
done
wait "${clients[@]}"
until_true 20 api GET /v1/status >/dev/null
until_idle 30
all_there() {
	local id n=0
	for id in $(cat "$work"/client.*/acknowledged); do
		api GET "/v1/claims/$id" >/dev/null || { echo "claim $id was acknowledged and is lost"; return 1; }
		n=$((n + 1))
	done
	is $n "$(api GET /v1/claims | jq '.items | length - 1')" && [ $n -gt 0 ]
}
check "each acknowledged claim is there, once, and no other" all_there
once() { api GET /v1/claims | jq -e '[.items[].slices[]] | length == (unique | length)'; }
check "no slice was given twice" once
check "the first tenant's data is unchanged" tags_are c1

say "The server is killed"
before=$(dump)
server_stop KILL
check "another one starts on the same database" server_start --database "$NSMITH_TEST_PG"
check "everything as before" is "$(until_idle 30; dump)" "$before"
for claim in $(api GET /v1/claims | jq -r '.items[].id'); do api DELETE "/v1/claims/$claim" >/dev/null; done
check "all is given back, erased and proven" until_idle 60
check "16 slices are free" is "$(slice_count '.state == "free"')" 16

say "Refused"
agent_stop
server_stop
check "a database that is not there: try again" exits 6 "cannot reach the database" \
	"$nsmithd" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --database "host=$work user=nobody"
check "a role that is not there: named" exits 6 'role .*stranger.* does not exist' \
	"$nsmithd" --state "$NSMITH_STATE_DIR" --run "$NSMITH_RUN_DIR" --database "${NSMITH_TEST_PG/user=nsmith/user=stranger}"
finish
