"""Public test card numbers, thirty disguises, and innocent values. None of the numbers belongs to anybody.

The numbers are those that payment processors publish for tests, and for brands of which none is published, the brand's prefix
with made-up digits and the right check digit.
"""

import base64
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

_CARDS: Final[Mapping[str, str]] = {
    "Visa": (
        "4242424242424242 4111111111111111 4012888888881881 4000056655665556 4222222222222 4000000000000002 "
        "4000000000009995 4000000000009987 4000000000009979 4000000000000069 4000000000000127 4000000000000119 "
        "4000002500003155 4000002760003184 4000003800000446 4000000000003220 4000000760000002 4000001240000000 "
        "4000004840008001 4000000400000008 4000000560000004 4000001000000000 4000001120000005 4000001910000009 "
        "4000001960000008 4000002030000002 4000002080000001 4000002330000009 4000002460000001 4000002500000003 "
        "4000002760000016 4000002920000005 4000003000000030 4000004380000004 4000003480000005 4000003720000005 "
        "4000003800000008 4000004280000005 4000004400000000 4000004420000006 4000004700000007 4000005280000002 "
        "4000005780000007 4000006160000005 4000006200000007 4000006420000001 4000007050000006 4000007030000001 "
        "4000007240000007 4000007520000008 4000007560000009 4000008260000000 4000000360000006 4000001560000002 "
        "4000003440000004 4000003560000008 4000003920000003 4000004580000002 4000005540000008 4000007020000003 "
        "4000007640000003 4000001580000008 4917610000000000 4917610000000000003 4462030000000000 4166676667666746 "
        "4646464646464644 4977949494949497 4400000000000008 4035501000000008 4360000001000005 4131840000000003 "
        "4571000000000001 4917300800000000 4484070000000000 4005519200000004 4009348888881881 4012000033330026 "
        "4012000077777777 4500600000000061 4988438843884305"
    ),
    "Mastercard": (
        "5555555555554444 2223003122003222 5200828282828210 5105105105105100 5454545454545454 2222400070000005 "
        "2222410740360010 5100290029002909 5577000055770004 5136333333333335 5585558555855583 2222410700000002 "
        "2223000048410010 5100060000000002 5555341244441115 5500000000000004 5424000000000015 2223000048400011 "
        "5404000000000001 5101180000000007 5506900140100107 5204740009900014 5420923878724339 5455330760000018 "
        "5506900490000436 5506900490000444 5506900510000234 5506920809243667 5506922400634930 5506927427317625 "
        "5553042241984105 5555553753048194 5555555555555557"
    ),
    "American Express": (
        "378282246310005 371449635398431 378734493671000 370000000000002 341111111111111 343434343434343 "
        "371030089111338 371144371144376 341134113411347 370000000100018 373953192351004 374101000000608"
    ),
    "Discover": (
        "6011111111111117 6011000990139424 6011981111111113 6011601160116611 6445644564456445 6011000000000012 "
        "6011000400000000 6011500080009080 6011000991300009"
    ),
    "Diners Club": (
        "3056930009020004 36227206271667 30569309025904 38520000023237 36006666333344 36700102000000 "
        "36148900647913 36070500001020 30000000000004 38000000000006"
    ),
    "JCB": ("3566002020360505 3530111333300000 3569990010095841 3566111111111113 3337000000200004 3528327757705979"),
    "UnionPay": (
        "6200000000000005 6200000000000047 6205500000000000004 6250941006528599 6243030000000001 8171999927660000 "
        "8171999900000000021 6210948000000029 6250947000000014 6212345678901232 6212345678901265"
    ),
    "Maestro": (
        "6759649826438453 6304000000000000 6771798021000008 6761000000000006 6799990100000000019 5000550000000029 "
        "6759180000005546 6759560045005727054 6731030000000000 5018000000000009 6304900017740292441 "
        "6333333333333333336 5018307418522 67613074185299 67633074185296307"
    ),
    "Dankort": ("5019717010103742 5019555544445555"),
    "Elo": ("5066991111111118 5067310000000010 6362970000457013"),
    "Hipercard": ("6062828888666688 6370950000000005"),
    "RuPay": ("6074849200004917 5085003074185290 6521307418529638 8201307418529631"),
    "Mir": ("2200000000000004 2200000000000053 2201382000000013 2200307418529635 2202307418529633 2204307418529631"),
    "Troy": ("9792030394440796 9792020000000001 9792033074185293"),
    "Bancontact": ("6703444444444449 4871049999999910"),
    "UATP": ("135412345678911 129600000000003 135430741852963"),
    "Verve": ("5060990580000217499 5061460410120223210"),
    "UzCard": ("8600123074185296"),
    "Humo": ("9860013074185292"),
    "InterPayment": ("6363074185296301"),
    "InstaPayment": ("6373074185296309"),
    "Laser": ("630430741852963076 6709307418529630745"),
    "Solo": ("633430741852963070 6767307418529631"),
    "Switch": ("6333307418529630744"),
    "Bankcard": ("5610123074185290"),
    "enRoute": ("201430741852962 214930741852966"),
}
CARDS: Final[Mapping[str, tuple[str, ...]]] = {brand: tuple(numbers.split()) for brand, numbers in _CARDS.items()}
"""Brand to numbers."""
NUMBERS: Final = tuple(number for numbers in CARDS.values() for number in numbers)


def _groups(number: str) -> list[str]:
    """As printed on the card: 4-6-5 for 15 digits, 4-6-4 for 14, else fours."""
    sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(len(number), (4, 4, 4, 4, 4))
    made, at = [], 0
    for size in sizes:
        made.append(number[at : at + size])
        at += size
    return [group for group in made if group]


def _grouped(separator: str) -> Callable[[str], str]:
    return lambda number: separator.join(_groups(number))


def _each(form: str, zero: int = 48) -> Callable[[str], str]:
    return lambda number: "".join(form.format(ord(digit) - 48 + zero) for digit in number)


def _script(zero: str) -> Callable[[str], str]:
    return lambda number: "".join(chr(ord(zero) + int(digit)) for digit in number)


def _again(text: str) -> str:
    return quote(text, safe="").replace("%", "%25")


DISGUISES: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "in groups, spaces": _grouped(" "),
    "in groups, dashes": _grouped("-"),
    "in groups, dots": _grouped("."),
    "in groups, underscores": _grouped("_"),
    "in groups, slashes": _grouped("/"),
    "in groups, line breaks": _grouped("\n"),
    "in groups, no-break spaces": _grouped("\u00a0"),
    "in groups, en dashes": _grouped(" \u2013 "),
    "in groups, zero-width spaces": _grouped("\u200b"),
    "in groups, commas in JSON": lambda number: "[" + ", ".join(f'"{group}"' for group in _groups(number)) + "]",
    "digit by digit, spaces": " ".join,
    "digit by digit, tabs": "\t".join,
    "letters around": lambda number: f"PAN{number}X",
    "leading zeros": lambda number: f"0000{number}",
    "URL-encoded, spaces": _grouped("%20"),
    "URL-encoded, plus": _grouped("+"),
    "URL-encoded, dashes": _grouped("%2D"),
    "URL-encoded, every digit": _each("%{:02X}"),
    "URL-encoded twice, spaces": _grouped("%2520"),
    "URL-encoded twice, every digit": _each("%25{:02x}"),
    "URL-encoded, no-break spaces": _grouped("%C2%A0"),
    "HTML references, decimal": _each("&#{};"),
    "HTML references, hex, URL-encoded": lambda number: quote(_each("&#x{:x};")(number), safe=""),
    "escaped as in JSON": _each("\\u{:04x}"),
    "full-width digits": _script("\uff10"),
    "Arabic-Indic digits, URL-encoded twice": lambda number: _again(_script("\u0660")(number)),
    "base64": lambda number: base64.b64encode(f'{{"number":"{number}"}}'.encode()).decode(),
    "hex of ASCII": lambda number: number.encode().hex(),
    "track 2": lambda number: f";{number}=27121010000012345678?",
}
"""Thirty ways to write a number down."""


def innocents(seed: int = 4, count: int = 400) -> Mapping[str, list[str]]:
    """Innocent values by kind, the same for the same seed: what real services put into attributes, paths and messages."""
    rnd = random.Random(seed)

    def many(make: Callable[[], str]) -> list[str]:
        return [make() for _ in range(count)]

    def digits(size: int) -> str:
        return str(rnd.randint(1, 9)) + "".join(rnd.choice("0123456789") for _ in range(size - 1))

    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    second = 1_780_000_000

    def octet() -> int:
        return rnd.randint(0, 255)

    return {
        "trace ids": many(lambda: f"{rnd.getrandbits(128):032x}"),
        "traceparent headers": many(lambda: f"00-{rnd.getrandbits(128):032x}-{rnd.getrandbits(64):016x}-01"),
        "span ids": many(lambda: f"{rnd.getrandbits(64):016x}"),
        "UUIDs": many(lambda: str(uuid.UUID(int=rnd.getrandbits(128), version=4))),
        "digests": many(lambda: f"sha256:{rnd.getrandbits(256):064x}"),
        "timestamps, s": many(lambda: str(second + rnd.randrange(10**7))),
        "timestamps, ms": many(lambda: str(second * 10**3 + rnd.randrange(10**10))),
        "timestamps, us": many(lambda: str(second * 10**6 + rnd.randrange(10**13))),
        "timestamps, ns": many(lambda: str(second * 10**9 + rnd.randrange(10**16))),
        "timestamps, ISO 8601": many(
            lambda: (
                f"2026-{rnd.randint(1, 12):02}-{rnd.randint(1, 28):02}T{rnd.randint(0, 23):02}:{rnd.randint(0, 59):02}:"
                f"{rnd.randint(0, 59):02}.{rnd.randrange(10**6):06}Z"
            )
        ),
        "order ids, 8 to 12 digits": many(lambda: f"/v1/orders/{digits(rnd.randint(8, 12))}"),
        "order ids with letters": many(lambda: f"ORD-2026-{digits(6)}-{rnd.choice('ABCDEF')}{digits(4)}"),
        "object ids": many(lambda: "ch_" + "".join(rnd.choice(alphabet) for _ in range(24))),
        "phone numbers": many(lambda: f"+{rnd.choice((1, 44, 49, 81, 91))} {digits(3)} {digits(3)} {digits(4)}"),
        "phone numbers, E.164": many(lambda: f"tel=%2B{rnd.choice((1, 44, 49))}{digits(10)}"),
        "addresses and ports": many(
            lambda: f"{rnd.randint(1, 223)}.{octet()}.{octet()}.{octet()}:{rnd.randint(1024, 65535)}"
        ),
        "IPv6 addresses": many(lambda: ":".join(f"{rnd.getrandbits(16):x}" for _ in range(8))),
        "amounts": many(lambda: f"amount={rnd.randrange(10**7) / 100:.2f} currency=eur fee={rnd.randrange(10**4)}"),
        "versions": many(
            lambda: f"payments/{rnd.randint(1, 20)}.{rnd.randint(0, 99)}.{rnd.randint(0, 999)}+{digits(8)}"
        ),
        "coordinates": many(lambda: f"{rnd.uniform(-90, 90):.6f},{rnd.uniform(-180, 180):.6f}"),
        "sizes and durations": many(lambda: f"{rnd.randrange(10**6)} bytes in {rnd.uniform(0, 10):.9f} s"),
        "URLs": many(
            lambda: (
                f"https://api.example.com/v1/charges/ch_{rnd.getrandbits(60):015x}"
                f"?limit={rnd.randint(1, 100)}&created%5Bgte%5D={second}"
            )
        ),
        "user agents": many(
            lambda: (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                f"Chrome/{rnd.randint(90, 160)}.0.{rnd.randint(1000, 9999)}.{rnd.randint(10, 200)} Safari/537.36"
            )
        ),
        "error messages": many(
            lambda: (
                f"timeout after {rnd.randint(100, 30000)} ms: upstream 10.{octet()}.{octet()}.7:8443, "
                f"attempt {rnd.randint(1, 5)}, pinned to shard {rnd.randint(1, 64)}, token bucket is empty"
            )
        ),
    }


def sixteen_random_digits(seed: int = 5, count: int = 20_000) -> list[str]:
    """What no detector can tell from a card number save by its check digit: the worst case."""
    rnd = random.Random(seed)
    return ["".join(rnd.choice("0123456789") for _ in range(16)) for _ in range(count)]
