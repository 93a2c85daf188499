from datetime import UTC, datetime, timedelta

import pytest

from perennial.errors import LeaseHeld, LeaseLost
from perennial.store import acquire_lease


class Clock:
    def __init__(self):
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now

    def pass_seconds(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


TTL = timedelta(seconds=30)


def test_only_one_run_holds_a_lease(store, clock):
    acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    with pytest.raises(LeaseHeld, match="first holds the lease on bike until 00:00:30"):
        acquire_lease(store, "bike", "second", ttl=TTL, clock=clock)


def test_two_pipelines_do_not_wait_for_one_another(store, clock):
    acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    acquire_lease(store, "flights", "second", ttl=TTL, clock=clock)


def test_a_lease_that_ran_out_goes_to_the_next_with_a_higher_token(store, clock):
    first = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    clock.pass_seconds(31)
    second = acquire_lease(store, "bike", "second", ttl=TTL, clock=clock)
    assert second.token == first.token + 1
    with pytest.raises(LeaseLost, match="first lost the lease on bike"):
        first.renew()


def test_a_renewed_lease_is_held_longer(store, clock):
    first = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    clock.pass_seconds(20)
    first.renew()
    clock.pass_seconds(20)
    with pytest.raises(LeaseHeld):
        acquire_lease(store, "bike", "second", ttl=TTL, clock=clock)


def test_a_released_lease_is_free_at_once_and_its_token_is_not_used_again(store, clock):
    first = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    first.release()
    assert acquire_lease(store, "bike", "second", ttl=TTL, clock=clock).token == first.token + 1


def test_a_retried_run_takes_its_own_lease_again_and_fences_its_first_try(store, clock):
    first = acquire_lease(store, "bike", "run", ttl=TTL, clock=clock)
    again = acquire_lease(store, "bike", "run", ttl=TTL, clock=clock)
    assert again.token == first.token + 1
    with pytest.raises(LeaseLost):
        first.renew()


def test_a_renewal_whose_answer_was_lost_is_recognised(store, clock):
    lease = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    lease._etag = '"stale"'
    lease.renew()
    clock.pass_seconds(10)
    lease.renew()
