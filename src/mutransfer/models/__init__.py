"""Models: the reference decoder and its counts; they take plain numbers and know no rule."""

from mutransfer.models.counts import num_parameters, training_flops
from mutransfer.models.decoder import Decoder
from mutransfer.models.layers import DecoderShape

__all__ = ["Decoder", "DecoderShape", "num_parameters", "training_flops"]
