import subprocess
import sys

import torch

from valorlib.ops.adam import Adam


def test_takes_the_steps_of_pytorchs_adam():
    target = torch.tensor([3.0, -1.0, 0.5])
    ours, theirs = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    mine, reference = Adam([ours], 0.1), torch.optim.Adam([theirs], lr=0.1)
    for _ in range(40):
        for values, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            ((values - target) ** 4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_tensor_without_gradient_stays():
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    adam = Adam([used, unused], 0.5)
    used.sum().backward()
    adam.step()
    assert torch.equal(unused, torch.ones(2))
    torch.testing.assert_close(used.detach(), torch.full((2,), 0.5))


def test_does_not_load_the_compiler():
    code = (
        "import sys, torch; from valorlib.ops.adam import Adam; p = torch.ones(1, requires_grad=True);"
        "a = Adam([p], 0.1); p.sum().backward(); a.step(); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
