"""Asks a server what serve.sh wants to know; prints a line "PASS name" or "FAIL name: why" each.
serve_client.py URL TOKEN MODEL GODWIT RUN"""
import http.client
import json
import socket
import subprocess
import sys
import threading
import time

URL, TOKEN, MODEL, GODWIT, RUN = sys.argv[1:]
HOST, PORT = URL.split("//")[1].rsplit(":", 1)


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


def gauge(name):
    for line in ask("GET", "/metrics")[1].decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise AssertionError(name + " is not in /metrics")


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


def who_leaves_is_not_worked_for():
    body = json.dumps({"model": MODEL, "prompt": "x", "max_tokens": 1000000, "stream": True,
                       "temperature": 0})
    link = raw_socket(("POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                       "Content-Length: %d\r\n\r\n%s" % (TOKEN, len(body), body)).encode())
    assert b" 200 " in link.recv(1000)
    assert gauge("godwit_serve_running") == 1
    link.close()
    for _ in range(100):
        if gauge("godwit_serve_running") == 0:
            return
        time.sleep(0.1)
    raise AssertionError("still at work")


for test in (texts_are_those_of_generate, requests_at_once_get_what_they_get_alone,
             streams_are_the_same_text, echo_scores_the_prompt, strangers_are_turned_away,
             bad_requests_are_named, large_requests_are_refused, slow_clients_keep_nobody_waiting,
             who_leaves_is_not_worked_for):
    try:
        test()
        print("PASS", test.__name__)
    except Exception as error:  # whatever it is, the next one is tried
        print("FAIL %s: %s %s" % (test.__name__, type(error).__name__, error))
