#!/usr/bin/env bash
# Each target for some seconds (default 10), from its seeds, with whatever toolchain there is: stable will do.
# For more than that: mkdir -p fuzz/corpus/TARGET, cargo +nightly fuzz run TARGET fuzz/corpus/TARGET fuzz/seeds/TARGET
# The seeds of record are made anew, after a record has changed, by cargo run --manifest-path fuzz/Cargo.toml --bin seeds
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-10}
targets=$(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)

# What cargo-fuzz passes, without a sanitizer, which only nightly has.
flags='--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module'
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
done
# A named target keeps these flags away from build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
unset CARGO_ENCODED_RUSTFLAGS
# The targets alone: what is not linked with libFuzzer has nobody to count its branches.
bins=()
for target in $targets; do bins+=(--bin "$target"); done
RUSTFLAGS=$flags cargo build --release --quiet --target "$host" "${bins[@]}"
built=${CARGO_TARGET_DIR:-target}/$host/release

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
for target in $targets; do
    mkdir "$scratch/$target"
    # What is found anew goes to the first directory, so the seeds stay as they are.
    if "$built/$target" -max_total_time="$seconds" -max_len=5000 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$scratch/$target-" "$scratch/$target" "seeds/$target" >"$scratch/log" 2>&1; then
        printf '%-12s %s inputs\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$scratch/log")"
        continue
    fi
    failed=1
    tail -n 60 "$scratch/log"
    for found in "$scratch/$target"-*; do
        printf '== %s fails on this input (base64):\n' "$target"
        base64 "$found"
    done
done
exit "$failed"
