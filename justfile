# Recipes for contributors: `just` lists them. CONTRIBUTING.md says what each needs.

# List the recipes
default:
    @just --list

# All tests that need no server
test:
    cargo test --workspace

# The store in Redis, on servers that the tests start
redis *args:
    cargo test -p redis-tests --features servers {{args}}

# The same on Valkey
valkey *args:
    REDIS_SERVER=valkey-server cargo test -p redis-tests --features servers {{args}}

# Every fuzz target for some seconds
fuzz seconds="10":
    fuzz/smoke.sh {{seconds}}

# The documentation of all features, with warnings as errors
docs:
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --all-features

# Write the code that is generated from .proto files
generated:
    UPDATE_GENERATED=1 cargo test --test grpc_generated

# Everything that CI runs
ci:
    .ci/run
