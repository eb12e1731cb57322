"""moshi's language model with fewer operators around its transformers: the same numbers, bit for bit."""

from __future__ import annotations

import torch
from moshi.models import LMModel
from moshi.models.lm_utils import ScaledEmbedding
from torch import nn

from coda_moshi.lean_depth import LeanDepthTransformer
from coda_moshi.lean_layer import NOT_PLAIN, is_plain, transposed

__all__ = ["LeanLanguageModel"]


class LeanLanguageModel(LMModel):  # type: ignore[misc]  # moshi is not typed
    """`LMModel` for generation."""

    @staticmethod
    def refuses(module: LMModel) -> str | None:
        """Return why `module` has to stay as it is, or None."""
        if module.fuser is not None:
            return "it is conditioned"
        if module.depformer is None:
            return "it has no depth transformer"
        reason = LeanDepthTransformer.refuses(module.depformer)
        if reason is not None:
            return f"{reason} (in its depth transformer)"
        for embedding in (module.text_emb, *module.emb, module.depformer_text_emb, *module.depformer_emb):
            plain = type(embedding) is ScaledEmbedding and embedding.norm is None and embedding.low_rank is None
            if not plain or embedding.demux_second_stream:
                return "its embeddings are more than tables"
        if not all(is_plain(linear) for linear in (*module.depformer_in, *module.linears)):
            return NOT_PLAIN
        return None

    def prepare(self) -> None:
        """Put all embeddings of the input into one table; the modules' weights become parts of it."""
        modules = (self.text_emb, *self.emb)
        sizes = [module.num_embeddings for module in modules]
        nothing = self.text_emb.weight.new_zeros(1, self.dim)
        table = torch.cat([*(module.weight.detach() for module in modules), nothing])
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        for module, start, size in zip(modules, starts, sizes, strict=True):
            module.weight = nn.Parameter(table.narrow(0, start, size), requires_grad=False)
        schedule = self.depformer_weights_per_step_schedule or range(self.dep_q)
        embeddings = (self.depformer_text_emb, *self.depformer_emb)
        self.lean_turns = [
            (
                transposed(self.depformer_in[weights if self.depformer_multi_linear else 0]),
                embeddings[codebook].weight.detach(),
                self.depformer_norms[codebook],
                transposed(self.linears[codebook]),
            )
            for codebook, weights in enumerate(schedule)
        ]
        self.lean_table = table
        self.lean_starts = torch.tensor(starts, device=table.device)[:, None]

    def forward_text(
        self,
        sequence: torch.Tensor,
        sum_condition: torch.Tensor | None = None,
        cross_attention_src: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the depth transformer reads, ``[B, T, C]``, and text logits ``[B, 1, T, vocabulary]``.

        `sequence` is int64 ``[B, 1 + codebooks, T]``; -1 stands for no input.
        """
        if sum_condition is not None or cross_attention_src is not None:
            raise ValueError("this language model takes no conditions")
        rows = sequence.clamp(min=0).add_(self.lean_starts)
        rows.masked_fill_(sequence == self.zero_token_id, len(self.lean_table) - 1)
        text, total, *others = torch.embedding(self.lean_table, rows).unbind(1)
        # One after the other, in the stock order: a sum may be rounded in any.
        for vectors in (*others, text):
            total = total + vectors
        out = self.out_norm(self.transformer(total))
        return out, self.text_linear(out)[:, None]

    def forward_depformer(
        self, depformer_cb_index: int, sequence: torch.Tensor, transformer_out: torch.Tensor
    ) -> torch.Tensor:
        """Return a codebook's logits ``[B, 1, 1, codes]``.

        `sequence` is int64 ``[B, 1, 1]``, the token before, which is never "no input" here.
        """
        weight_in, embedding, norm, weight_out = self.lean_turns[depformer_cb_index]
        x = torch.mm(transformer_out.squeeze(1), weight_in).add_(torch.embedding(embedding, sequence.view(-1)))
        logits = torch.mm(norm(self.depformer(x)), weight_out)
        return logits.view(len(logits), 1, 1, -1)
