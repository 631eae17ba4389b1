"""Models written in the conventions of other libraries; none imports mutransfer."""

import math

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 32


class EinsumGPT(nn.Module):
    """Raw tensors and einsum throughout, learned positions, a readout tied to the table."""

    def __init__(self, d, *, heads=None, readout=0.0):
        super().__init__()
        self.d, self.readout = d, readout
        h = heads or d // 8
        k = d // h
        self.wte = nn.Parameter(torch.randn(VOCABULARY, d) * 0.02)
        self.wpe = nn.Parameter(torch.randn(16, d) * 0.02)
        for name, shape, fan in (
            ("wq", (d, h, k), d), ("wk", (d, h, k), d), ("wv", (d, h, k), d), ("wo", (h, k, d), d),
            ("w1", (d, 4 * d), d), ("w2", (4 * d, d), 4 * d),
        ):  # fmt: skip
            setattr(self, name, nn.Parameter(torch.randn(shape) / fan**0.5))
        for name in ("g1", "g2", "gf"):
            setattr(self, name, nn.Parameter(torch.ones(d)))

    def norm(self, x, g):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * g

    def forward(self, t):
        T = t.shape[1]
        x = self.wte[t] + self.wpe[:T]
        y = self.norm(x, self.g1)
        q, k, v = (torch.einsum("btd,dhk->bhtk", y, w) for w in (self.wq, self.wk, self.wv))
        a = torch.einsum("bhqk,bhsk->bhqs", q, k) / math.sqrt(q.shape[-1])
        a = a.masked_fill(torch.triu(torch.ones(T, T, dtype=torch.bool), 1), -1e9).softmax(-1)
        x = x + torch.einsum("bhqt,bhtk,hkd->bqd", a, v, self.wo)
        f = F.gelu(torch.einsum("btd,df->btf", self.norm(x, self.g2), self.w1))
        x = x + torch.einsum("btf,fd->btd", f, self.w2)
        x = self.norm(x, self.gf) * (self.d / 32) ** self.readout
        return torch.einsum("btd,vd->btv", x, self.wte)


class MoE(nn.Module):
    """Experts as 3-D tensors, and a router that selects two of them and returns its logits."""

    def __init__(self, d, experts=4):
        super().__init__()
        self.emb = nn.Embedding(VOCABULARY, d)
        self.norm = nn.LayerNorm(d)
        self.router = nn.Linear(d, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, d, 2 * d) / d**0.5)
        self.down = nn.Parameter(torch.randn(experts, 2 * d, d) / (2 * d) ** 0.5)
        self.head = nn.Linear(d, VOCABULARY, bias=False)

    def forward(self, t):
        x = self.emb(t)
        y = self.norm(x).flatten(0, 1)
        logits = self.router(y)
        share, chosen = logits.softmax(-1).topk(2, -1)
        out = torch.zeros_like(y)
        for e in range(self.up.shape[0]):
            row, place = (chosen == e).nonzero(as_tuple=True)
            if len(row):
                result = F.relu(y[row] @ self.up[e]) @ self.down[e]
                out.index_add_(0, row, result * share[row, place, None])
        return self.head(self.norm(x + out.view_as(x))), logits


class ConvNet(nn.Module):
    """Depthwise blocks with a layer scale, and a head of raw tensors."""

    def __init__(self, d):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, d, 3, padding=1), nn.BatchNorm2d(d)
        self.dw = nn.Conv2d(d, d, 3, padding=1, groups=d)
        self.pw = nn.Conv2d(d, 2 * d, 1)
        self.scale = nn.Parameter(torch.full((d, 1, 1), 0.1))
        self.head = nn.Parameter(torch.randn(2 * d, 10) / (2 * d) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, x):
        x = self.bn(self.stem(x)).relu()
        x = x + self.scale * self.dw(x)
        return self.pw(x).relu().mean((2, 3)) @ self.head + self.bias


class Gemma(nn.Module):
    """√d on embeddings in a buffer, rotary positions, grouped queries, T5's d^-½ at a tied head."""

    def __init__(self, d, heads=4):
        super().__init__()
        self.d, self.heads = d, heads
        self.emb = nn.Embedding(VOCABULARY, d)
        self.register_buffer("normalizer", torch.tensor(d**0.5))
        self.n, self.f = nn.RMSNorm(d), nn.RMSNorm(d)
        self.q, self.o = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.k, self.v = nn.Linear(d, d // 2, bias=False), nn.Linear(d, d // 2, bias=False)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        self.head = nn.Linear(d, VOCABULARY, bias=False)
        self.head.weight = self.emb.weight

    def rotate(self, x):
        half = x.shape[-1] // 2
        angle = torch.arange(x.shape[-2])[:, None] * torch.ones(half)[None]
        angle = torch.cat([angle, angle], -1)
        half_turn = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * angle.cos() + half_turn * angle.sin()

    def forward(self, t):
        x = self.emb(t) * self.normalizer
        B, T, d = x.shape
        y = self.n(x)
        q = self.q(y).view(B, T, self.heads, -1).transpose(1, 2)
        k, v = (m(y).view(B, T, self.heads // 2, -1).transpose(1, 2) for m in (self.k, self.v))
        q, k = self.rotate(q), self.rotate(k)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(a.transpose(1, 2).reshape(B, T, d))
        x = x + self.down(F.gelu(self.up(self.f(x))))
        return self.head(self.f(x) * self.d**-0.5)


class Mamba(nn.Module):
    """A selective state-space layer, looped over time."""

    def __init__(self, d, states=8):
        super().__init__()
        self.states = states
        self.emb, self.inp = nn.Embedding(VOCABULARY, d), nn.Linear(d, 2 * d, bias=False)
        self.conv = nn.Conv1d(d, d, 4, groups=d, padding=3)
        self.xp, self.dt = nn.Linear(d, 4 + 2 * states, bias=False), nn.Linear(4, d)
        rates = torch.arange(1, states + 1).float().repeat(d, 1)
        self.A_log, self.D = nn.Parameter(torch.log(rates)), nn.Parameter(torch.ones(d))
        self.out = nn.Linear(d, d, bias=False)
        self.head = nn.Linear(d, VOCABULARY, bias=False)

    def forward(self, t):
        x, z = self.inp(self.emb(t)).chunk(2, -1)
        T = x.shape[1]
        x = F.silu(self.conv(x.transpose(1, 2))[..., :T].transpose(1, 2))
        dt, b, c = self.xp(x).split([4, self.states, self.states], -1)
        dt, A = F.softplus(self.dt(dt)), -torch.exp(self.A_log)
        h, ys = torch.zeros(x.shape[0], x.shape[2], self.states), []
        for i in range(T):
            decayed = torch.exp(dt[:, i, :, None] * A) * h
            h = decayed + dt[:, i, :, None] * b[:, i, None, :] * x[:, i, :, None]
            ys.append(torch.einsum("bdn,bn->bd", h, c[:, i]))
        y = torch.stack(ys, 1) + self.D * x
        return self.head(self.out(y * F.silu(z)))


class LoRA(nn.Module):
    """A low-rank pair added to a frozen layer's output, or merged into its weight."""

    def __init__(self, d, rank=4, *, merged=False):
        super().__init__()
        self.merged = merged
        self.inp, self.w, self.head = nn.Linear(8, d), nn.Linear(d, d), nn.Linear(d, 10)
        self.A, self.B = (
            nn.Parameter(torch.randn(rank, d) / d**0.5),
            nn.Parameter(torch.zeros(d, rank)),
        )
        self.w.weight.requires_grad_(False)

    def forward(self, x):
        x = self.inp(x).relu()
        if self.merged:
            y = F.linear(x, self.w.weight + self.B @ self.A, self.w.bias)
        else:
            y = self.w(x) + 2 * (x @ self.A.T @ self.B.T)
        return self.head(y.relu())


class ViT(nn.Module):
    """A class token, a position table, torch's encoder layer, outputs in a dict."""

    def __init__(self, d, heads=None):
        super().__init__()
        self.patch = nn.Conv2d(3, d, 4, 4)
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.pos = nn.Parameter(torch.randn(1, 5, d) * 0.02)
        self.enc = nn.TransformerEncoderLayer(d, heads or d // 8, 2 * d, 0.0, batch_first=True)
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return {"logits": self.head(self.enc(x)[:, 0])}


class Queries(nn.Module):
    """Learned queries of a cross-attention, and two heads."""

    def __init__(self, d):
        super().__init__()
        self.inp, self.ln = nn.Linear(8, d), nn.LayerNorm(d)
        self.q = nn.Parameter(torch.randn(6, d) * 0.02)
        self.att = nn.MultiheadAttention(d, d // 8, batch_first=True)
        self.value, self.policy = nn.Linear(d, 1), nn.Linear(d, 3)

    def forward(self, x):
        q, x = self.ln(self.q).expand(x.shape[0], -1, -1), self.inp(x)
        y = self.att(q, x, x, need_weights=False)[0]
        return self.value(y), self.policy(y)


class UnitNorm(nn.Module):
    """Hand-written norms whose factors of √d cancel their own sums, and a final dot product."""

    def __init__(self, d):
        super().__init__()
        self.d = d
        self.inp, self.w = nn.Linear(8, d), nn.Linear(d, d)
        self.g1, self.g2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))
        self.v, self.scale = nn.Parameter(torch.randn(d) / d**0.5), nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        x = F.normalize(self.inp(x), dim=-1) * self.d**0.5 * self.g1
        x = self.w(x).relu()
        size = x.norm(dim=-1, keepdim=True) * self.d**-0.5
        x = x / (size + 1e-6) * (1 + self.g2)
        return (x * self.v).sum(-1) * self.scale
