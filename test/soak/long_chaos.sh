#!/usr/bin/env bash
# Every class of fault, then 300 random ones. long_chaos.sh SOURCE BINARY [SEED]
exec bash "$1/test/e2e/chaos.sh" "$1" "$2" 300 "${3:-$((RANDOM + 1))}"
