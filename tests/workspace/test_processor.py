import pytest
import torch

from conceptcaps.workspace import processor


@pytest.mark.parametrize(
    ("has", "faster"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD Zen 4", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD Zen 3", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"cpu_name": "Cortex-A72"}, False),
    ],
)
def test_bfloat16_is_taken_where_its_products_are_faster(monkeypatch, has, faster):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert processor.multiplies_bfloat16() is faster
