"""The tokenizer's bound, on which the gateway's reservations rest."""

from hypothesis import given
from hypothesis import strategies as st

from entrypoints.simulator import counting

TEXTS = st.lists(st.text(max_size=200), min_size=1, max_size=8)


@given(texts=TEXTS, template_tokens=st.integers(0, counting.MAX_TEMPLATE_TOKENS), tools=st.text(max_size=100))
def test_a_prompt_never_costs_more_than_its_bytes_and_sixteen_a_message(
    texts: list[str], template_tokens: int, tools: str
) -> None:
    size = sum(len(text.encode()) for text in [*texts, tools])

    tokens = counting.of_prompt(texts, template_tokens=template_tokens, tools_json=tools, context=10**9)

    assert tokens <= size + 16 * len(texts)


@given(texts=TEXTS, context=st.integers(1, 50))
def test_a_prompt_never_costs_more_than_the_context(texts: list[str], context: int) -> None:
    assert counting.of_prompt(texts, template_tokens=8, context=context) <= context


def test_a_quarter_of_the_bytes_is_rounded_up() -> None:
    assert [counting.of_text(text) for text in ("", "a", "abcd", "abcde", "äöü")] == [0, 1, 1, 2, 2]
