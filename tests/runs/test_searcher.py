"""A searcher's scores in words: limits are called limits, numbers have the digits they deserve."""

from fakes.board import searcher_scores

from lensfold.runs.searcher import heading, numbers, prevalence_text, searcher_of, sentence


def test_what_is_resolved_has_its_interval():
    found = numbers(searcher_of(searcher_scores()))
    assert found == [
        ("purity, first 100", "0.400", "0.094–0.500"),
        ("completeness, first 100", "0.800", "0.190–1.000"),
        ("purity, first 1,000", "0.045", "0.040–0.049"),
        ("completeness, first 1,000", "0.900", "0.800–0.980"),
        ("to inspect, recall 50 %", "30", "25–175"),
        ("false-positive rate, recall 50 %", "5e-05", "0–0.0015"),
        ("to inspect, recall 90 %", "1,960", "1,260–3,050"),
        ("false-positive rate, recall 90 %", "0.019", "0.012–0.03"),
    ]
    assert sentence(searcher_of(searcher_scores())) == (
        "With 1 lens in 2,000, of 100,000 objects, the first 100 hold 80 % (19–100) of the lenses (purity 0.400), the "
        "first 1,000 hold 90 % (80–98) of the lenses (purity 0.045); 50 % of all lenses cost 30 (25–175), 90 % of all "
        "lenses cost 1,960 (1,260–3,050) looks."
    )


def test_what_is_not_resolved_is_a_limit_and_says_why():
    searcher = searcher_of(searcher_scores(is_limit=True))
    found = {name: (value, limits) for name, value, limits in numbers(searcher)}
    assert found["purity, first 100"] == ("≥ 0.094", "") and found["completeness, first 100"] == ("≥ 0.190", "")
    assert found["to inspect, recall 50 %"] == ("≤ 175", "") and found["false-positive rate, recall 50 %"] == (
        "< 0.0015",
        "",
    )
    text = sentence(searcher)
    assert "the first 100 hold at least 19 % of the lenses (purity 0.094 or more)" in text
    assert "50 % of all lenses cost at most 175" in text
    assert text.endswith("Limits: no false positive was left in a test of 2,000 non-lenses.")


def test_a_row_without_them_has_none_and_several_prevalences_are_said():
    assert searcher_of({"mse": {}}) is None
    both = [searcher_of(searcher_scores(prevalence=share)) for share in (1 / 2000, 0.3)]
    assert heading(both) == "at several prevalences"
    assert heading(both[:1]) == "with 1 lens in 2,000, of 100,000 objects"
    assert prevalence_text(0.3) == "1 lens in 3.33"
