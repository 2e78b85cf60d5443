"""How the report says numbers, times and values."""

from datetime import UTC, datetime

from rekur.report.history import number

_CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}


def visible(text: str) -> str:
    """Text with control characters as their Unicode pictures: a page cannot hold them, a model may write them."""
    return text.translate(_CONTROLS)


def amount(value: object) -> str:
    """A count with its thousands apart, or a dash.

    >>> amount(1234567.2), amount(None)
    ('1,234,567', '–')
    """
    known = number(value)
    return "–" if known is None else f"{known:,.0f}"


def decimal(value: object, digits: int = 3) -> str:
    """A number with so many digits that mean something, or a dash.

    >>> decimal(2.0345), decimal(0.00012), decimal(41234.5)
    ('2.03', '0.00012', '41,234')
    """
    known = number(value)
    if known is None:
        return "–"
    size = abs(known)
    if 0 < size < 1e-5 or size >= 1e9:
        return f"{known:.{digits - 1}e}"
    whole = len(f"{size:.0f}") if size >= 1 else 0
    if size >= 1:
        return f"{known:,.{max(0, digits - whole)}f}"
    return f"{known:.{digits}g}"


def percent(share: object) -> str:
    """A share in percent with two decimals, or a dash.

    >>> percent(0.9951).split(), percent(None)
    (['99.51', '%'], '–')
    """
    known = number(share)
    return "–" if known is None else f"{100 * known:.2f}\N{NO-BREAK SPACE}%"


def duration(seconds: object) -> str:
    """Seconds as a person says them.

    >>> duration(7.31), duration(184), duration(7500), duration(200000)
    ('7.3 s', '3 min 04 s', '2 h 05 min', '2 d 7 h')
    """
    known = number(seconds)
    if known is None:
        return "–"
    if known < 60:
        return f"{known:.1f} s"
    minutes, rest = divmod(round(known), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def moment(time: object) -> str:
    """Unix seconds as a date and time in UTC, or nothing.

    >>> moment(0)
    '1 January 1970, 00:00 UTC'
    """
    known = number(time)
    if known is None or not 0 <= known < 2**33:
        return ""
    when = datetime.fromtimestamp(known, UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def value(found: object) -> str:
    """Any value of a configuration.

    >>> value(True), value([]), value([0.9, 0.999]), value(100000), value("x")
    ('yes', '–', '0.9, 0.999', '100,000', 'x')
    """
    match found:
        case bool():
            return "yes" if found else "no"
        case None | "" | []:
            return "–"
        case int():
            return f"{found:,}"
        case float():
            return f"{found:g}"
        case list():
            return ", ".join(map(value, found))
        case _:
            return str(found)
