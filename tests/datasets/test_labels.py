"""Which windows have the labels that they will get."""

import pytest

from perennial.datasets.labels import fewest_labels, labels_have_come


@pytest.mark.parametrize(
    ("come", "expected"),
    [
        ([100, 80, 79, 0], [True, True, False, False]),
        ([60, 60, 55, 10], [True, True, False, False]),  # six rows of ten are ever labelled
        ([60, 30, 10, 0], [False, False, False, False]),  # they are on their way
        ([15, 15, 15, 15], [False, False, False, False]),  # next to none
        ([0, 90], [False, True]),
        ([], []),
    ],
)
def test_of_windows_some_of_whose_rows_are_never_labelled_no_more_are_waited_for(come, expected):
    assert labels_have_come(come, [100] * len(come)) == expected


def test_a_window_is_judged_by_a_few_labels_at_least():
    assert fewest_labels(1000) == 20
    assert fewest_labels(10) == 8
