from hypothesis import given
from hypothesis import strategies as st

from domain.calls import Bounds
from domain.tally import CUT_SLACK, Piece, Tally, Usage

counts = st.none() | st.integers(-5, 10**6)
usages = st.builds(Usage, counts, counts)
pieces = st.builds(
    Piece,
    raw=st.binary(max_size=4),
    objects=st.integers(0, 20),
    text_bytes=st.integers(0, 200),
    usage=st.none() | usages,
    ended=st.booleans(),
    error=st.none() | st.sampled_from(["a", "b"]),
)


def tallied(seen: list[Piece]) -> Tally:
    tally = Tally()
    for piece in seen:
        tally.see(piece)
    return tally


def split(piece: Piece, data: st.DataObject) -> list[Piece]:
    objects = data.draw(st.integers(0, piece.objects))
    text = data.draw(st.integers(0, piece.text_bytes))
    first, second = Piece(b"", objects, text), Piece(b"", piece.objects - objects, piece.text_bytes - text)
    for name in ("usage", "ended", "error"):
        setattr(data.draw(st.sampled_from([first, second])), name, getattr(piece, name))
    return [first, second]


@given(st.lists(pieces, max_size=8), st.data())
def test_how_the_bytes_are_cut_into_pieces_changes_nothing(seen: list[Piece], data: st.DataObject) -> None:
    finer = [part for piece in seen for part in split(piece, data)]

    assert tallied(finer) == tallied(seen)


@given(st.lists(pieces, max_size=8))
def test_counts_only_grow(seen: list[Piece]) -> None:
    tally = Tally()
    for piece in seen:
        before = tally.counted
        tally.see(piece)
        assert tally.counted >= before


@given(st.lists(pieces, max_size=8))
def test_the_larger_of_objects_and_bytes_counts(seen: list[Piece]) -> None:
    objects, text = sum(p.objects for p in seen), sum(p.text_bytes for p in seen)
    counted = tallied(seen).counted

    assert counted == max(objects, -(-text // 4))


def test_a_part_of_a_token_counts_whole() -> None:
    assert tallied([Piece(b"", 0, 1)]).counted == 1
    assert tallied([Piece(b"", 0, 5)]).counted == 2
    assert Tally().counted == 0


def test_the_last_usage_and_the_end_are_kept() -> None:
    tally = tallied([Piece(b"", usage=Usage(0, 0)), Piece(b"", usage=Usage(7, 9), ended=True), Piece(b"")])

    assert tally.usage == Usage(7, 9)
    assert tally.ended


@given(st.integers(0, 500), st.sampled_from([1, 3]))
def test_an_honest_backend_is_never_cut(output: int, factor: int) -> None:
    bounds = Bounds(prompt=1, output=output, output_factor=factor)
    most = 2 * output * factor + CUT_SLACK

    assert not Tally(objects=most).over(bounds)
    assert Tally(objects=most + 1).over(bounds)


def test_long_text_alone_cuts_nothing() -> None:
    assert not Tally(objects=1, text_bytes=10**9).over(Bounds(prompt=1, output=1))
