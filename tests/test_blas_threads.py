"""One BLAS thread in loops of small products, and the threads from before after the last of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from inmateria.blas_threads import LARGE, one_blas_thread
from inmateria.reservoir import HSICBottleneck
from inmateria.reservoir.bottleneck import hsic


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def several() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this BLAS has one thread only")
        yield


def test_blocks_that_overlap_in_any_order_give_the_threads_back_after_the_last() -> None:
    first, second = ExitStack(), ExitStack()
    first.enter_context(one_blas_thread())
    assert threads() == {1}
    second.enter_context(one_blas_thread())
    first.close()
    assert threads() == {1}
    second.close()
    assert threads() == {2}
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert threads() == {2}


def test_large_products_keep_their_threads() -> None:
    with one_blas_thread(LARGE):
        assert threads() == {2}


def test_hsic_training_has_one_thread_and_gives_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    objective = hsic.nhsic_objective

    def watched(*given: Any, **more: Any) -> Any:
        seen.append(threads())
        return objective(*given, **more)

    monkeypatch.setattr(hsic, "nhsic_objective", watched)
    X = np.random.default_rng(0).standard_normal((20, 4))
    HSICBottleneck(2, epochs=1).fit(X, X[:, :1])
    assert seen
    assert all(each == {1} for each in seen)
    assert threads() == {2}
