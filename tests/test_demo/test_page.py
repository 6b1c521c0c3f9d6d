# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mmseg_cag.errors import UserError
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.demo.page import Explainer, build_page
from mmseg_cag.inference.demo.show import View


@pytest.fixture
def model(checkpoint):
    return load_network(checkpoint)


def photo() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 32, 3), np.uint8)


def test_it_answers_with_the_overlay_and_the_shares(model):
    image = photo()
    shown, shares = Explainer(model)(image, 0.5)
    # The command's result, whose channels are in the other order.
    expected = View(model, 0.5)(image[..., ::-1].copy())[..., ::-1]
    np.testing.assert_array_equal(shown, expected)
    assert set(shares) <= set(model.dataset_meta['classes'])
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())


def test_without_gradio_one_line_says_so(model, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(UserError, match='^--gradio: .*pip install') as caught:
        build_page(model)
    assert '\n' not in str(caught.value)


def test_the_page_reports_to_nobody(model, monkeypatch):
    """Without Gradio: what it is asked for."""
    gradio = SimpleNamespace(
        Interface=lambda *args, **settings: (args, settings),
        **{
            name: lambda *args, name=name, **settings: name
            for name in ('Image', 'Slider', 'Label')
        },
    )
    monkeypatch.setitem(sys.modules, 'gradio', gradio)
    (predict, inputs, outputs), settings = build_page(model)
    assert inputs == ['Image', 'Slider'] and outputs == ['Image', 'Label']
    assert settings['analytics_enabled'] is False
    assert len(predict(photo(), 1.0)) == 2


def test_gradio_serves_it_on_loopback(model, tmp_path):
    pytest.importorskip('gradio', reason='gradio is not installed')
    from gradio_client import Client, handle_file
    from PIL import Image

    page = build_page(model)
    _, url, share = page.launch(
        server_name='127.0.0.1',
        share=False,
        prevent_thread_lock=True,
        quiet=True,
    )
    try:
        assert url.startswith('http://127.0.0.1:') and not share
        path = str(tmp_path / 'photo.png')
        Image.fromarray(photo()).save(path)
        client = Client(url, verbose=False)
        _, shares = client.predict(handle_file(path), 0.5, api_name='/predict')
    finally:
        page.close()
    answered = {row['label'] for row in shares['confidences']}
    assert answered == set(Explainer(model)(photo(), 0.5)[1])
