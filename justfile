# Shortcuts for plain cargo commands; nothing needs `just`.

# What a change must pass.
ci:
    .ci/run

check:
    cargo check --workspace --all-targets

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

test:
    cargo test --workspace

# Replays one simulated fleet: just sim 123
sim seed:
    ROLLCALL_SEED={{seed}} cargo test -p rollcall-tests --test fleet_simulation -- --nocapture

# Thousands of fleets, hundreds of power losses, many kills.
long:
    ROLLCALL_LONG=1 cargo test --workspace --release

demo:
    cargo run --release --bin rollcall -- demo

# Looks for inputs that break a promise: just fuzz broker 300
fuzz target seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{target}} -- -max_total_time={{seconds}}
