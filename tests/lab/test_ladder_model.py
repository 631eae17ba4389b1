"""Each rule of the hand-written decoder does what Table 8 prescribes, and nothing else."""

import pytest
import torch

from mutransfer.lab.ladder_model import next_token_loss, rung_batch, rung_model, rung_optimizer
from mutransfer.workflows import named_study

SPEC = named_study("eleuther-ladder")
BASE = SPEC.check.base
SP = frozenset()
ALL_RULES = SPEC.rules(4)


def std(parameter: torch.Tensor) -> float:
    return float(parameter.detach().double().std())


def model(rules: frozenset, width: int = 2 * BASE):
    torch.manual_seed(0)
    return rung_model(SPEC, rules, width)


def logits(rules: frozenset, width: int = 2 * BASE) -> torch.Tensor:
    with torch.no_grad():
        return model(rules, width)(rung_batch(SPEC)[:, :-1])


def test_under_sp_every_weight_has_the_same_standard_deviation() -> None:
    stds = [std(p) for p in model(SP).parameters()]
    assert stds == pytest.approx([SPEC.model.init_std] * len(stds), rel=0.05)


def test_the_hidden_init_rule_shrinks_hidden_weights_only() -> None:
    """Table 8: hidden std falls as the root of width, embedding and readout keep theirs."""
    plain, scaled = model(SP), model(frozenset({"hidden init"}))
    ratios = {
        name: std(p) / std(plain.get_parameter(name)) for name, p in scaled.named_parameters()
    }
    hidden = {name for name in ratios if name.startswith("blocks.")}
    assert len(hidden) == 12
    assert set(ratios) - hidden == {"embedding.weight", "readout.weight"}
    for name, ratio in ratios.items():
        assert ratio == pytest.approx(2**-0.5 if name in hidden else 1.0)


@pytest.mark.parametrize("rule", [None, "hidden rate"])
def test_the_hidden_rate_rule_halves_the_rate_of_hidden_matrices_only(rule) -> None:
    rules = frozenset({rule} - {None})
    decoder = model(rules)
    rates = {
        id(p): group["lr"]
        for group in rung_optimizer(SPEC, rules, decoder).param_groups
        for p in group["params"]
    }
    for name, parameter in decoder.named_parameters():
        halved = rule is not None and name.startswith("blocks.")
        assert rates[id(parameter)] == SPEC.check.lr * (0.5 if halved else 1.0)


def test_the_output_multiplier_halves_the_logits_exactly() -> None:
    assert torch.equal(logits(frozenset({"output multiplier"})), logits(SP) * 0.5)


def test_the_attention_rule_divides_by_the_head_width_instead_of_its_root() -> None:
    scales = [model(rules).blocks[0].attention.scale for rules in (SP, frozenset({"attention"}))]
    assert scales == [1 / 4, 1 / 16]
    assert not torch.equal(logits(frozenset({"attention"})), logits(SP))


def test_at_the_base_width_every_rule_except_attention_is_exactly_1() -> None:
    """The attention of nanoGPT-mup has no base constant: 1/d and 1/√d differ there too."""
    assert torch.equal(logits(ALL_RULES - {"attention"}, BASE), logits(SP, BASE))
    assert not torch.equal(logits(ALL_RULES, BASE), logits(SP, BASE))


def test_the_batch_is_text_and_an_untrained_model_predicts_uniformly() -> None:
    batch = rung_batch(SPEC)
    assert batch.shape == (SPEC.model.rows, SPEC.model.context + 1)
    assert bytes(batch[0].tolist()).decode().isprintable()
    loss = next_token_loss(model(ALL_RULES), batch).item()
    assert loss == pytest.approx(5.545, abs=0.1)  # ln 256
