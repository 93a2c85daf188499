from datetime import UTC, datetime, timedelta

import pytest

from perennial.spec.cron import check_cron, count_due, next_due

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("cron", ["0 * * * *", "*/5 6-18 * * MON-FRI", "30 4 L * *", "7 3 * * 1"])
def test_a_schedule_is_given_back_as_it_is(cron):
    assert check_cron(cron) == cron


def test_the_next_moment_lies_behind_the_one_that_is_asked_about():
    assert next_due("0 * * * *", NOON) == NOON + timedelta(hours=1)
    assert next_due("30 6 * * *", NOON) == datetime(2030, 1, 2, 6, 30, tzinfo=UTC)


def test_moments_that_have_passed_are_counted_up_to_the_most():
    def counted(**span):
        return count_due("0 * * * *", NOON, NOON + timedelta(**span), 3)

    assert [counted(minutes=59), counted(minutes=61), counted(hours=3), counted(days=9)] == [
        *(0, 1, 2, 3)
    ]
