#!/bin/sh
# Records kind/demo/demo.sh from the backup on, in a terminal of its own, and makes docs/demo-light.svg and docs/demo-dark.svg
# of it. `script` is util-linux's.
set -eu
cd "$(dirname "$0")/../.."
columns=104
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
script --quiet --return --log-out "$work/log" --log-timing "$work/timing" \
	--command "stty cols $columns rows 30; exec kind/demo/demo.sh" </dev/null
cargo run --locked --quiet --example cast -- "$work/log" "$work/timing" "$columns" '== 3.' '== Done' docs/demo
