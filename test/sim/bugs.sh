#!/bin/sh
# bugs.sh BUILD [COUNT] - plants each bug of bugs/ into a copy of the sources, builds the simulation with it and lets it
# run COUNT seeds (500). BUILD is a meson build folder whose libraries are built. The simulation must find 4 of 5.
set -u
build=$1
count=${2:-500}
here=$(cd "$(dirname "$0")" && pwd)
src=$(cd "$here/../../src" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=gnu11 -g -O2 -w -fno-strict-aliasing -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DNSMITH_VERSION=\"0\""
libs=
for lib in base model core nvme soft store virt cert service mind; do
    libs="$libs $(find "$build" -name "lib$lib.a")"
done
mkdir "$work/sim"
for file in "$here"/*.c; do
    gcc $flags -I"$src" -I"$here" -c "$file" -o "$work/sim/$(basename "$file" .c).o" || exit 1
done
all=0 found=0
for bug in "$here"/bugs/[0-9]*; do
    name=$(basename "$bug")
    rm -rf "$work/bug" && mkdir "$work/bug"
    broken=
    while read -r file expression; do
        copy=$work/bug/$(echo "$file" | tr / _)
        [ -e "$copy" ] || cp "$src/$file" "$copy"
        before=$(cksum <"$copy")
        sed -i "$expression" "$copy"
        [ "$before" = "$(cksum <"$copy")" ] && echo "$name: nothing to break in $file: $expression"
        case " $broken " in *" $copy "*) ;; *) broken="$broken $copy" ;; esac
    done <"$bug"
    gcc $flags -I"$src" -o "$work/bug/sim" "$work"/sim/*.o $broken -Wl,--allow-multiple-definition \
        -Wl,--start-group $libs -Wl,--end-group -ljansson -lsodium -lsqlite3 -lpthread || continue
    all=$((all + 1))
    timeout 600 "$work/bug/sim" 1 "$count" >"$work/out" 2>"$work/err"
    code=$?
    seed=$(tr '\r' '\n' <"$work/err" | grep -ao '^seed [0-9]*' | tail -1)
    why=$(cat "$work/out" "$work/err" | tr '\r' '\n' | grep -aE 'failed at|broken assumption|two ways' | head -1 | cut -c1-150)
    if [ $code -eq 0 ]; then
        echo "SURVIVES  $name"
    else
        found=$((found + 1))
        echo "found     $name  ($seed)  $why"
    fi
done
echo "$found of $all found"
[ $((found * 5)) -ge $((all * 4)) ]
