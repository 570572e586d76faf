"""The files of the live page."""

from pages import PAGE


def test_the_page_is_what_it_seems_without_a_build_step() -> None:
    """Nothing is loaded from elsewhere, and nothing in it is run that the security policy would forbid."""
    for each in PAGE.iterdir():
        text = each.read_text("utf-8")
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "innerHTML" not in text
        assert "eval(" not in text
        assert " style=" not in text
        assert " onclick=" not in text
