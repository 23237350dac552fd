"""``make redaction``: how many card numbers in disguise pass, and how many innocent values are changed.

Every number of the corpus, in every disguise, goes through the SDK to where OTLP bytes or headers leave the process, and
through the receiver to where the store gets them, in every place that has text. One that can still be read there has passed.
Exit status: 0 if none passed, else 1.
"""

import os
import sys
import time
from collections import Counter

from telemetry.redaction import redact_text
from tests.redaction.check import stands
from tests.redaction.corpus import CARDS, DISGUISES, NUMBERS, innocents, sixteen_random_digits
from tests.redaction.places import Receiver, Service

_SHOWN = 10


def main() -> int:
    """Measure and print. ``SHARE=10`` takes every tenth number only."""
    begun = time.monotonic()
    numbers = NUMBERS[:: max(1, int(os.environ.get("SHARE", "1")))]
    print(f"{len(numbers)} numbers of {len(CARDS)} brands, {len(DISGUISES)} disguises")
    places = {**Service().places(), **Receiver().places()}
    tried: Counter[str] = Counter()
    passed: list[str] = []
    for name, disguise in DISGUISES.items():
        for number in numbers:
            hidden = disguise(number)
            for place, send in places.items():
                tried[place] += 1
                if stands(number, hidden, send(hidden)):
                    passed.append(f"{place}: {name}: ...{number[-4:]}")
    for place, count in tried.items():
        print(f"  {place:<18} {count:>7,} tried")
    for line in passed[:_SHOWN]:
        print(f"  PASSED: {line}")
    values = innocents()
    changed: list[str] = []
    for kind, ones in values.items():
        touched = [one for one in ones if redact_text(one) != one]
        changed += touched
        if touched:
            print(f"  CHANGED: {kind}: {len(touched)} of {len(ones)}, such as {touched[0]!r}")
    count = sum(map(len, values.values()))
    worst = sixteen_random_digits()
    rate = sum(redact_text(one) != one for one in worst) / len(worst)
    print(f"innocent values: {len(values)} kinds, {len(changed) / count:.2%} changed")
    print(f"16 random digits, which only a check digit can tell from a card: {rate:.1%} changed")
    print(f"{time.monotonic() - begun:.0f} s")
    print(
        f"disguised cards: {sum(tried.values())} tried, {len(passed)} passed; "
        f"innocent values: {count} tried, {len(changed)} changed"
    )
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
