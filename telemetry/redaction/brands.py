"""Which numbers are issued as card numbers: prefixes (issuer identification numbers) and lengths of every brand.

Source: ISO/IEC 7812-1, and the ranges that the networks publish. Ranges that a network shares or has given back are in, too:
a number of an old card is still a card number.
"""

from functools import cache
from typing import Final

SHORTEST: Final = 13
LONGEST: Final = 19

# First and last prefix of a range (of the same number of digits, four at most), and the lengths that are issued in it.
RANGES: Final[tuple[tuple[str, str, str, tuple[int, ...]], ...]] = (
    ("UATP", "1", "1", (15,)),
    ("Mir", "2200", "2204", (16, 17, 18, 19)),
    ("Mastercard, 2-series", "2221", "2720", (16,)),
    ("Verve, UzCard, Humo", "5614", "5614", (16,)),
    ("Humo", "9860", "9860", (16,)),
    ("UzCard", "8600", "8600", (16,)),
    ("Diners Club", "300", "305", (14, 15, 16, 17, 18, 19)),
    ("Diners Club", "3095", "3095", (14, 15, 16, 17, 18, 19)),
    ("Diners Club", "36", "36", (14, 15, 16, 17, 18, 19)),
    ("Diners Club", "38", "39", (14, 15, 16, 17, 18, 19)),
    ("American Express", "34", "34", (15,)),
    ("American Express", "37", "37", (15,)),
    ("JCB", "3088", "3094", (16, 17, 18, 19)),
    ("JCB", "3096", "3102", (16, 17, 18, 19)),
    ("JCB", "3112", "3120", (16, 17, 18, 19)),
    ("JCB", "3158", "3159", (16, 17, 18, 19)),
    ("JCB", "3337", "3349", (16, 17, 18, 19)),
    ("JCB", "3528", "3589", (16, 17, 18, 19)),
    ("JCB, 15 digits", "1800", "1800", (15,)),
    ("JCB, 15 digits", "2131", "2131", (15,)),
    ("Diners Club enRoute", "2014", "2014", (15,)),
    ("Diners Club enRoute", "2149", "2149", (15,)),
    ("Visa, Elo, Carte Bancaire", "4", "4", (13, 16, 19)),
    ("Maestro, Dankort, Verve, Elo, RuPay", "50", "50", (13, 14, 15, 16, 17, 18, 19)),
    ("Mastercard", "51", "55", (16,)),
    ("Maestro, Bankcard", "56", "58", (13, 14, 15, 16, 17, 18, 19)),
    ("Discover", "6011", "6011", (16, 17, 18, 19)),
    ("RuPay, Hipercard", "60", "60", (13, 16, 17, 18, 19)),
    ("UnionPay", "62", "62", (14, 15, 16, 17, 18, 19)),
    ("Maestro, Elo, InterPayment, InstaPayment, Solo, Switch, Laser", "63", "63", (13, 14, 15, 16, 17, 18, 19)),
    ("Discover", "644", "649", (16, 17, 18, 19)),
    ("Discover, Elo, RuPay, Troy", "65", "65", (16, 17, 18, 19)),
    ("Maestro, Solo, Switch, Laser", "67", "67", (13, 14, 15, 16, 17, 18, 19)),
    ("UnionPay, RuPay", "81", "82", (16, 17, 18, 19)),
    ("Troy", "9792", "9792", (16,)),
)


@cache
def lengths() -> tuple[int, ...]:
    """For each prefix of four digits, 0 to 9999, the lengths that are issued: bit n is set for n digits."""
    table = [0] * 10_000
    for _, first, last, issued in RANGES:
        bits = sum(1 << length for length in issued)
        begin = int(first.ljust(4, "0"))
        end = int(last.ljust(4, "9"))
        for prefix in range(begin, end + 1):
            table[prefix] |= bits
    return tuple(table)
