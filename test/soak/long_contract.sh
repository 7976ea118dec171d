#!/usr/bin/env bash
# N1 with sizes that fill tiles and leave odd rests of them. long_contract.sh SOURCE BINARY
exec bash "$1/test/e2e/contract.sh" "$1" "$2" model.width=136 model.heads=4 model.hidden=300 \
  model.context=150 train.lane_batch=3 train.steps=5
