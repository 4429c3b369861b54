import torch

from valorlib.ops.mind import mind_ssc


def test_mind_does_not_change_with_brightness_and_contrast():
    image = torch.rand(1, 1, 8, 9, 10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mind_ssc(3.5 * image - 2), mind_ssc(image), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mind_ssc(-image), mind_ssc(image), rtol=1e-3, atol=1e-4)


def test_mind_has_twelve_channels_and_its_best_is_one():
    image = torch.rand(2, 1, 6, 7, 8, generator=torch.Generator().manual_seed(2))
    found = mind_ssc(image)
    assert found.shape == (2, 12, 6, 7, 8)
    assert float(found.min()) >= 0
    torch.testing.assert_close(found.amax(1), torch.ones(2, 6, 7, 8))


def test_mind_moves_with_the_image():
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(3))
    shifted = torch.roll(image, (2, 1, -1), (2, 3, 4))
    inner = (slice(None), slice(None), slice(6, 11), slice(6, 11), slice(6, 11))
    moved = torch.roll(mind_ssc(image), (2, 1, -1), (2, 3, 4))
    a, b = mind_ssc(shifted)[inner], moved[inner]
    assert float((a - b).abs().max()) < 0.02
