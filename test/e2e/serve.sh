#!/usr/bin/env bash
# godwit serve over real sockets: what it answers, what it refuses, how it ends.
# serve.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"
here=$(dirname "$0")

# start [OPTION...]: a server on a free port; its address in $url, its process in $server
start() {
  rm -f "$work/url"
  "$godwit" serve "$work/run" --listen 127.0.0.1:0 --threads 2 "$@" >"$work/url" 2>"$work/log" &
  server=$!
  for _ in $(seq 100); do
    [ -s "$work/url" ] && break
    sleep 0.1
  done
  url=$(cat "$work/url")
}

# stop: asks it to end; its exit code in $code
stop() {
  kill -TERM $server
  wait $server
  code=$?
}

# complete JSON: posts it; the answer in $out, its status in $status
complete() {
  out=$(python3 - "$url" "$1" <<'END'
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1] + "/v1/completions", sys.argv[2].encode())
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
END
  )
  status=${out%% *}
}

# until_line LINE: waits until /metrics has that line
until_line() {
  for _ in $(seq 200); do
    exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
    metrics=$(cat <&3)
    exec 3>&-
    [[ $'\n'$metrics$'\n' == *$'\n'$1$'\n'* ]] && return
    sleep 0.05
  done
}

# Asks for a long stream and reads a little of it now and then, until nobody answers any more.
slow_reader() {
  python3 - "$url" <<'END'
import json, socket, sys, time, urllib.request
host, port = sys.argv[1].split("//")[1].split(":")
body = json.dumps({"model": "run", "prompt": "a", "max_tokens": 1000000, "stream": True,
                   "temperature": 0})
link = socket.socket()
link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
link.connect((host, int(port)))
link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
             % (len(body), body.encode()))
began = time.time()
while time.time() - began < 30:
    link.recv(2048)
    time.sleep(0.05)
    if time.time() - began < 2: continue
    if b"\ngodwit_serve_open 1\n" in urllib.request.urlopen(sys.argv[1] + "/metrics").read():
        sys.exit(0)
sys.exit(1)
END
}

prepare_text 60000
run train "$source/recipes/demo.yaml" model.layers=2 model.width=64 model.heads=2 \
  model.kv_heads=1 model.context=128 --data "$work/data" --run "$work/run" --steps 3
check "train succeeds" test $code -eq 0

echo "a-secret-of-24-characters" >"$work/token"
start --token-file "$work/token" --slots 4
check "the server says where it is" has "$url" "http://127.0.0.1:"
while IFS= read -r line; do
  check "${line#* }" test "${line%% *}" = PASS
done < <(python3 "$here/serve_client.py" "$url" a-secret-of-24-characters run "$godwit" "$work/run")
check "the server is still there" kill -0 $server
stop
check "it ends as it should" test $code -eq 0

start --listen '[::1]:0'
if has "$url" "http://[::1]:"; then
  complete '{"model":"run","prompt":"a","max_tokens":3}'
  check "an IPv6 address is served" test "$status" = 200
  stop
else
  check "or it is said that it cannot be" grep -q "has no IPv6" "$work/log"
fi

start --slots 1 --queue 1 --timeout 5
long='{"model":"run","prompt":"a","max_tokens":1000000,"temperature":0}'
(complete "$long" && echo "$status" >"$work/long1") &
until_line "godwit_serve_running 1"
(complete "$long" && echo "$status" >"$work/long2") &
until_line "godwit_serve_waiting 1"
complete '{"model":"run","prompt":"a"}'
check "who would wait for too long is told so" test "$status" = 503
wait $(jobs -p | grep -v "^$server$")
check "a request that takes too long is ended" grep -q 504 "$work/long1"
complete "${long%\}},\"stream\":true}"
check "a stream says so" has "$out" "the request took too long"
complete '{"model":"run","prompt":"a","max_tokens":3}'
check "and the next one is served" test "$status" = 200
check "who reads slowly is left in time" slow_reader
stop
check "a server with timeouts ends" test $code -eq 0

start --grace 60
last='{"model":"run","prompt":"a","max_tokens":40000,"temperature":0}'
(complete "$last"; echo "$status" >"$work/last") &
client=$!
until_line "godwit_serve_running 1"
kill -TERM $server
sleep 0.2
complete '{"model":"run","prompt":"a"}'
check "a server that ends takes no new requests" test "$status" = 503
check "and says so" has "$out" "about to end"
wait $server
code=$?
wait $client
check "a request in work is finished first" grep -q 200 "$work/last"
check "and then the server ends" test $code -eq 0

run serve "$work/run" --listen 0.0.0.0:0
check "open to others without a token is misuse" test $code -eq 2
check "and says what helps" has "$err" "--token-file"
for secret in short '' "a-secret-of-24-characters and more" $'\ufeffa-secret-of-24-characters'; do
  echo "$secret" >"$work/secret"
  run serve "$work/run" --token-file "$work/secret"
  check "'$secret' is refused as a secret" has "$err" "a secret of 16 to"
  check "in one line" one_error
done
run serve "$work/run" --listen nowhere
check "an address without a port is misuse" test $code -eq 2
start
run serve "$work/run" --listen "${url#http://}"
check "a port in use is named" has "$err" "another server answers there"
check "and is a failure" test $code -eq 1
stop
run serve "$work/nothing"
check "a run that is not there fails" test $code -eq 1
finish
