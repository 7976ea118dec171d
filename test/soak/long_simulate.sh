#!/usr/bin/env bash
# The supervisor on 300,000 random schedules of faults. long_simulate.sh SOURCE BINARY
exec "$2/test/test_simulate" 1 300000
