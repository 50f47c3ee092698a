"""What this machine's processor can do."""

import torch


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 by itself, faster than those of float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
