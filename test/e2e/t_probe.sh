#!/bin/bash
# t_probe - what a drive is good for: probes, destructive ones, crashes in the middle of them, new firmware.
set -uo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
. "$top/test/e2e/lib.sh"
begin t_probe

drives_start GOOD=tiny NOMGMT=tiny-no-nsmgmt WIPES=tiny-fna1 NONAME=tiny-zero-ids ORDER=tiny-delete-order IDS=tiny-reused-ids \
	HITS=tiny-format LIAR=tiny-format BIG=p4510-2tb OLD=tiny-old-firmware LATE=tiny-old-firmware-reset CRASH=tiny
server_start
agent_start
class_small
for serial in GOOD NOMGMT WIPES NONAME ORDER IDS HITS LIAR BIG OLD LATE CRASH; do until_true 10 drive_seen $serial; done

probe() { "$nsmith" drive probe "$@" 2>&1 </dev/null; }
destructive() { probe "$1" --destructive --yes --serial "$1" "${@:2}"; }
firmware() { "$nsmith" drive firmware "$@" 2>&1 </dev/null; }
update() { firmware "$1" update "$work/$2" --yes --serial "$1" "${@:3}"; }
task_is() { [ "$(api GET "/v1/drives/$1" | jq -r '.task.state')" = "$2" ]; }
free_slices() { is "$(slice_count ".drive == \"$1\" and .state == \"free\"")" "$2"; }
# ready SERIAL N: adopted (an agent that has just started has not seen the drive yet), all settled, N free slices.
ready() { until_true 30 drive_adopted "$1" && until_idle 60 && free_slices "$1" "$2"; }
# line SERIAL CHECK VERDICT: of the last probe.
line() { is "$(api GET "/v1/drives/$1" | jq -r --arg c "$2" '.task.result.lines[] | select(.check == $c) | .verdict')" "$3"; }
commands() { drives_ctl log "$1" | grep -cE "$2"; }

say "Questions only"
check "a drive with all there is: qualified, exit 0" exits 0 "drive GOOD is qualified" probe GOOD
check "without namespace management: limited, exit 10" exits 10 "namespace-management +limited" probe NOMGMT
check "that erases by overwriting only: limited" exits 10 "erase +limited .*a format would hit all" probe WIPES
check "without NGUID and EUI64: limited" exits 10 "ids +limited" probe NONAME
check "the class that fits best is named" exits 0 "best use of the drive: class 500G" probe BIG
check "it is shown with the drive" exits 0 "last asked for: probe, done: qualified" "$nsmith" drive show BIG
check "as JSON" is "$("$nsmith" drive probe GOOD --json 2>/dev/null | jq -r '.verdict, (.lines | length > 10)' | xargs)" "qualified true"
check "one that does not exist" exits 3 "no host reports" probe NOBODY
check "a dry run asks nothing" exits 0 "nothing was changed" probe GOOD --dry-run
check "none of them was changed" is "$(for d in GOOD NOMGMT WIPES NONAME BIG; do drives_ctl log $d; done | grep -cE 'create|delete|attach|detach|format|sanitize|write')" 0

say "Refused"
check "a destructive probe of a drive that is not adopted" exits 8 "adopted" destructive GOOD
check "one that nobody confirms" exits 8 "nobody can confirm" probe GOOD --destructive
for serial in GOOD ORDER IDS HITS LIAR; do check "$serial is adopted" adopt $serial; done
check "a claim takes a slice" claim held 1
holder=$(api GET "/v1/slices/$(claim_slices held)" | jq -r .drive)
check "the drive of a claimed slice is not probed destructively" exits 8 "claimed" destructive "$holder"
check "but asked" exits 0 "is qualified" probe "$holder"
check "its slices can still be had" eval 'claim more 2 && release more'
check "released" release held

say "Work on an empty drive"
before=$(slices '.drive == "GOOD"' | sort)
check "a good drive: qualified" exits 0 "drive GOOD is qualified" destructive GOOD
for c in delete create create-again new-ids attach rescan erase-one neighbour; do check "it tells of $c" line GOOD $c qualified; done
check "afterwards all is free again" ready GOOD 8
check "in new slices" is "$(comm -12 <(echo "$before") <(slices '.drive == "GOOD"' | sort) | wc -l)" 0
check "which nobody misses" is "$(api GET /v1/status | jq '.attention | length')" 0
check "space that does not come back out of order: limited" exits 10 "create-again +limited" destructive ORDER
check "it has all its slices again" ready ORDER 8
check "names that come back: limited" exits 10 "new-ids +limited" destructive IDS
check "a drive that begins to hit neighbours" drives_ctl fault HITS "format nth=1 count=0 kind=hits-all"
check "an erase that hits the neighbour: rejected" exits 7 "neighbour +rejected" destructive HITS
check "all is settled" until_idle 60
check "a drive that begins to lie" drives_ctl fault LIAR "format nth=1 count=0 kind=lie"
check "is rejected" exits 7 "erase-one +rejected" destructive LIAR
check "an interrupted wait goes on by itself" eval 'exits 0 "being probed" destructive GOOD --no-wait && until_true 20 task_is GOOD done'
check "settled" ready GOOD 8

say "The agent is killed in the middle"
check "CRASH is adopted" adopt CRASH
for n in 1 2 3 4 5 6; do
	check "kill $n: a probe begins" destructive CRASH --no-wait
	until_true 10 eval "task_is CRASH running || task_is CRASH done"
	sleep 0.0$((RANDOM % 9))5
	agent_stop KILL
	agent_start
	check "kill $n: the probe is over" until_true 20 eval "task_is CRASH failed || task_is CRASH done"
	check "kill $n: all slices are there and free" ready CRASH 8
done
check "a whole one still goes well" exits 0 "drive CRASH is qualified" destructive CRASH
check "nothing was quarantined there" ready CRASH 8

say "Firmware"
"$softnvme" --make-firmware SOFT0002 "$work/new.bin" ns-management
"$softnvme" --make-firmware SOFT0666 "$work/bad.bin" prohibited
head -c 65535 "$work/new.bin" >"$work/odd.bin"
head -c 65536 /dev/urandom >"$work/junk.bin"
check "the slots are shown" exits 0 "1 SOFT0001 yes" firmware OLD show
check "a dry run sends nothing" exits 0 "nothing was changed" update OLD new.bin --dry-run
check "a file that is no image" exits 2 "multiple of 4" update OLD odd.bin
check "no such slot" exits 2 "no slot 3" update OLD new.bin --slot 3
check "an image that the drive does not take" exits 7 "Invalid Firmware Image" update OLD junk.bin
check "one that it must not run" exits 7 "commit" update OLD bad.bin --slot 2
check "it still runs what it ran" exits 0 "running: SOFT0001" firmware OLD show
check "it cannot be cut" exits 2 "no namespace management" "$nsmith" drive adopt OLD --class small --dry-run
check "new firmware" exits 0 "ran SOFT0001 and now runs SOFT0002" update OLD new.bin
check "with which it is qualified" exits 0 "drive OLD is qualified" probe OLD
check "and is adopted" adopt OLD
check "it was committed three times, twice in vain" is "$(commands OLD "^[0-9]+  (fw-commit|0x10) ")" 3
check "the server keeps no image" is "$(sqlite3 "$NSMITH_STATE_DIR/nsmithd.db" 'SELECT count(*) FROM firmware')" 0
check "under a claimed slice, for it activates without a reset" eval 'api POST /v1/claims "{\"id\": \"c\", \"class\": \"small\", \"slices\": 16}" >/dev/null; exits 0 "now runs SOFT0002" update OLD new.bin'
check "a drive that needs a reset: not at once" exits 2 "without a reset" update LATE new.bin --activate now
check "slot 1 cannot be written" exits 2 "slot 1" update LATE new.bin --slot 1
check "it waits for the reset" exits 0 "after a reset" update LATE new.bin
check "in its slot" exits 0 "2 SOFT0002 no +yes" firmware LATE show
check "the drive loses its power" drives_ctl power-cut LATE
runs_new() { probe LATE >/dev/null; exits 0 "running: SOFT0002" firmware LATE show; }
check "and runs it then" until_true 20 runs_new
finish
