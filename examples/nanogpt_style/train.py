"""Train a small GPT on bytes of text.

    python train.py --n_embd=64 --learning_rate=0.002 --out_dir=runs/a

Every setting below can be given on the command line as --name=value. The text is `data`, a file
or a folder of *.txt and *.py files; by default the sources of Python's own standard library, so
nothing is downloaded (the text, and so the loss, differs a little between Python versions). The
last tenth of the bytes is held out. The same settings give the same run on the same machine.

At each evaluation the script prints a line and adds a row to `out_dir`/log.csv:
iter, train_loss, val_loss, lr. A log.csv that is there already is replaced.

With --checkpoint_dir the run is saved there at each evaluation, and one that was interrupted
continues from there: same command, same numbers as if it had never stopped.

Exit status: 0 the run is complete; 2 a setting was refused; 3 the run failed: the last line says
"loss is nan" (or inf), or "diverged at iter N": the loss passed ten times its first value.
"""

import csv
import math
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# model
n_layer = 2
n_head = 2
n_embd = 64
block_size = 64  # context length, in bytes
# training
batch_size = 16
max_iters = 400
learning_rate = 4e-3
min_lr = 0.0  # where the cosine ends, at max_iters
warmup_iters = 20
weight_decay = 0.1  # on matrices only
beta1 = 0.9
beta2 = 0.95
grad_clip = 1.0  # largest norm of the gradient; 0 turns clipping off
# everything else
eval_interval = 50
eval_windows = 128  # stretches of block_size bytes per evaluation, the same ones each time
seed = 0
device = "cpu"
data = ""  # a file or folder; "" is Python's standard library
max_bytes = 4_000_000  # read no more text than this
out_dir = "out"
checkpoint_dir = ""  # "" saves nothing

SETTINGS = {k: v for k, v in globals().items() if type(v) in (int, float, str) and k[0] != "_"}
VOCAB_SIZE = 256  # a token is a byte


def fail(message: str) -> NoReturn:
    """Print what is wrong with the settings, and exit with status 2."""
    print(f"train.py: error: {message}", file=sys.stderr)
    sys.exit(2)


def read_command_line(args: list[str]) -> dict[str, int | float | str]:
    """Turn ["--n_layer=3", ...] into {"n_layer": 3, ...}, each value of its default's type."""
    settings = {}
    for arg in args:
        if arg in ("-h", "--help"):
            print(__doc__, "Settings and their defaults:", sep="\n")
            print(*(f"  --{name}={default}" for name, default in SETTINGS.items()), sep="\n")
            sys.exit(0)
        name, equals, text = arg.removeprefix("--").partition("=")
        if not (arg.startswith("--") and equals):
            fail(f"{arg!r}: write settings as --name=value")
        if name not in SETTINGS:
            fail(f"--{name}: no such setting; there are {', '.join(SETTINGS)}")
        kind = type(SETTINGS[name])
        try:
            settings[name] = kind(text)
        except ValueError:
            fail(f"{arg}: the value has to be {'an int' if kind is int else 'a float'}")
    return settings


def check_settings() -> None:
    """Fail if the settings cannot work."""
    sizes = ("n_layer", "n_head", "n_embd", "block_size", "batch_size")
    for name in (*sizes, "eval_interval", "eval_windows"):
        if globals()[name] < 1:
            fail(f"--{name} has to be at least 1")
    if n_embd % n_head:
        fail(f"--n_embd={n_embd} is not a multiple of --n_head={n_head}")


def load_text() -> tuple[Tensor, Tensor]:
    """Read the bytes to train on and the bytes to validate on."""
    path = Path(data) if data else Path(os.__file__).parent
    files = [path]
    if path.is_dir():
        files = sorted([*path.glob("*.py"), *(path.glob("*.txt") if data else [])])
    try:
        text = bytearray(b"".join(file.read_bytes() for file in files)[:max_bytes])
    except OSError as error:
        fail(f"--data={data}: {error}")
    held_out = len(text) // 10
    if held_out <= block_size:
        fail(f"--data={data}: {len(text)} bytes are too few for --block_size={block_size}")
    tokens = torch.frombuffer(text, dtype=torch.uint8)
    return tokens[:-held_out], tokens[-held_out:]


class Block(nn.Module):
    """One layer: causal self-attention, then an MLP, each behind a LayerNorm."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.ln_attn = nn.LayerNorm(n_embd)
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.attn_out = nn.Linear(n_embd, n_embd)
        self.ln_mlp = nn.LayerNorm(n_embd)
        self.mlp_in = nn.Linear(n_embd, 4 * n_embd)
        self.mlp_out = nn.Linear(4 * n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """Add the outputs of attention and MLP to the residual stream."""
        qkv = self.qkv(self.ln_attn(x)).unflatten(-1, (3, self.n_head, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each: batch, head, time, channel
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_out(mixed.transpose(1, 2).flatten(-2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.ln_mlp(x))))


class GPT(nn.Module):
    """A decoder-only transformer with learned positions and a head of its own."""

    def __init__(self, n_layer: int, n_head: int, n_embd: int, block_size: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(VOCAB_SIZE, n_embd)
        self.position_embedding = nn.Embedding(block_size, n_embd)
        self.blocks = nn.ModuleList(Block(n_embd, n_head) for _ in range(n_layer))
        self.ln_final = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, VOCAB_SIZE, bias=False)

    def init_weights(self, generator: torch.Generator) -> None:
        """Draw the weights as GPT-2 does: std 0.02, less where a layer writes to the residual."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                writes = name.endswith(("attn_out.weight", "mlp_out.weight"))
                std = 0.02 / math.sqrt(2 * len(self.blocks)) if writes else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next byte at every position."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.ln_final(x))


def loss_at(model: nn.Module, tokens: Tensor, starts: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats per byte, on the windows that begin at `starts`."""
    window = tokens[starts[:, None] + torch.arange(block_size + 1)].long().to(device)
    return F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())


@torch.no_grad()
def evaluate(model: nn.Module, tokens: Tensor) -> float:
    """Return the loss on windows spread evenly over the text."""
    starts = torch.arange(eval_windows) * (len(tokens) - block_size) // eval_windows
    return loss_at(model, tokens, starts).item()


def lr_at(iteration: int) -> float:
    """Return the learning rate: a linear warmup, then half a cosine down to min_lr."""
    if iteration < warmup_iters:
        return learning_rate * (iteration + 1) / warmup_iters
    progress = (iteration - warmup_iters) / max(1, max_iters - warmup_iters)
    return min_lr + (learning_rate - min_lr) * (1 + math.cos(math.pi * progress)) / 2


def stop_if_failed(loss: float, first_loss: float, iteration: int) -> None:
    """Exit with status 3 if the run has failed."""
    if not math.isfinite(loss) or loss > 10 * first_loss:
        print(f"diverged at iter {iteration}" if math.isfinite(loss) else f"loss is {loss}")
        sys.exit(3)


def save_checkpoint(state: dict[str, Any]) -> None:
    """Write the state of a run, so that the file is complete whenever the process is killed."""
    if checkpoint_dir:
        draft = Path(checkpoint_dir) / "checkpoint.draft"
        with open(draft, "wb") as file:
            torch.save({**state, "settings": run_settings()}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, draft.with_suffix(".pt"))


def load_checkpoint() -> dict[str, Any] | None:
    """Read the state of an interrupted run, if there is one."""
    path = Path(checkpoint_dir) / "checkpoint.pt"
    if not checkpoint_dir or not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["settings"] != run_settings():
        fail(f"--checkpoint_dir={checkpoint_dir} has a run of other settings")
    return state


def run_settings() -> dict[str, int | float | str]:
    """Return the settings that decide what a run computes: all but its folders."""
    return {k: globals()[k] for k in SETTINGS if k not in ("out_dir", "checkpoint_dir")}


def main() -> None:
    """Train the model, with an evaluation every `eval_interval` iterations."""
    check_settings()
    train_tokens, val_tokens = load_text()

    # Weights and batches have separate generators, so that every model sees the same batches.
    model = GPT(n_layer, n_head, n_embd, block_size)
    model.init_weights(torch.Generator().manual_seed(seed))
    model.to(device)
    batches = torch.Generator().manual_seed(seed)

    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(beta1, beta2))

    first, rows = 0, []
    if state := load_checkpoint():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        batches.set_state(state["batches"])
        first, rows = state["iteration"], state["rows"]
        print(f"continues at iter {first}", flush=True)

    for folder in filter(None, (out_dir, checkpoint_dir)):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with open(Path(out_dir) / "log.csv", "w", newline="", encoding="utf-8") as file:
        log = csv.writer(file)
        log.writerow(["iter", "train_loss", "val_loss", "lr"])
        log.writerows(rows)
        start, first_loss = time.perf_counter(), rows[0][1] if rows else math.inf
        for iteration in range(first, max_iters + 1):
            lr = lr_at(iteration)

            if iteration % eval_interval == 0 or iteration == max_iters:
                if iteration > first:
                    save_checkpoint(
                        {
                            "iteration": iteration,
                            "rows": rows,
                            "model": model.state_dict(),
                            "optimizer": optimizer.state_dict(),
                            "batches": batches.get_state(),
                        }
                    )
                train_loss, val_loss = evaluate(model, train_tokens), evaluate(model, val_tokens)
                rows.append([iteration, train_loss, val_loss, lr])
                log.writerow(rows[-1])
                file.flush()
                seconds = time.perf_counter() - start
                losses = f"train {train_loss:.4f}, val {val_loss:.4f}"
                print(f"iter {iteration}: {losses}, {seconds:.1f} s", flush=True)
                if iteration == 0:
                    first_loss = train_loss
                stop_if_failed(train_loss, first_loss, iteration)
            if iteration == max_iters:
                break

            starts = torch.randint(len(train_tokens) - block_size, (batch_size,), generator=batches)
            loss = loss_at(model, train_tokens, starts)
            stop_if_failed(loss.item(), first_loss, iteration)
            optimizer.zero_grad()
            loss.backward()
            if grad_clip:
                nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()


if __name__ == "__main__":
    globals().update(read_command_line(sys.argv[1:]))
    main()
