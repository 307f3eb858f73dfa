# Recipes for contributors: `just` lists them. CONTRIBUTING.md says what each needs.

# List the recipes
default:
    @just --list

# All tests that need no server
test:
    cargo test --workspace

# The tests of a store outside the process, where a swap makes all of its changes or none
atomic:
    FAULTY_STORE=atomic cargo test --test it --test events --test storms

# Tests on Redis: the store, then races, storms and the model
redis:
    cargo test -p redis-tests --features servers
    cargo test --features redis --test it --test storms -- --ignored in_redis

# The same on Valkey
valkey:
    REDIS_SERVER=valkey-server cargo test -p redis-tests --features servers
    REDIS_SERVER=valkey-server cargo test --features redis --test it --test storms -- --ignored in_redis

# Benchmarks, such as `just bench --bench guard`
bench *args:
    cargo bench -p benches --features servers {{args}}

# Guard and peers over HTTP, and cold caches: `--quick` for a look, `--write` updates docs/performance.md
performance *args:
    cargo bench --manifest-path benches/http/Cargo.toml --target-dir target -- {{args}}

# Instruction counts, compared with the baseline
instructions:
    .ci/instructions

# Count instructions, and write the baseline
baseline:
    .ci/instructions --renew

# Every fuzz target for some seconds
fuzz seconds="10":
    fuzz/smoke.sh {{seconds}}

# Write the seeds of stored records, after the stored format has changed
seeds:
    cargo run --manifest-path fuzz/Cargo.toml --bin seeds

# The documentation of all features, with warnings as errors
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps -p tower-step-up --all-features

# Write the code that is generated from .proto files
generated:
    UPDATE_GENERATED=1 cargo test -p grpc --test generated

# Which folder of src names which, and how long files are
law:
    .ci/law

# Everything that CI runs
ci:
    .ci/run
