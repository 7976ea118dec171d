"""Programs that are kept running and take turns: each answers a line of input by one of JSON."""

import json
import os
import subprocess
import tempfile
import time

PAUSE = 0.05  # seconds after a step until spinning threads have gone to sleep


class Missing(Exception):
    """A program that cannot take part, and why."""


class Program:
    """A child that answers each line of its input with a line of JSON. Use it in a `with`."""

    def __init__(self, command, environment):
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(command, env={**kept, **environment}, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log)
        self.hello = self.answer()
        self.ns, self.memory = [], 0

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.log.seek(0)
            raise Missing(self.log.read().strip().split("\n")[-1] or f"ended with code {code}")
        return json.loads(line)

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.answer()

    def step(self):
        """Asks for one, and gives spinning threads time to go to sleep."""
        answer = self.ask("step")
        time.sleep(PAUSE)
        return answer["ns"]

    def forget_memory_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")

    def memory_peak(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            field = next(line for line in file if line.startswith("VmHWM:"))
        return int(field.split()[1]) * 1024

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.process.stdin.close()
        self.process.wait()
        self.log.close()
