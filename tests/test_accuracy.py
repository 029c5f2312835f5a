"""Accuracy measures on numbers that can be checked by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from accent_lib.evaluation.accuracy import mean_baseline, pairwise_accuracy, predict, rmse
from accent_lib.models import NCF


def test_pairwise_accuracy_by_hand():
    frame = pd.DataFrame({"user": [0, 0, 0, 1, 1], "positive": [True, True, False, True, False]})
    # User 0: 3 > 2 right, 1 < 2 wrong; user 1: a tie counts half.
    assert pairwise_accuracy(frame, np.array([3.0, 1.0, 2.0, 5.0, 5.0])) == pytest.approx(1.5 / 3)


def test_rmse_by_hand():
    assert rmse(np.array([1.0, 5.0]), np.array([2.0, 2.0])) == pytest.approx(5**0.5)


def test_predict_is_the_network(sample):
    model = NCF(sample, dim=4)
    users, items = (torch.tensor(sample.test[column].to_numpy()) for column in ("user", "item"))
    np.testing.assert_allclose(predict(model, sample.test), model(users, items).detach().numpy(), atol=1e-6)


def test_mean_baseline_by_hand():
    train = pd.DataFrame({"user": [0, 0], "item": [0, 1], "rating": [5.0, 1.0]})
    # Mean 3; items deviate by +2 and -2, each from one rating: shrunken by 1 / (1 + 1) to +1 and -1.
    # What is left for the user is (1 - 1) / (2 + 1) = 0.
    frame = pd.DataFrame({"user": [0, 7], "item": [0, 9]})
    np.testing.assert_allclose(mean_baseline(train, frame, strength=1.0), [4.0, 3.0])
