from datetime import UTC, datetime, timedelta

import pytest

from perennial.errors import LeaseHeld, LeaseLost
from perennial.store import acquire_lease


class Clock:
    """A wall clock that may be wrong, and the time that passes all the same."""

    def __init__(self):
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.passed = 0.0
        self.meanwhile = lambda: None

    def __call__(self):
        return self.now

    def monotonic(self):
        return self.passed

    def sleep(self, seconds):
        self.passed += seconds
        self.now += timedelta(seconds=seconds)
        self.meanwhile()


@pytest.fixture
def clock():
    return Clock()


TTL = timedelta(seconds=30)


def wait_for(store, clock, holder, seconds, **more):
    return acquire_lease(
        store,
        "bike",
        holder,
        ttl=TTL,
        patience=timedelta(seconds=seconds),
        clock=clock,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
        **more,
    )


def test_only_one_run_holds_a_lease(store, clock):
    acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    with pytest.raises(LeaseHeld, match="first holds the lease on bike until 00:00:30"):
        acquire_lease(store, "bike", "second", ttl=TTL, clock=clock)


def test_two_pipelines_do_not_wait_for_one_another(store, clock):
    acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    acquire_lease(store, "flights", "second", ttl=TTL, clock=clock)


def test_a_lease_that_nobody_renews_goes_to_who_waits_with_a_higher_token(store, clock):
    first = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    with pytest.raises(LeaseHeld):
        wait_for(store, clock, "second", 29)
    assert wait_for(store, clock, "second", 31).token == first.token + 1
    with pytest.raises(LeaseLost, match="first lost the lease on bike"):
        first.renew()


def test_a_lease_that_is_renewed_is_not_taken_however_long_one_waits(store, clock):
    first = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    clock.meanwhile = first.renew
    with pytest.raises(LeaseHeld):
        wait_for(store, clock, "second", 100)


@pytest.mark.parametrize("hours", [-1, 1, 10_000])
def test_a_clock_that_is_wrong_takes_no_lease_and_lets_none_be_taken(store, clock, hours):
    first = acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    clock.now += timedelta(hours=hours)
    with pytest.raises(LeaseHeld):
        acquire_lease(store, "bike", "second", ttl=TTL, clock=clock)
    first.renew()
    assert wait_for(store, clock, "second", 31).token == first.token + 1


def test_a_holder_that_is_known_to_have_ended_is_followed_at_once(store, clock):
    acquire_lease(store, "bike", "first", ttl=TTL, clock=clock)
    assert wait_for(store, clock, "second", 0, has_ended=lambda holder: holder == "first")
    with pytest.raises(LeaseHeld):
        wait_for(store, clock, "third", 0, has_ended=lambda holder: holder == "first")


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
    clock.sleep(10)
    lease.renew()
