#!/usr/bin/env python3
"""GPT-2 trained by PyTorch, the peer of bench_train: the same model, batch and kind of step.

usage: torch_gpt.py --layers L --width C --heads H --context T --vocab V --batch B
                    [--lanes N] [--dtype f32|bf16] [--compile] [--threads N]

Answers each line of standard input with one line of JSON, as bench/bench_train.c does:
  (start)  {"parameters": N, "torch": version}
  step     {"ns": whole step, "loss": nats per token}
until quit or the end of the input. Written as PyTorch likes it best: one product for q, k and v,
its own causal attention, cross-entropy and AdamW in their fused forms, gradients freed between
steps; bf16 is its autocast. Nothing of the step is left out on either side: forward, backward,
clipping by the global norm, AdamW with decayed matrices. A step of several lanes adds up the
gradients of as many batches.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x):
        batch, time_steps, width = x.shape
        q, k, v = (part.view(batch, time_steps, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(x).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(batch, time_steps, width))

    def forward(self, x):
        x = x + self.attention(self.ln_1(x))
        return x + self.out(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.tokens = nn.Embedding(shape.vocab, shape.width)
        self.places = nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=True)


def draw(shape):
    return torch.randint(shape.vocab, (shape.batch, shape.context))


class Bench:
    def __init__(self, shape):
        self.shape = shape
        self.model = Gpt(shape)
        self.optimizer = make_optimizer(self.model)
        self.loss_of = torch.compile(self.model) if shape.compile else self.model

    def lane(self, tokens, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.shape.dtype == "bf16"):
            loss = self.loss_of(tokens, targets) / self.shape.lanes
        loss.backward()
        return loss.item()

    def step(self):
        batches = [(draw(self.shape), draw(self.shape)) for _ in range(self.shape.lanes)]
        start = time.perf_counter_ns()
        loss = sum(self.lane(tokens, targets) for tokens, targets in batches)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"ns": time.perf_counter_ns() - start, "loss": loss}


def parse_arguments():
    parser = argparse.ArgumentParser()
    for name in ("layers", "width", "heads", "context", "vocab", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def say(what):
    print(json.dumps(what), flush=True)


def main():
    shape = parse_arguments()
    torch.set_num_threads(shape.threads)
    torch.manual_seed(1)
    bench = Bench(shape)
    count = sum(parameter.numel() for parameter in bench.model.parameters())
    say({"parameters": count, "torch": torch.__version__})
    for line in sys.stdin:
        if line != "step\n":
            break
        say(bench.step())


if __name__ == "__main__":
    main()
