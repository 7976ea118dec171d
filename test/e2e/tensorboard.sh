#!/usr/bin/env bash
# Event files for TensorBoard, read by a few lines of Python: every record's checksums, and scalars
# that are those of metrics.jsonl, also of a run that was killed, of one with ranks, and of one that
# cannot write them. tensorboard.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

# The scalars of the event files in a folder against a run's metrics and journal.
cat >"$work/read.py" <<'END_OF_READER'
import json, pathlib, struct, sys
def crc(data):
    c = 0xffffffff
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    c ^= 0xffffffff
    return ((c >> 15 | c << 17) + 0xa282ead8) & 0xffffffff
def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        size = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            if key & 7 == 2:
                size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    data, at, number = path.read_bytes(), 0, 0
    while at < len(data):
        size, = struct.unpack_from("<Q", data, at)
        head, = struct.unpack_from("<I", data, at + 8)
        event = data[at + 12:at + 12 + size]
        tail, = struct.unpack_from("<I", data, at + 12 + size)
        assert crc(data[at:at + 8]) == head and crc(event) == tail, (path, at)
        at, number, event = at + 16 + size, number + 1, dict(fields(event))
        assert number > 1 or event[3] == b"brain.Event:2"
        if 7 in event:
            assert event[7] == b"\x08\x01" and number == 2
            found = {key: value for key, value in found.items() if key[1] < event[2]}
        for _, value in fields(event.get(5, b"")):
            value = dict(fields(value))
            found[value[1].decode(), event[2]] = struct.unpack("<f", value[2])[0]
run, wanted = pathlib.Path(sys.argv[2]), {}
f32 = lambda value: struct.unpack("<f", struct.pack("<f", value))[0]
for line in map(json.loads, open(run / "metrics.jsonl")):
    wanted |= {(f"train/{key}", line["step"]): f32(line[key]) for key in line if key != "step"}
for line in map(json.loads, open(run / "journal.jsonl")):
    if line["event"] == "validation" and line["step"] in (20, 40, 50):
        wanted |= {(f"validation/{key}", line["step"]): f32(line[key])
                   for key in ("loss", "bits_per_byte")}
assert wanted == found, set(wanted.items()) ^ set(found.items())
print(len(found), "scalars")
END_OF_READER
same_scalars() { python3 "$work/read.py" "$work/$1" "$work/$2"; }
files() { find "$work/$1" -name 'events.out.tfevents.*' | grep -c ''; }

recipe=("${llama[@]}" train.validate_every=20 train.checkpoint_every=20)
prepare_text 20000
train once --tensorboard "$work/once-events"
check "a run with event files" test $code -eq 0
check "its scalars" same_scalars once-events once

train twice --tensorboard "$work/twice-events" --steps 35
rm -r "$work/twice/checkpoints/step-00000035"
train twice --tensorboard "$work/twice-events" --resume
check "a resumed run" test $code -eq 0
check "each start has a file" test "$(files twice-events)" -eq 2
check "steps that are made twice count once" same_scalars twice-events twice

train ranks --tensorboard "$work/ranks-events" --ranks 2
check "a run with ranks" test $code -eq 0
check "one of them writes" test "$(files ranks-events)" -eq 1
check "its scalars" same_scalars ranks-events ranks
check "no bit depends on it" test "$(state_hash "$work/ranks")" = "$(state_hash "$work/once")"

train none --tensorboard /proc/none
check "training does not depend on the files" test $code -eq 0
check "that is said once" test "$(grep -c "TensorBoard" "$work/err")" -eq 1
check "the run is whole" test "$(state_hash "$work/none")" = "$(state_hash "$work/once")"

# What is written is what docs/formats.md documents.
check "metrics.jsonl has the keys of its table" python3 - "$source" "$work/once" <<'END'
import json, re, sys
text = open(f"{sys.argv[1]}/docs/formats.md").read()
table = text.split("**metrics.jsonl**")[1].split("\n\n")[1].splitlines()[2:]
rows = [re.findall("`([^`]+)`", row) for row in table]
keys = [row[0] for row in rows]
lines = [json.loads(line) for line in open(f"{sys.argv[2]}/metrics.jsonl")]
assert all(list(line) == keys for line in lines), (keys, list(lines[0]))
assert all(f"train/{row[0]}" == row[-1] for row in rows[1:]), rows
END
finish
