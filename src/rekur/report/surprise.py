"""Text whose every place is coloured by surprise, and says on being pointed at what was likeliest."""

from collections.abc import Sequence

from rekur.report.elements import escaped
from rekur.report.wording import visible

STEPS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Bits from which a place is coloured a step darker"""
_BAR = 12  # letters of the longest bar beside a guess
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}
SCRIPT = """<script>
document.querySelectorAll(".surprise").forEach(text => {
  const all = [...text.children];
  const go = to => {
    if (!to) return;
    text.querySelector("[tabindex='0']").tabIndex = -1;
    to.tabIndex = 0;
    to.setAttribute("aria-label", to.dataset.t);
    to.focus();
  };
  const line = (from, way) => {
    let best, y;
    for (let i = all.indexOf(from) + way; all[i]; i += way) {
      if (all[i].offsetTop === from.offsetTop) continue;
      y ??= all[i].offsetTop;
      if (all[i].offsetTop !== y) break;
      const far = e => Math.abs(e.offsetLeft - from.offsetLeft);
      if (!best || far(all[i]) < far(best)) best = all[i];
    }
    return best;
  };
  text.addEventListener("click", event => event.target.dataset.t && go(event.target));
  text.addEventListener("keydown", event => {
    const at = event.target, i = all.indexOf(at);
    const to = {ArrowLeft: () => all[i - 1], ArrowRight: () => all[i + 1], ArrowUp: () => line(at, -1),
      ArrowDown: () => line(at, 1)}[event.key];
    if (to) { event.preventDefault(); go(to()); }
  });
});
</script>"""
"""Lets the arrow keys go from place to place of a text that was clicked"""


def strength(bits: float) -> int:
    """Which step of colour a surprise has.

    >>> strength(0.2), strength(1), strength(40)
    (0, 2, 7)
    """
    return sum(bits >= least for least in STEPS)


def scale() -> str:
    """The steps of colour and what they mean."""
    steps = "".join(f'<b class="s{step}">{least:g}</b> ' for step, least in enumerate(STEPS, 1))
    return f'<span class="scale">{steps}and more</span>'


def place(
    first: bool, head: str, likely: Sequence[str], given: Sequence[float], came: int, bits: float, shown: str
) -> str:
    """One place of a text.

    :param first: whether the tabulator key comes here.
    :param head: what stands over the guesses.
    :param likely: what was found likeliest, the likeliest first.
    :param given: and with which probability.
    :param came: which of these came, counted from 1; another number for none.
    :param bits: how surprising it was.
    :param shown: HTML.
    """
    rows = [head, ""]
    for at, (name, share) in enumerate(zip(likely, given, strict=True), 1):
        bar = "█" * round(share * _BAR) or "▏"
        rows.append(f"{sign(name):2}{percent(share)} {bar}{' ✓' if at == came else ''}")
    data = escaped("\n".join(rows)).replace("\n", "&#10;")
    return f'<b class="s{strength(bits)}" tabindex="{0 if first else -1}" data-t="{data}">{shown}</b>'


def sign(symbol: str) -> str:
    """A symbol that can be seen.

    >>> sign("\\n"), sign("a")
    ('⏎', 'a')
    """
    return visible(_SIGNS.get(symbol, symbol))


def flat(text: str) -> str:
    """A text in one line, escaped: spaces stay."""
    return escaped("".join(_SIGNS.get(character, character) if character != " " else " " for character in text))


def percent(share: float) -> str:
    """Of a share, in five letters.

    >>> [percent(share).split() for share in (0.614, 0.0312, 0.00004)]
    [['61.4', '%'], ['3.1', '%'], ['<0.1', '%']]
    """
    number = f"{100 * share:4.1f}" if share >= 0.0005 else "<0.1"
    return f"{number}\N{NO-BREAK SPACE}%"
