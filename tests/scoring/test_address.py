import pytest

from perennial.errors import SpecError
from perennial.scoring import Address, check_apart, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://other/a/b.parquet", Address("other", "a/b.parquet")),
        ("s3://other/a/b", Address("other", "a/b/")),
        ("in/rows.parquet", Address("home", "in/rows.parquet")),
        ("/in/rows/", Address("home", "in/rows/")),
    ],
)
def test_an_address_is_a_file_or_a_folder_of_a_bucket(text, address):
    assert parse_address(text, "home") == address


@pytest.mark.parametrize("text", ["", "/", "s3://other", "s3://other/", "gs://other/a", "s3:///a"])
def test_what_names_no_place_in_a_bucket_is_refused(text):
    with pytest.raises(SpecError, match="s3://bucket/key"):
        parse_address(text, "home")


@pytest.mark.parametrize("output", ["in", "in/scores", "s3://home/in/"])
def test_scores_do_not_land_among_their_input(output):
    with pytest.raises(SpecError, match="lies inside the input"):
        check_apart(parse_address("in", "home"), parse_address(output, "home"))


def test_scores_may_land_beside_their_input():
    for output in ("in-scores", "scores/in", "s3://other/in"):
        check_apart(parse_address("in", "home"), parse_address(output, "home"))
    with pytest.raises(SpecError, match="names a file"):
        check_apart(parse_address("in", "home"), parse_address("out.parquet", "home"))
