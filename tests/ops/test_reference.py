"""The twins: each stands for its operator wherever that is called."""

import inspect

import pytest

from s3fd import ops
from s3fd.ops import reference

TWINS = sorted(set(ops.__all__) - {"AnchorGrid"})


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_takes_the_arguments_of_its_operator(name):
    own, taken = (
        {
            parameter.name: (parameter.kind, parameter.default)
            for parameter in inspect.signature(getattr(module, name)).parameters.values()
        }
        for module in (ops, reference)
    )
    if name == "nms":
        del own["padded"]  # whose twin is `nms_padded`
    assert taken == own
