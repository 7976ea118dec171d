#!/usr/bin/python3
"""Golden vectors: both model families in float64 PyTorch, written out from their formulas.

    make_vectors.py --out FOLDER [--seed N]

For each variant writes NAME.yaml (the recipe's model section) and NAME.safetensors:
    param.*     parameters, f32 (drawn as f32, so that both sides start from the same numbers)
    grad.*      their gradients of the loss, f32
    tokens, targets, positions   i32 [B,T]
    logits      f32 [B,T,V]
    loss        f64 []: sum over counted tokens of (-log p + z_loss lse^2), divided by B T

positions[b,t] says how many tokens back query t may look: it counts from 0 in every document.
The kept vectors are those of the default seed; test/unit/test_golden.c compares godwit with them,
and with fresh ones where PyTorch is there. Needs PyTorch only (Debian: python3-torch).
"""
import argparse
import json
import math
import os
import struct

import torch

torch.set_default_dtype(torch.float64)

SHARED = dict(layers=2, width=24, heads=4, context=12, vocab_size=37, norm_epsilon=1e-5)
VARIANTS = {
    # grouped queries, QK-norm, tied head
    "llama-tied": dict(SHARED, family="llama", kv_heads=2, hidden=28, activation="swiglu",
                       qk_norm=True, tie_embeddings=True, window=0, rope_theta=10000.0, z_loss=0.0),
    "llama-window": dict(SHARED, family="llama", kv_heads=4, hidden=28, activation="relu2",
                         qk_norm=False, tie_embeddings=False, window=5, rope_theta=500.0,
                         z_loss=1e-3),
    "gpt2": dict(SHARED, family="gpt2", kv_heads=4, hidden=40, activation="gelu", z_loss=0.0),
}
BATCH = 2


# ---- parameters ----

def parameter_shapes(m):
    """Name -> shape; matrices are [out, in]."""
    return llama_shapes(m) if m["family"] == "llama" else gpt2_shapes(m)


def llama_shapes(m):
    width, hidden, head = m["width"], m["hidden"], m["width"] // m["heads"]
    shapes = {"model.embed_tokens.weight": (m["vocab_size"], width)}
    for i in range(m["layers"]):
        at = f"model.layers.{i}."
        shapes[at + "input_layernorm.weight"] = (width,)
        shapes[at + "self_attn.q_proj.weight"] = (m["heads"] * head, width)
        shapes[at + "self_attn.k_proj.weight"] = (m["kv_heads"] * head, width)
        shapes[at + "self_attn.v_proj.weight"] = (m["kv_heads"] * head, width)
        if m["qk_norm"]:
            shapes[at + "self_attn.q_norm.weight"] = (head,)
            shapes[at + "self_attn.k_norm.weight"] = (head,)
        shapes[at + "self_attn.o_proj.weight"] = (width, m["heads"] * head)
        shapes[at + "post_attention_layernorm.weight"] = (width,)
        if m["activation"] == "swiglu":
            shapes[at + "mlp.gate_proj.weight"] = (hidden, width)
        shapes[at + "mlp.up_proj.weight"] = (hidden, width)
        shapes[at + "mlp.down_proj.weight"] = (width, hidden)
    shapes["model.norm.weight"] = (width,)
    if not m["tie_embeddings"]:
        shapes["lm_head.weight"] = (m["vocab_size"], width)
    return shapes


def gpt2_shapes(m):
    width, hidden = m["width"], m["hidden"]
    shapes = {"wte.weight": (m["vocab_size"], width), "wpe.weight": (m["context"], width)}

    def add(name, out, into=None):
        shapes[name + ".weight"] = (out, into) if into else (out,)
        shapes[name + ".bias"] = (out,)

    for i in range(m["layers"]):
        add(f"h.{i}.ln_1", width)
        for part in ("attn.q", "attn.k", "attn.v", "attn.proj"):
            add(f"h.{i}.{part}", width, width)
        add(f"h.{i}.ln_2", width)
        add(f"h.{i}.mlp.fc", hidden, width)
        add(f"h.{i}.mlp.proj", width, hidden)
    add("ln_f", width)
    return shapes


def draw_parameters(m, generator):
    """Large enough that attention is far from uniform and every term matters."""
    params = {}
    for name, shape in parameter_shapes(m).items():
        value = torch.randn(shape, generator=generator)
        if len(shape) == 2:
            value *= 0.3
        elif name.endswith(".bias"):
            value *= 0.2
        else:
            value = 1 + 0.2 * value
        params[name] = value.float().double().requires_grad_()
    return params


# ---- data ----

def draw_data(m, generator):
    """Sequence 0 holds two documents, the others one; a few targets are not counted (-1)."""
    shape = (BATCH, m["context"])
    tokens = torch.randint(m["vocab_size"], shape, generator=generator)
    targets = torch.randint(m["vocab_size"], shape, generator=generator)
    targets[torch.rand(shape, generator=generator) < 0.15] = -1
    positions = torch.arange(m["context"]).repeat(BATCH, 1)
    first = int(torch.randint(2, m["context"] - 2, (1,), generator=generator))
    positions[0, first:] -= first
    return tokens, targets, positions


# ---- the models ----

def rms_norm(x, weight, epsilon):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon) * weight


def layer_norm(x, weight, bias, epsilon):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + epsilon) * weight + bias


def rotate(x, positions, theta):
    """x [B,T,H,D]: the pair (i, i + D/2) turns by positions theta^(-2i/D)."""
    half = x.shape[-1] // 2
    angle = positions[:, :, None, None] * theta ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attention(q, k, v, positions, window):
    """q [B,T,H,D], k and v [B,T,Hkv,D] -> [B,T,H D]."""
    batch, length, heads, head = q.shape
    k = k.repeat_interleave(heads // k.shape[2], 2)
    v = v.repeat_interleave(heads // v.shape[2], 2)
    back = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    seen = (back >= 0) & (back <= positions[:, :, None])
    if window:
        seen &= back < window
    scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(head)
    weights = torch.softmax(scores.masked_fill(~seen[:, None], -math.inf), -1)
    return torch.einsum("bhts,bshd->bthd", weights, v).reshape(batch, length, heads * head)


def llama(m, p, tokens, positions):
    heads, head, epsilon = m["heads"], m["width"] // m["heads"], m["norm_epsilon"]

    def split(x, count):
        return x.reshape(*x.shape[:2], count, head)

    x = p["model.embed_tokens.weight"][tokens]
    for i in range(m["layers"]):
        w = {n[len(f"model.layers.{i}."):]: t for n, t in p.items() if f"layers.{i}." in n}
        h = rms_norm(x, w["input_layernorm.weight"], epsilon)
        q = split(h @ w["self_attn.q_proj.weight"].T, heads)
        k = split(h @ w["self_attn.k_proj.weight"].T, m["kv_heads"])
        v = split(h @ w["self_attn.v_proj.weight"].T, m["kv_heads"])
        if m["qk_norm"]:
            q = rms_norm(q, w["self_attn.q_norm.weight"], epsilon)
            k = rms_norm(k, w["self_attn.k_norm.weight"], epsilon)
        q, k = rotate(q, positions, m["rope_theta"]), rotate(k, positions, m["rope_theta"])
        y = attention(q, k, v, positions, m["window"])
        x = x + y @ w["self_attn.o_proj.weight"].T
        h = rms_norm(x, w["post_attention_layernorm.weight"], epsilon)
        up = h @ w["mlp.up_proj.weight"].T
        if m["activation"] == "swiglu":
            gate = h @ w["mlp.gate_proj.weight"].T
            h = gate * torch.sigmoid(gate) * up
        else:
            h = torch.relu(up) ** 2
        x = x + h @ w["mlp.down_proj.weight"].T
    x = rms_norm(x, p["model.norm.weight"], epsilon)
    head_name = "model.embed_tokens.weight" if m["tie_embeddings"] else "lm_head.weight"
    return x @ p[head_name].T


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gpt2(m, p, tokens, positions):
    heads, epsilon = m["heads"], m["norm_epsilon"]

    def linear(x, name):
        return x @ p[name + ".weight"].T + p[name + ".bias"]

    def norm(x, name):
        return layer_norm(x, p[name + ".weight"], p[name + ".bias"], epsilon)

    x = p["wte.weight"][tokens] + p["wpe.weight"][positions]
    for i in range(m["layers"]):
        h = norm(x, f"h.{i}.ln_1")
        q, k, v = (linear(h, f"h.{i}.attn.{part}").reshape(*h.shape[:2], heads, -1)
                   for part in "qkv")
        x = x + linear(attention(q, k, v, positions, 0), f"h.{i}.attn.proj")
        h = gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.fc"))
        x = x + linear(h, f"h.{i}.mlp.proj")
    return norm(x, "ln_f") @ p["wte.weight"].T


def loss_of(logits, targets, z_loss):
    lse = torch.logsumexp(logits, -1)
    picked = logits.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    losses = lse - picked + z_loss * lse**2
    return losses[targets >= 0].sum() / targets.numel()


# ---- files ----

FORMATS = {"F32": (torch.float32, "f"), "F64": (torch.float64, "d"), "I32": (torch.int32, "i")}


def write_safetensors(path, tensors):
    """tensors: name -> (dtype name, tensor). Format: header length, JSON header, raw data."""
    header, data = {}, b""
    for name, (dtype, tensor) in tensors.items():
        values = tensor.detach().to(FORMATS[dtype][0]).flatten().tolist()
        raw = struct.pack(f"<{len(values)}{FORMATS[dtype][1]}", *values)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def write_recipe(path, m):
    with open(path, "w") as file:
        file.write("model:\n")
        for key, value in m.items():
            file.write(f"  {key}: {str(value).lower() if isinstance(value, bool) else value}\n")


def make(name, m, folder, seed):
    generator = torch.Generator().manual_seed(seed)
    params = draw_parameters(m, generator)
    tokens, targets, positions = draw_data(m, generator)
    model = llama if m["family"] == "llama" else gpt2
    logits = model(m, params, tokens, positions)
    loss = loss_of(logits, targets, m["z_loss"])
    loss.backward()
    tensors = {"param." + n: ("F32", p) for n, p in params.items()}
    tensors.update({"grad." + n: ("F32", p.grad) for n, p in params.items()})
    tensors.update(tokens=("I32", tokens), targets=("I32", targets), positions=("I32", positions),
                   logits=("F32", logits), loss=("F64", loss))
    write_safetensors(os.path.join(folder, name + ".safetensors"), tensors)
    write_recipe(os.path.join(folder, name + ".yaml"), m)
    print(f"{name}: loss {loss.item():.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for index, (name, m) in enumerate(VARIANTS.items()):
        make(name, m, arguments.out, arguments.seed * 1000 + index)


if __name__ == "__main__":
    main()
