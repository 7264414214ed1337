"""How HAProxy reads a line, by its configuration manual and not by our renderer (section 2.2)."""

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def words(line: str) -> list[str]:
    """The words of a line."""
    found: list[str] = []
    word: str | None = None
    quote = ""
    rest = iter(line)
    for char in rest:
        if quote == "'":
            word = word or ""
            if char == "'":
                quote = ""
            else:
                word += char
        elif char == "\\":
            escaped = next(rest)
            if escaped == "x":
                escaped = chr(int(next(rest) + next(rest), 16))
            word = (word or "") + _ESCAPED.get(escaped, escaped)
        elif char == '"':
            word = word or ""
            quote = "" if quote else '"'
        elif quote:
            assert char != "$", "an environment variable would be expanded"
            word += char
        elif char == "'":
            word = word or ""
            quote = "'"
        elif char == "#":
            break
        elif char in " \t":
            if word is not None:
                found.append(word)
            word = None
        else:
            word = (word or "") + char
    assert not quote, "unbalanced quotes"
    return found if word is None else [*found, word]


def argument(word: str, function: str) -> str:
    """The one argument of a call: the same rules, but for ``\\#``, ``\\$`` and ``\\xNN``."""
    assert word.startswith(f"{function}(")
    assert word.endswith(")")
    text = word[len(function) + 1 : -1]
    if not text.startswith('"'):
        assert not set(text) & set(" \"'\\,)#$")
        return text
    assert text.endswith('"')
    found = ""
    rest = iter(text[1:-1])
    for char in rest:
        assert char != '"', "the argument ends early"
        found += next(rest) if char == "\\" else char
    return found
