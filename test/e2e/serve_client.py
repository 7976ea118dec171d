"""Asks a server what serve.sh wants to know; prints a line "PASS name" or "FAIL name: why" each.
serve_client.py URL TOKEN MODEL GODWIT RUN"""
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time

URL, TOKEN, MODEL, GODWIT, RUN = sys.argv[1:]
HOST, PORT = URL.split("//")[1].rsplit(":", 1)
BEARER = "Authorization: Bearer %s\r\n" % TOKEN


def ask(method, path, body=None, headers=None, raw=False):
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=60)
    headers = {"Authorization": "Bearer " + TOKEN} if headers is None else headers
    data = body if raw or body is None else json.dumps(body)
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    return response.status, response.read()


def complete(**options):
    status, body = ask("POST", "/v1/completions", {"model": MODEL, **options})
    assert status == 200, (status, body)
    return json.loads(body)


def generate(prompt, *options):
    out = subprocess.run([GODWIT, "generate", RUN, "--prompt", prompt, *options],
                         capture_output=True, check=True)
    return out.stdout.decode("utf-8", "replace")[len(prompt):-1]


def raw_socket(data):
    link = socket.create_connection((HOST, int(PORT)), timeout=30)
    link.sendall(data)
    return link


def head(path, *lines, method="POST"):
    text = "%s %s HTTP/1.1\r\nHost: x\r\n%s" % (method, path, BEARER)
    return (text + "".join(line + "\r\n" for line in lines) + "\r\n").encode()


def answers(*parts, pause=0, until=2):
    """The status of every answer to the bytes, sent with pauses between the parts, and what was
    read; the connection is read until it ends, or for so many seconds."""
    link = raw_socket(parts[0])
    for part in parts[1:]:
        time.sleep(pause)
        link.sendall(part)
    link.settimeout(until)
    data, ended = b"", False
    try:
        while not ended:
            piece = link.recv(65536)
            data, ended = data + piece, not piece
    except TimeoutError:
        pass
    except OSError:
        ended = True
    link.close()
    statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) [A-Z]", data)]
    return statuses, data, ended


def gauge(name):
    for line in ask("GET", "/metrics")[1].decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise AssertionError(name + " is not in /metrics")


def await_running(wanted, seconds):
    """An answer begins before its completion has a slot, and ends before it has left it."""
    until = time.time() + seconds
    while (running := gauge("godwit_serve_running")) != wanted:
        assert time.time() < until, f"{running} completions in work, not {wanted}"
        time.sleep(0.05)


def texts_are_those_of_generate():
    prompt = "the wind "
    for options, arguments in [
            ({"temperature": 0}, ["--temperature", "0"]),
            ({"seed": 5, "temperature": 0.8, "top_k": 20}, ["--seed", "5", "--temperature", "0.8",
                                                            "--top-k", "20"])]:
        answer = complete(prompt=prompt, max_tokens=60, **options)
        expected = generate(prompt, "--tokens", "60", *arguments)
        assert answer["choices"][0]["text"] == expected, (answer, expected)


def requests_at_once_get_what_they_get_alone():
    cases = [{"prompt": "a" * (i % 7 + 1), "max_tokens": 20 + 7 * i, "seed": i, "logprobs": 1}
             for i in range(24)]
    alone = [complete(**case)["choices"] for case in cases]
    together = [None] * len(cases)

    def run(i):
        together[i] = complete(**cases[i])["choices"]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
    batch = complete(prompt=[case["prompt"] for case in cases[:4]], max_tokens=9, n=2, seed=3)
    assert [choice["index"] for choice in batch["choices"]] == list(range(8))
    single = complete(prompt=cases[1]["prompt"], max_tokens=9, seed=4)
    assert batch["choices"][3]["text"] == single["choices"][0]["text"]


def streams_are_the_same_text():
    options = {"prompt": ["the sea", "a bird"], "max_tokens": 40, "seed": 2, "stop": ["nd"]}
    whole = complete(**options)
    status, body = ask("POST", "/v1/completions",
                       {"model": MODEL, "stream": True, "stream_options": {"include_usage": True},
                        **options})
    events = body.decode().split("\n\n")
    assert status == 200 and events[-1] == "" and events[-2] == "data: [DONE]", events[-2:]
    pieces = [json.loads(event[len("data: "):]) for event in events[:-2]]
    assert pieces[-1]["usage"] == whole["usage"] and pieces[-1]["choices"] == []
    for choice in whole["choices"]:
        mine = [piece["choices"][0] for piece in pieces[:-1]
                if piece["choices"][0]["index"] == choice["index"]]
        assert "".join(piece["text"] for piece in mine) == choice["text"]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]


def echo_scores_the_prompt():
    ids = json.loads(ask("POST", "/tokenize", {"prompt": "the wind"})[1])["tokens"]
    text = json.loads(ask("POST", "/detokenize", {"tokens": ids})[1])["prompt"]
    assert text == "the wind"
    scores = complete(prompt=ids, echo=True, logprobs=1, max_tokens=1, temperature=0)
    scores = scores["choices"][0]["logprobs"]
    assert len(scores["tokens"]) == len(ids) + 1 and scores["token_logprobs"][0] is None
    assert all(value < 0 for value in scores["token_logprobs"][1:])
    assert "".join(scores["tokens"][:len(ids)]) == "the wind"
    assert max(scores["top_logprobs"][-1].values()) == scores["token_logprobs"][-1]
    name = json.loads(ask("GET", "/tokenizer_info")[1])["eos_token"]
    end = json.loads(ask("POST", "/tokenize", {"prompt": name})[1])["tokens"]
    assert len(end) == 1
    inside = json.loads(ask("POST", "/tokenize", {"prompt": name + "the wind" + name})[1])
    assert inside["tokens"] == end + ids + end
    headed = complete(prompt=end + ids, echo=True, logprobs=1, max_tokens=0)
    plain = complete(prompt="the wind", echo=True, logprobs=1, max_tokens=0)
    assert headed["choices"][0]["logprobs"]["token_logprobs"][1:] == \
        plain["choices"][0]["logprobs"]["token_logprobs"]


def strangers_are_turned_away():
    for headers in ({}, {"Authorization": "Bearer " + TOKEN[:-1] + "x"},
                    {"Authorization": "Bearer " + TOKEN + "x"}, {"Authorization": TOKEN}):
        for path in ("/v1/models", "/metrics", "/nothing"):
            status, body = ask("GET", path, headers=headers)
            assert status == 401 and b"token" in body, (status, body)
    assert ask("GET", "/v1/models")[0] == 200


def bad_requests_are_named():
    for body in (b"{", b"\xff\xfe", b"[" * 1000000, b'{"model":"%s","prompt":' % MODEL.encode()):
        status, answer = ask("POST", "/v1/completions", body, raw=True)
        assert status == 400 and json.loads(answer)["error"]["message"], (status, answer)
    status, answer = ask("POST", "/v1/completions", {"model": MODEL, "prompt": "a", "tempo": 1})
    assert status == 400 and b"unknown parameter 'tempo'" in answer
    assert ask("GET", "/v1/completions")[0] == 405
    assert ask("GET", "/../../../etc/passwd")[0] == 404
    assert ask("GET", "/" + "a" * 5000)[0] == 404


def large_requests_are_refused():
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    head += TOKEN.encode() + b"\r\n"
    link = raw_socket(head + b"Content-Length: 99999999999\r\n\r\n")
    assert b" 413 " in link.recv(100)
    link.close()
    link = raw_socket(head + b"Transfer-Encoding: chunked\r\n\r\n")
    try:
        for _ in range(200):
            link.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    except OSError:
        pass
    answer = b""
    try:
        answer = link.recv(100)
    except OSError:
        pass
    assert answer == b"" or b" 413 " in answer, answer
    link.close()
    link = raw_socket(b"GET / HTTP/1.1\r\n" + b"A: %s\r\n" % (b"x" * 100000) + b"\r\n")
    try:
        assert b" 200 " not in link.recv(100)
    except OSError:
        pass
    link.close()
    link = raw_socket(bytes(range(256)) * 10 + b"\r\n\r\n")
    try:
        assert b" 200 " not in link.recv(100)
    except OSError:
        pass
    link.close()


def slow_clients_keep_nobody_waiting():
    slow = [raw_socket(b"POST /v1/completions HTTP/1.1\r\nContent-Le") for _ in range(60)]
    began = time.time()
    complete(prompt="quick", max_tokens=3)
    assert time.time() - began < 5
    for link in slow:
        link.close()


def more_connections_than_threads_are_served_in_turn():
    idle = [raw_socket(b"GET /health HTTP/1.1\r\nHo") for _ in range(200)]
    assert complete(prompt="late", max_tokens=3)["choices"][0]["finish_reason"] == "length"
    for link in idle:
        link.close()


BODY = json.dumps({"model": MODEL, "prompt": "a", "max_tokens": 3}).encode()
LENGTH = "Content-Length: %d" % len(BODY)


def lengths_are_checked():
    path, cases = "/v1/completions", {
        400: [["Content-Length: %dx" % len(BODY)], ["Content-Length: +%d" % len(BODY)],
              [LENGTH, LENGTH], [LENGTH, "Content-Length: 5"],
              ["Content-Length: 5", "Transfer-Encoding: chunked"]],
        411: [[], ["Content-Length: -5"], ["Content-Length: "]],
        413: [["Content-Length: 5000000"], ["Content-Length: 99999999999999999999"]],
        417: [[LENGTH, "Expect: the-moon"]]}
    for status, requests in cases.items():
        for lines in requests:
            statuses, data, ended = answers(head(path, *lines) + BODY)
            assert statuses == [status] and ended, (lines, data)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert answers(head(path, "Transfer-Encoding: chunked") + chunked)[0] == [200]
    assert answers(head(path, "Transfer-Encoding: chunked") + b"zz\r\n" + BODY)[0] == [400]


def connections_are_kept_and_ended():
    good = head("/v1/completions", LENGTH) + BODY
    health = head("/health", method="GET")
    assert answers(good + health + good)[0] == [200, 200, 200]
    statuses, data, ended = answers(head("/health", method="HEAD") + health)
    assert statuses == [200, 200] and data.count(b"status") == 1 and not ended, data
    assert answers(head("/health", method="PUT") + health)[0] == [405, 200]
    stranger = good.replace(TOKEN.encode(), b"someone-else" * 2)
    statuses, data, ended = answers(stranger, health, pause=0.2)
    assert statuses == [401] and ended, data  # its body is not read, nor what follows
    statuses, data, ended = answers(head("/v1/completions", LENGTH, "Expect: 100-continue"), BODY,
                                    pause=0.2)
    assert statuses == [100, 200], data
    stream = BODY[:-1] + b', "stream": true}'
    began = time.time()
    assert answers(head("/v1/completions", "Content-Length: %d" % len(stream)) + stream)[2]
    assert time.time() - began < 2
    assert ask("GET", "/health", headers={"Authorization": "bearer " + TOKEN})[0] == 200


def who_does_not_read_is_left():
    body = json.dumps({"model": MODEL, "prompt": ["x"] * 4, "max_tokens": 1000000, "stream": True,
                       "temperature": 0}).encode()
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect((HOST, int(PORT)))
    link.sendall(head("/v1/completions", "Content-Length: %d" % len(body)) + body)
    await_running(4, 5)
    await_running(0, 60)
    link.close()


class Dribbler(threading.Thread):
    """Sends a body byte by byte, until it is answered; meanwhile the others are served."""

    def __init__(self):
        super().__init__(daemon=True)
        self.link = raw_socket(head("/v1/completions", "Content-Length: 100000"))
        self.answer = b""
        self.start()

    def run(self):
        self.link.settimeout(0.2)
        for _ in range(300):
            try:
                self.link.sendall(b"x")
                self.answer = self.link.recv(100)
                return
            except TimeoutError:
                pass


def bodies_that_drip_are_refused():
    dribbler.join()
    assert b" 408 " in dribbler.answer, dribbler.answer


def metrics_are_those_of_server_and_run():
    text = ask("GET", "/metrics")[1].decode()
    assert text.endswith("\n") and "\n\n" not in text
    types, family = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in types and len(line.split()) > 3, line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and name not in types and kind in ("counter", "gauge"), line
            types[name] = kind
        else:
            sample = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? (\S+)', line)
            assert sample and sample[1] == family and family in types, line
            float(sample[4])
    assert types["godwit_serve_running"] == "gauge" and types["godwit_step"] == "gauge"
    assert 'godwit_step{run="%s"} 3\n' % MODEL in text
    assert 'godwit_state{run="%s",state="running"} 0\n' % MODEL in text


def who_leaves_is_not_worked_for():
    body = json.dumps({"model": MODEL, "prompt": "x", "max_tokens": 1000000, "stream": True,
                       "temperature": 0})
    link = raw_socket(("POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                       "Content-Length: %d\r\n\r\n%s" % (TOKEN, len(body), body)).encode())
    assert b" 200 " in link.recv(1000)
    await_running(1, 5)
    link.close()
    await_running(0, 10)


dribbler = Dribbler()
for test in (texts_are_those_of_generate, requests_at_once_get_what_they_get_alone,
             streams_are_the_same_text, echo_scores_the_prompt, strangers_are_turned_away,
             bad_requests_are_named, large_requests_are_refused, slow_clients_keep_nobody_waiting,
             more_connections_than_threads_are_served_in_turn, lengths_are_checked,
             connections_are_kept_and_ended, metrics_are_those_of_server_and_run,
             who_leaves_is_not_worked_for, who_does_not_read_is_left,
             bodies_that_drip_are_refused):
    try:
        test()
        print("PASS", test.__name__)
    except Exception as error:  # whatever it is, the next one is tried
        print("FAIL %s: %s %s" % (test.__name__, type(error).__name__, error))
