#!/usr/bin/env bash
# N1 with sizes that fill tiles and leave odd rests of them. long_contract.sh SOURCE BINARY
exec bash "$1/test/e2e/contract.sh" "$1" "$2" model.layers=3 model.width=264 model.heads=6 \
  model.hidden=600 model.context=150 train.lane_batch=3
