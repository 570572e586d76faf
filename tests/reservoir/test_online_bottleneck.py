"""The bottleneck from a stream: refusals change nothing, parameters are honoured or refused."""

import pickle

import numpy as np
import pytest

from inmateria.reservoir import OnlineBottleneck


def pairs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(40, 4))
    return X, X[:, :2] @ [[1.0, 0.5], [-1.0, 2.0]] + 0.1 * generator.normal(size=(40, 2)) + 1e3


def test_a_batch_that_is_refused_leaves_everything_as_it_was() -> None:
    X, Y = pairs()
    online = OnlineBottleneck(3).fit(X, Y)
    then = pickle.dumps(online.__dict__)
    wrong = X.copy()
    wrong[3, 1] = np.nan
    twice = np.hstack([X[:, :1]] * 4)
    for learn, says in (
        (lambda: online.partial_fit(wrong, Y), "NaN"),
        (lambda: online.fit(wrong[:, :2], Y), "NaN"),
        (lambda: online.partial_fit(X, np.where(X[:, :2] > 0, Y, np.nan)), "NaN"),
        (lambda: online.partial_fit(X * 1e70, Y), "at most 1e.60"),
        (lambda: online.partial_fit(X, Y[:, :1]), "targets have 1 columns"),
        (lambda: online.partial_fit(X[:, :2], Y), "features"),
        (lambda: OnlineBottleneck(ridge=1e-300).fit(twice, Y), "less than the rounding errors .* give at least"),
    ):
        with pytest.raises(ValueError, match=says):
            learn()
        assert pickle.dumps(online.__dict__) == then
    # A ridge that is too small in the middle of a stream.
    one = OnlineBottleneck().fit(twice, Y)
    before = one.components_.copy(), one.samples_seen_
    with pytest.raises(ValueError, match="this batch was not learned"):
        one.set_params(ridge=1e-300).partial_fit(twice, Y)
    assert np.array_equal(one.components_, before[0])
    assert one.samples_seen_ == before[1]
    one.set_params(ridge=1e-3).partial_fit(twice, Y)


def test_parameters_are_honoured_or_refused_after_the_beginning() -> None:
    X, Y = pairs()
    online = OnlineBottleneck(np.int16(3), seed=1).partial_fit(X, Y)
    assert online.components_.shape == (3, 4)
    for name, value in (("n_components", 2), ("seed", 4)):
        begun = getattr(online, name)
        with pytest.raises(ValueError, match="cannot be changed"):
            online.set_params(**{name: value}).partial_fit(X, Y)
        online.set_params(**{name: begun}).partial_fit(X, Y)
    changed = OnlineBottleneck(ridge=0.1).fit(X, Y)
    changed.set_params(ridge=1e-3, forgetting=0.5).partial_fit(X[:20], Y[:20])
    from_start = OnlineBottleneck(ridge=1e-3, forgetting=0.5).partial_fit(X, Y).partial_fit(X[:20], Y[:20])
    assert np.array_equal(changed.components_, from_start.components_)
    for wrong in (True, 2.0):
        with pytest.raises(ValueError, match="integer of at least 1"):
            OnlineBottleneck(wrong).fit(X, Y)  # type: ignore[arg-type]
