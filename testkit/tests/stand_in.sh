#!/bin/sh
# Stands in for the node: shows its configuration at start and at SIGHUP, ends well at SIGTERM.
[ "$1" = status ] && { echo "in $PWD: $*"; exit 1; }
show() { echo "config: $(cat tidemill.toml)" >&2; }
trap show HUP
trap 'exit 0' TERM
[ "$1" = up ] || { echo "no command $1" >&2; exit 2; }
show
data="$HOME/.local/state/tidemill"
mkdir -p "$data"
echo '{"node":"127.0.0.1:7","proxies":{"redis":"127.0.0.1:8"}}' > "$data/addresses.json"
echo "2026-01-01 INFO ready" >&2
while :; do sleep 0.01; done
