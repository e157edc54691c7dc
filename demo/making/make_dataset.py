"""Write the demo dataset: about 1,000 chat, math and code examples, some of them planted on purpose.

Run `python demo/making/make_dataset.py` to write `demo/dataset.jsonl`.  The same seed gives the same bytes.
The hand-written entries live in `material.py`; the math problems are templates in this file.
"""

import argparse
import json
import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import material
from material import Snippet

SEED = 20240607
DOMAINS = ("chat", "math", "code")
ROWS_PER_DOMAIN = {"chat": 350, "math": 350, "code": 300}
# The planted rows of each domain, whose sum is taken from the domain's rows.
PLANTED_PER_DOMAIN = {
    "exact_duplicate": 8,
    "near_duplicate": 8,
    "shuffled_answer": 12,
    "trivial_answer": 8,
    "very_long": 3,
}


@dataclass(eq=False)
class Row:
    """One example; `original` points to the row that a planted duplicate copies.

    Rows compare by identity, since an exact duplicate has to stay apart from its original.
    """

    instruction: str
    input: str
    output: str
    domain: str
    task: str
    planted: str | None = None
    original: "Row | None" = None


# --- Chat ---


def chat_rows(rng: random.Random) -> list[Row]:
    """Turn every hand-written chat entry into a row, with one of several instruction phrasings."""
    rows = []

    def add(task: str, phrasings: list[str], given: str, output: str) -> None:
        rows.append(Row(rng.choice(phrasings), given, output, "chat", task))

    for question, answer in material.FACTS:
        # Most questions stand alone; some come as an input, as real datasets mix both shapes.
        if rng.random() < 0.7:
            add("fact", [question], "", answer)
        else:
            add("fact", ["Answer the question in one sentence.", "Give a short answer."], question, answer)
    for word, definition, example in material.WORDS:
        phrasings = [
            f"What does the word '{word}' mean?",
            f"Explain the word '{word}' and use it in a sentence.",
            f"Define '{word}' and give an example.",
        ]
        add("explain_word", phrasings, "", f"The word '{word}' means {definition}. For example: {example}")
    for blunt, polite in material.POLITE:
        phrasings = [
            "Rewrite the sentence politely.",
            "Make this sentence more polite.",
            "Say this politely.",
        ]
        add("rewrite_politely", phrasings, blunt, polite)
    for passage, summary in material.SUMMARIES:
        phrasings = ["Summarise the text in one sentence.", "Write a one-sentence summary of this text."]
        add("summarise", phrasings, passage, summary)
    for topic, items in material.LISTS:
        numbered = "\n".join(f"{place}. {item}" for place, item in enumerate(items.split(", "), start=1))
        add(
            "list_three",
            [f"List three {topic}.", f"Name three {topic}.", f"Give me three {topic}."],
            "",
            numbered,
        )
    for sentiment, text, reason in material.SENTIMENTS:
        phrasings = [
            "Classify the sentiment of the text as positive, negative or neutral.",
            "Is the sentiment of this text positive, negative or neutral?",
        ]
        add("sentiment", phrasings, text, f"The sentiment is {sentiment}, because {reason}.")
    for goal, steps in material.HOWTOS:
        numbered = "\n".join(f"{place}. {step}." for place, step in enumerate(steps.split("; "), start=1))
        add(
            "how_to",
            [f"How do I {goal}?", f"Explain how to {goal}.", f"Give four steps to {goal}."],
            "",
            numbered,
        )
    for wrong, right in material.GRAMMAR:
        phrasings = ["Correct the grammar of the sentence.", "Fix the mistake in this sentence."]
        add("grammar", phrasings, wrong, f"The correct sentence is: {right}")
    rng.shuffle(rows)
    return rows


# --- Math ---

NAMES = [
    ("Ada", "She"), ("Ben", "He"), ("Carla", "She"), ("David", "He"), ("Elena", "She"), ("Farid", "He"),
    ("Grace", "She"), ("Hugo", "He"), ("Ines", "She"), ("Jonas", "He"), ("Kira", "She"), ("Leo", "He"),
    ("Maya", "She"), ("Noah", "He"), ("Olga", "She"), ("Pedro", "He"), ("Rosa", "She"), ("Samir", "He"),
    ("Tara", "She"), ("Yusuf", "He"),
]  # fmt: skip
THINGS = [
    "marbles",
    "stickers",
    "pencils",
    "shells",
    "stamps",
    "buttons",
    "coins",
    "beads",
    "cards",
    "apples",
]
CONTAINERS = ["boxes", "bags", "baskets", "jars", "drawers", "trays"]
GOODS = [
    "notebooks",
    "candles",
    "tickets",
    "mugs",
    "plants",
    "posters",
    "scarves",
    "toy cars",
    "lamps",
    "books",
]
JOBS = ["washing cars", "walking dogs", "painting fences", "picking cherries", "teaching chess"]

UNITS = [
    ("hours", "minutes", 60), ("metres", "centimetres", 100), ("weeks", "days", 7), ("days", "hours", 24),
    ("kilograms", "grams", 1000), ("dollars", "cents", 100), ("years", "months", 12), ("feet", "inches", 12),
]  # fmt: skip

Problem = tuple[str, str, str]  # the problem, its worked steps, and the answer


def gain(rng: random.Random) -> Problem:
    """One addition."""
    (name, pronoun), things = rng.choice(NAMES), rng.choice(THINGS)
    have, more = rng.randint(5, 60), rng.randint(3, 40)
    verb = rng.choice(["finds", "buys", "is given"])
    return (
        f"{name} has {have} {things}. {pronoun} {verb} {more} more. How many {things} does {name} have now?",
        f"{name} starts with {have} {things} and {verb} {more} more. {have} + {more} = {have + more}.",
        f"{have + more}",
    )


def lose(rng: random.Random) -> Problem:
    """One subtraction."""
    (name, pronoun), things = rng.choice(NAMES), rng.choice(THINGS)
    have, less = rng.randint(30, 90), rng.randint(3, 28)
    verb = rng.choice(["gives away", "loses", "sells"])
    return (
        f"{name} has {have} {things}. {pronoun} {verb} {less} of them. How many {things} are left?",
        f"{name} starts with {have} {things} and {verb} {less}. {have} - {less} = {have - less}.",
        f"{have - less}",
    )


def compare(rng: random.Random) -> Problem:
    """How many more one person has."""
    (first, _), (second, _) = rng.sample(NAMES, 2)
    things, small, gap = rng.choice(THINGS), rng.randint(5, 40), rng.randint(3, 30)
    large = small + gap
    return (
        (f"{first} has {large} {things} and {second} has {small} {things}. How many more {things} does {first} have?"),
        f"Take the smaller number from the larger one. {large} - {small} = {gap}.",
        f"{gap}",
    )


def containers(rng: random.Random) -> Problem:
    """One multiplication."""
    things, kind = rng.choice(THINGS), rng.choice(CONTAINERS)
    count, each = rng.randint(3, 12), rng.randint(4, 15)
    return (
        f"There are {count} {kind} with {each} {things} in each. How many {things} are there in all?",
        f"There are {count} {kind} and each holds {each} {things}. {count} * {each} = {count * each}.",
        f"{count * each}",
    )


def share(rng: random.Random) -> Problem:
    """One division without remainder."""
    (name, pronoun), things = rng.choice(NAMES), rng.choice(THINGS)
    friends, each = rng.randint(3, 9), rng.randint(4, 15)
    whole = friends * each
    return (
        (
            f"{name} has {whole} {things}. {pronoun} shares them equally among {friends} friends. "
            f"How many {things} does each friend get?"
        ),
        f"Divide the {things} by the number of friends. {whole} / {friends} = {each}.",
        f"{each}",
    )


def cost(rng: random.Random) -> Problem:
    """The price of several goods."""
    (name, _), goods = rng.choice(NAMES), rng.choice(GOODS)
    count, price = rng.randint(3, 12), rng.randint(2, 15)
    return (
        f"{name} buys {count} {goods} for {price} dollars each. How many dollars does {name} pay?",
        f"Each of the {count} {goods} costs {price} dollars. {count} * {price} = {count * price}.",
        f"{count * price}",
    )


def change(rng: random.Random) -> Problem:
    """The price of several goods and the change from a banknote."""
    (name, pronoun), goods = rng.choice(NAMES), rng.choice(GOODS)
    count, price = rng.randint(2, 8), rng.randint(3, 9)
    spent = count * price
    note = 50 if spent < 50 and rng.random() < 0.6 else 100
    return (
        (
            f"{name} buys {count} {goods} for {price} dollars each. {pronoun} pays with {note} dollars. "
            f"How much change does {name} get?"
        ),
        (f"The {goods} cost {count} * {price} = {spent} dollars. The change is {note} - {spent} = {note - spent}."),
        f"{note - spent}",
    )


def two_steps(rng: random.Random) -> Problem:
    """A multiplication and a subtraction."""
    (name, pronoun), things, kind = rng.choice(NAMES), rng.choice(THINGS), rng.choice(CONTAINERS)
    count, each, gone = rng.randint(3, 9), rng.randint(5, 12), rng.randint(2, 12)
    whole = count * each
    return (
        (
            f"{name} has {count} {kind} with {each} {things} in each. {pronoun} gives {gone} {things} to a "
            "friend. "
            f"How many {things} are left?"
        ),
        f"First, {count} * {each} = {whole}. Then, {whole} - {gone} = {whole - gone}.",
        f"{whole - gone}",
    )


def travel_distance(rng: random.Random) -> Problem:
    """Distance from speed and time."""
    vehicle, speed = rng.choice([("train", 90), ("bus", 50), ("car", 70), ("lorry", 60), ("ship", 30)])
    speed, hours = speed + 5 * rng.randint(-2, 4), rng.randint(2, 8)
    return (
        (f"A {vehicle} travels at {speed} kilometres an hour for {hours} hours. How many kilometres does it go?"),
        f"Multiply the speed by the time. {speed} * {hours} = {speed * hours}.",
        f"{speed * hours}",
    )


def travel_time(rng: random.Random) -> Problem:
    """Time from distance and speed."""
    vehicle = rng.choice(["train", "bus", "car", "lorry", "ship"])
    speed, hours = 10 * rng.randint(3, 9), rng.randint(2, 8)
    far = speed * hours
    return (
        (
            f"A {vehicle} has to go {far} kilometres. It travels at {speed} kilometres an hour. "
            "How many hours does it need?"
        ),
        f"Divide the distance by the speed. {far} / {speed} = {hours}.",
        f"{hours}",
    )


def ages(rng: random.Random) -> Problem:
    """The sum of two ages."""
    (first, _), (second, _) = rng.sample(NAMES, 2)
    young, gap = rng.randint(4, 20), rng.randint(2, 12)
    old = young + gap
    return (
        (f"{first} is {young} years old. {second} is {gap} years older than {first}. How old are they together?"),
        f"{second} is {young} + {gap} = {old} years old. Together they are {young} + {old} = {young + old}.",
        f"{young + old}",
    )


def times_as_many(rng: random.Random) -> Problem:
    """A multiple of another person's things, and the sum."""
    (first, _), (second, _) = rng.sample(NAMES, 2)
    things, few, factor = rng.choice(THINGS), rng.randint(3, 15), rng.randint(2, 5)
    factor_word = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}[factor]
    many = few * factor
    return (
        (f"{first} has {few} {things}. {second} has {factor_word} as many. How many {things} do they have together?"),
        f"{second} has {few} * {factor} = {many} {things}. Together they have {few} + {many} = {few + many}.",
        f"{few + many}",
    )


def savings(rng: random.Random) -> Problem:
    """Weekly savings on top of a first amount."""
    name, pronoun = rng.choice(NAMES)
    start, each, weeks = rng.randint(5, 40), rng.randint(3, 12), rng.randint(4, 12)
    saved = each * weeks
    return (
        (
            f"{name} has {start} dollars. {pronoun} saves {each} dollars every week. "
            f"How many dollars does {name} have after {weeks} weeks?"
        ),
        (f"In {weeks} weeks {name} saves {weeks} * {each} = {saved} dollars. {start} + {saved} = {start + saved}."),
        f"{start + saved}",
    )


def pages(rng: random.Random) -> Problem:
    """Days needed to finish a book."""
    name, pronoun = rng.choice(NAMES)
    each, days, done = 5 * rng.randint(2, 6), rng.randint(3, 9), rng.randint(10, 60)
    left = each * days
    return (
        (
            f"A book has {left + done} pages. {name} has read {done} of them. {pronoun} reads {each} pages a "
            "day. "
            f"How many days does {name} still need?"
        ),
        f"There are {left + done} - {done} = {left} pages left. {left} / {each} = {days}.",
        f"{days}",
    )


def perimeter(rng: random.Random) -> Problem:
    """The way round a rectangle."""
    place = rng.choice(["garden", "field", "yard", "playground", "car park"])
    length, width = rng.randint(12, 40), rng.randint(5, 11)
    half = length + width
    return (
        (
            f"A rectangular {place} is {length} metres long and {width} metres wide. "
            "How many metres of fence go round it?"
        ),
        f"One long side and one short side make {length} + {width} = {half} metres. {half} * 2 = {half * 2}.",
        f"{half * 2}",
    )


def area(rng: random.Random) -> Problem:
    """The area of a rectangle."""
    place = rng.choice(["room", "carpet", "wall", "floor", "roof", "stage"])
    length, width = rng.randint(6, 20), rng.randint(3, 9)
    return (
        f"A rectangular {place} is {length} metres by {width} metres. What is its area in square metres?",
        f"Multiply the two sides. {length} * {width} = {length * width}.",
        f"{length * width}",
    )


def mean_of_three(rng: random.Random) -> Problem:
    """The average of three scores."""
    name, _ = rng.choice(NAMES)
    first, second, mean = rng.randint(5, 20), rng.randint(5, 20), rng.randint(12, 16)
    third = 3 * mean - first - second
    if third < 1:  # a negative score would make no sense, so the mean goes up by what is missing
        mean += 5
        third = 3 * mean - first - second
    whole = first + second + third
    return (
        f"{name} scores {first}, {second} and {third} points in three games. What is the average score?",
        f"The sum is {first} + {second} + {third} = {whole}. {whole} / 3 = {mean}.",
        f"{mean}",
    )


def discount(rng: random.Random) -> Problem:
    """A price after a percentage off."""
    thing = rng.choice(["coat", "bicycle", "chair", "radio", "watch", "bag", "camera", "tent"])
    price, percent = 20 * rng.randint(2, 15), rng.choice([5, 10, 20, 25, 50])
    off = price * percent // 100
    return (
        (f"A {thing} costs {price} dollars. It is sold with {percent} percent off. What is the new price in dollars?"),
        f"The discount is {price} * {percent} / 100 = {off} dollars. {price} - {off} = {price - off}.",
        f"{price - off}",
    )


def fraction(rng: random.Random) -> Problem:
    """A simple fraction of a group."""
    word, parts = rng.choice([("half", 2), ("a third", 3), ("a quarter", 4), ("a fifth", 5), ("a tenth", 10)])
    group, each = (
        rng.choice(["pupils in a school", "guests at a hotel", "members of a club"]),
        rng.randint(6, 30),
    )
    whole = parts * each
    action = rng.choice(["come by bicycle", "play chess", "speak Spanish", "have a dog", "like swimming"])
    return (
        f"There are {whole} {group}, and {word} of them {action}. How many of them {action}?",
        f"To find {word}, divide by {parts}. {whole} / {parts} = {each}.",
        f"{each}",
    )


def vans(rng: random.Random) -> Problem:
    """A division that is rounded up."""
    vehicle, seats = rng.choice([("van", 8), ("boat", 6), ("taxi", 4), ("minibus", 12), ("lift", 9)])
    full, rest = rng.randint(3, 9), rng.randint(1, seats - 1)
    people = full * seats + rest
    plural = {"taxi": "taxis", "minibus": "minibuses"}.get(vehicle, vehicle + "s")
    if vehicle == "lift":
        question = f"A lift holds {seats} people. How many trips does it need to take {people} people up?"
        one, plural = "trip", "trips"
    else:
        question = f"One {vehicle} holds {seats} people. How many {plural} are needed for {people} people?"
        one = vehicle
    return (
        question,
        (
            f"{full} full {plural} take {full} * {seats} = {full * seats} people. That leaves {people} - "
            f"{full * seats} = "
            f"{rest}, so one more {one} is needed. {full} + 1 = {full + 1}."
        ),
        f"{full + 1}",
    )


def temperature(rng: random.Random) -> Problem:
    """Two changes of temperature."""
    start, up, down = rng.randint(2, 15), rng.randint(4, 14), rng.randint(3, 12)
    noon = start + up
    return (
        (
            f"In the morning it is {start} degrees. By noon it is {up} degrees warmer, and by night it has "
            "fallen by "
            f"{down} degrees. How many degrees is it at night?"
        ),
        f"At noon it is {start} + {up} = {noon} degrees. At night it is {noon} - {down} = {noon - down}.",
        f"{noon - down}",
    )


def clock(rng: random.Random) -> Problem:
    """The minutes between two times in one hour or the next."""
    event = rng.choice(["film", "lesson", "match", "concert", "meeting", "flight"])
    hour, minute, length = rng.randint(1, 9), 5 * rng.randint(0, 11), 5 * rng.randint(4, 20)
    end = hour * 60 + minute + length
    start_text, end_text = f"{hour}:{minute:02d}", f"{end // 60}:{end % 60:02d}"
    before, after = 60 - minute, length - (60 - minute)
    if after <= 0:
        steps = f"Both times are in the same hour. {end - hour * 60} - {minute} = {length}."
        if after == 0:
            steps = f"The {event} ends on the full hour. 60 - {minute} = {length}."
    else:
        steps = (
            f"From {start_text} to {hour + 1}:00 there are {before} minutes. "
            f"Then there are {after} minutes to {end_text}. {before} + {after} = {length}."
        )
    return (
        f"A {event} starts at {start_text} and ends at {end_text}. How many minutes does it last?",
        steps,
        f"{length}",
    )


def legs(rng: random.Random) -> Problem:
    """The legs of two kinds of animals."""
    four, two = (
        rng.choice(["cows", "sheep", "goats", "horses", "pigs"]),
        rng.choice(["hens", "ducks", "geese"]),
    )
    fours, twos = rng.randint(3, 15), rng.randint(3, 20)
    return (
        f"A farm has {fours} {four} and {twos} {two}. How many legs do the animals have in all?",
        (
            f"The {four} have {fours} * 4 = {fours * 4} legs. The {two} have {twos} * 2 = {twos * 2} legs. "
            f"{fours * 4} + {twos * 2} = {fours * 4 + twos * 2}."
        ),
        f"{fours * 4 + twos * 2}",
    )


def units(rng: random.Random) -> Problem:
    """A change of units."""
    large, small, factor = rng.choice(UNITS)
    one = "foot" if large == "feet" else large[:-1]
    count = rng.randint(2, 15)
    return (
        f"How many {small} are in {count} {large}?",
        f"One {one} has {factor} {small}. {count} * {factor} = {count * factor}.",
        f"{count * factor}",
    )


def sequence(rng: random.Random) -> Problem:
    """The next number of a sequence with equal steps."""
    start, step = rng.randint(1, 20), rng.randint(2, 12)
    numbers = [start + step * place for place in range(5)]
    shown = ", ".join(str(number) for number in numbers[:4])
    return (
        f"What is the next number in the sequence {shown}?",
        f"Each number is {step} more than the one before. {numbers[3]} + {step} = {numbers[4]}.",
        f"{numbers[4]}",
    )


def wages(rng: random.Random) -> Problem:
    """Pay by the hour and a tip."""
    (name, pronoun), job = rng.choice(NAMES), rng.choice(JOBS)
    rate, hours, tip = rng.randint(8, 20), rng.randint(2, 8), rng.randint(3, 15)
    pay = rate * hours
    return (
        (
            f"{name} earns {rate} dollars an hour for {job}. {pronoun} works {hours} hours and gets a tip of "
            f"{tip} "
            f"dollars. How many dollars does {name} earn?"
        ),
        f"The pay is {rate} * {hours} = {pay} dollars. With the tip it is {pay} + {tip} = {pay + tip}.",
        f"{pay + tip}",
    )


def hidden_number(rng: random.Random) -> Problem:
    """A number found by working backwards."""
    name, pronoun = rng.choice(NAMES)
    number, factor, more = rng.randint(3, 15), rng.randint(2, 6), rng.randint(2, 20)
    result = number * factor + more
    return (
        (
            f"{name} thinks of a number. {pronoun} multiplies it by {factor} and adds {more}. The result is "
            f"{result}. "
            "What is the number?"
        ),
        f"Work backwards. {result} - {more} = {result - more}. {result - more} / {factor} = {number}.",
        f"{number}",
    )


def dozens(rng: random.Random) -> Problem:
    """Dozens of something, some of which break."""
    things = rng.choice(["eggs", "glasses", "plates", "cups", "tiles"])
    count, broken = rng.randint(2, 9), rng.randint(2, 11)
    return (
        f"A shop has {count} dozen {things}. {broken} of them break. How many {things} are left?",
        (
            f"A dozen is 12, so there are {count} * 12 = {count * 12} {things}. {count * 12} - {broken} = "
            f"{count * 12 - broken}."
        ),
        f"{count * 12 - broken}",
    )


def recipe(rng: random.Random) -> Problem:
    """A recipe for more people."""
    stuff = rng.choice(["flour", "rice", "sugar", "butter", "pasta", "oats"])
    people, factor, grams = rng.choice([2, 3, 4]), rng.randint(2, 5), 50 * rng.randint(2, 8)
    return (
        (
            f"A recipe for {people} people needs {grams} grams of {stuff}. How many grams are needed for "
            f"{people * factor} people?"
        ),
        (
            f"{people * factor} / {people} = {factor}, so the recipe is made {factor} times. {grams} * "
            f"{factor} = "
            f"{grams * factor}."
        ),
        f"{grams * factor}",
    )


def rows_of_seats(rng: random.Random) -> Problem:
    """Seats in a hall that are still free."""
    rows, seats = rng.randint(6, 20), rng.randint(8, 15)
    whole = rows * seats
    taken = rng.randint(whole // 3, whole - 5)
    return (
        f"A hall has {rows} rows of {seats} seats. {taken} seats are taken. How many seats are free?",
        f"The hall has {rows} * {seats} = {whole} seats. {whole} - {taken} = {whole - taken}.",
        f"{whole - taken}",
    )


TEMPLATES: list[Callable[[random.Random], Problem]] = [
    gain, lose, compare, containers, share, cost, change, two_steps, travel_distance, travel_time, ages,
    times_as_many, savings, pages, perimeter, area, mean_of_three, discount, fraction, vans, temperature,
    clock, legs, units, sequence, wages, hidden_number, dozens, recipe, rows_of_seats,
]  # fmt: skip


def math_rows(rng: random.Random, count: int) -> list[Row]:
    """Go round the templates until there are enough problems, no two of them with the same answer text."""
    # Two problems that differ in a name alone would be near duplicates that nobody planted, so a row whose
    # worked steps were seen before is dropped.
    rows: dict[str, Row] = {}
    turn = 0
    while len(rows) < count:
        template = TEMPLATES[turn % len(TEMPLATES)]
        turn += 1
        problem, steps, answer = template(rng)
        output = f"{steps} The answer is {answer}."
        rows.setdefault(output, Row(problem, "", output, "math", template.__name__))
    found = list(rows.values())
    rng.shuffle(found)
    return found


# --- Code ---


def third_person(purpose: str) -> str:
    """Turn 'Return the sum.' into 'returns the sum.'."""
    verb, rest = purpose.split(" ", 1)
    return f"{verb.lower()}s {rest}"


def write_row(snippet: Snippet, rng: random.Random) -> Row:
    """Ask for the function."""
    does = third_person(snippet.purpose)
    phrasings = [
        f"Write a Python function that {does}",
        f"Write a Python function `{snippet.name}` that {does}",
        f"Write a short Python function that {does}",
    ]
    return Row(rng.choice(phrasings), "", snippet.source, "code", "write_function")


def explain_row(snippet: Snippet, rng: random.Random) -> Row:
    """Ask what the function does."""
    phrasings = ["Explain what this Python function does.", "What does this function do?"]
    output = f"The function `{snippet.name}` {third_person(snippet.purpose)} {snippet.how}"
    return Row(rng.choice(phrasings), without_docstring(snippet.source), output, "code", "explain_function")


def result_row(snippet: Snippet, rng: random.Random) -> Row:
    """Ask for the value of a call."""
    call, expected = rng.choice(snippet.checks)
    instruction = f"What does the call `{call}` return?"
    output = f"The call `{call}` returns {expected!r}."
    return Row(instruction, without_docstring(snippet.source), output, "code", "result_of_call")


def without_docstring(source: str) -> str:
    """Return a function's text without its docstring, so that the question does not hold the answer."""
    return re.sub(r'\n    """.*?"""', "", source, flags=re.DOTALL)


def code_rows(rng: random.Random, count: int) -> list[Row]:
    """Ask for every function once, then fill up with questions about the functions."""
    rows = [write_row(snippet, rng) for snippet in material.SNIPPETS]
    explained = [snippet for snippet in material.SNIPPETS if snippet.how]
    # A reader cannot tell the value of a call that depends on a file.
    called = [
        snippet
        for snippet in material.SNIPPETS
        if all("date(" not in call and ".txt" not in call for call, _ in snippet.checks)
    ]
    explain_count = (count - len(rows)) * 2 // 5
    rows += [explain_row(snippet, rng) for snippet in rng.sample(explained, explain_count)]
    rows += [result_row(snippet, rng) for snippet in rng.sample(called, count - len(rows))]
    rng.shuffle(rows)
    return rows


def check_snippets() -> None:
    """Run every function's text on its examples, in an empty folder, and fail on any other result."""
    back = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("notes.txt").write_text("one\ntwo\n", encoding="utf-8")
            for snippet in material.SNIPPETS:
                space: dict = {}
                exec(compile(snippet.source, snippet.name, "exec"), space)
                for call, expected in snippet.checks:
                    result = eval(call, space)
                    if result != expected or type(result) is not type(expected):
                        raise ValueError(f"{call} gave {result!r}, not {expected!r}")
            if Path("new.txt").read_text(encoding="utf-8") != "a\nb\n":
                raise ValueError("write_lines wrote another text")
            if Path("log.txt").read_text(encoding="utf-8") != "ready\n":
                raise ValueError("append_line wrote another text")
        finally:
            os.chdir(back)


# --- Planted rows ---


def shuffled_answer(row: Row, rng: random.Random) -> Row:
    """Put the words of a row's own answer in a random order.

    The white space stays where it was, so a shuffled function keeps its line breaks and indents: what is
    lost is the order of the words and nothing else.
    """
    parts = re.split(r"(\s+)", row.output)
    words = parts[::2]
    mixed = words[:]
    while sum(left == right for left, right in zip(words, mixed, strict=True)) > len(words) // 3:
        rng.shuffle(mixed)
    parts[::2] = mixed
    return replace(row, output="".join(parts), planted="shuffled_answer")


def lower_first(text: str) -> str:
    """Return a text whose first letter is small."""
    return text[0].lower() + text[1:]


def near_duplicate(row: Row, turn: int) -> Row:
    """Copy a row with one or two small edits to its wording, picked in turn."""
    edits: list[Callable[[Row], Row]] = [
        lambda r: replace(r, instruction=r.instruction.rstrip(".?")),
        lambda r: replace(r, instruction=lower_first(r.instruction)),
        lambda r: replace(r, instruction=r.instruction.rstrip(".?") + ", please" + r.instruction[-1]),
        lambda r: replace(r, instruction=r.instruction + " Be brief."),
    ]
    copy = edits[turn % len(edits)](row)
    if turn % 3 == 0 and row.output.endswith("."):
        copy = replace(copy, output=row.output[:-1])
    return replace(copy, planted="near_duplicate", original=row)


def exact_duplicate(row: Row) -> Row:
    """Copy a row."""
    return replace(row, planted="exact_duplicate", original=row)


def trivial_rows() -> list[Row]:
    """Rows whose answer goes on with a pattern that the prompt already shows."""

    def row(domain: str, instruction: str, unit: str, times: int, joiner: str = " ") -> Row:
        shown = joiner.join([unit] * 4)
        return Row(instruction, shown, joiner.join([unit] * times), domain, "repeat", "trivial_answer")

    rows = [
        row("chat", f"Repeat the same {kind} {times} times.", unit, times)
        for kind, unit, times in [
            ("word", "na", 40), ("word", "yes", 40), ("word", "blue", 36), ("words", "tick tock", 20),
            ("words", "la la la", 12), ("words", "row, row, row,", 12), ("words", "ha ha", 20),
            ("sentence", "The cat sat on the mat.", 12),
        ]
    ]  # fmt: skip
    rows += [
        row("math", f"Go on with this pattern of numbers until it is written {times} times.", unit, times)
        for unit, times in [
            ("0 1", 24), ("7", 40), ("1 2 3", 16), ("5 0", 24), ("1 1 2", 16), ("10 20", 20), ("9 8 7", 16),
            ("2 4 6 8", 12),
        ]
    ]  # fmt: skip
    rows += [
        row("code", f"Write the same line of Python {times} times.", line, times, "\n")
        for line, times in [
            ("x = x + 1", 16), ("pass", 30), ("print('hello')", 16), ("total = total + 1", 14),
            ("i += 1", 18), ("import os", 20), ("result.append(0)", 14),
        ]
    ]  # fmt: skip
    zeros = "[" + ", ".join(["0"] * 40) + "]"
    rows.append(Row("Write a Python list of 40 zeros.", "[0, 0, 0, 0]", zeros, "code", "repeat", "trivial_answer"))
    return rows


def long_story() -> Row:
    """A story of nine stops, each told in the same frame."""
    days = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]
    parts = [
        (
            "Mira lived in a small house at the end of a long road. One morning she packed a bag, closed the "
            "door, and "
            "set out to see where the road began."
        )
    ]
    for day, (place, person, trouble, thing, gift, shelter) in zip(days, material.VILLAGES, strict=True):
        short = "the " + person.split(" ", 1)[1]
        parts.append(
            f"On the {day} day she came to {place}. There she met {person} who {trouble}. Mira sat down "
            "and listened, "
            f"for she was never in a hurry. 'I have {thing},' she said, 'and I think that it may help.' "
            "They worked "
            f"together until the sun went down. When the work was done, {short} gave her {gift}. Mira said "
            "thank you, "
            f"slept under {shelter}, and walked on in the morning."
        )
    parts.append(
        "On the last day she came to a small house, and she saw that it was her own. The road had no "
        "beginning. It "
        "went in a great circle, and at every stop there was now a friend."
    )
    instruction = "Write a long story about a girl who walks along a road and helps the people she meets."
    return Row(instruction, "", "\n\n".join(parts), "chat", "long_text", "very_long")


def long_drawing_plan() -> Row:
    """A plan of thirty days."""
    tips = material.DRAWING_TIPS
    lines = [
        f"Day {day}: Draw {subject}. {tips[(day - 1) % len(tips)]} Write the date under the drawing."
        for day, subject in enumerate(material.DRAWING_SUBJECTS, start=1)
    ]
    instruction = "Write a plan of thirty days for a person who wants to learn to draw."
    return Row(instruction, "", "\n".join(lines), "chat", "long_text", "very_long")


def long_garden_guide() -> Row:
    """A guide of twelve months."""
    parts = [
        f"In {month} the garden is {state}. The main job is to {job}. When that is done, {second}. In the "
        "vegetable "
        f"patch, {crop}. Before the month ends, {last}. Then write down what went well, so that you know "
        "it next year."
        for month, state, job, second, crop, last in material.GARDEN_MONTHS
    ]
    instruction = "Write a guide to a small garden, month by month, for one year."
    return Row(instruction, "", "\n\n".join(parts), "chat", "long_text", "very_long")


def long_savings() -> Row:
    """Savings worked out week by week."""
    amount, lines = 15, []
    for week in range(1, 41):
        more = 4 if week % 2 else 7
        lines.append(
            f"Week {week}: Maya has {amount} dollars. She saves {more} dollars. {amount} + {more} = {amount + more}."
        )
        amount += more
    instruction = (
        "Maya has 15 dollars. She saves 4 dollars in every odd week and 7 dollars in every even week. "
        "Work out week by week how many dollars she has after 40 weeks."
    )
    return Row(instruction, "", "\n".join([*lines, f"The answer is {amount}."]), "math", "long_steps", "very_long")


def long_bus_ride() -> Row:
    """Passengers counted stop by stop."""
    people, lines = 8, []
    for stop in range(1, 27):
        on, off = 3 + stop % 4, 2 + stop % 3
        lines.append(
            f"Stop {stop}: {on} people get on, and {people} + {on} = {people + on}. Then {off} people get "
            "off, and "
            f"{people + on} - {off} = {people + on - off}. Now {people + on - off} people are on the bus."
        )
        people += on - off
    changes = "; ".join(f"{3 + stop % 4} on, {2 + stop % 3} off" for stop in range(1, 27))
    instruction = (
        "A bus starts with 8 people and makes 26 stops. "
        "Work out stop by stop how many people are on the bus at the end."
    )
    output = "\n".join([*lines, f"The answer is {people}."])
    return Row(instruction, f"People at each stop: {changes}.", output, "math", "long_steps", "very_long")


def long_odd_sum() -> Row:
    """The sum of the first odd numbers, step by step."""
    whole, lines = 0, []
    for step in range(1, 41):
        odd = 2 * step - 1
        lines.append(
            f"Step {step}: the next odd number is {odd}. {whole} + {odd} = {whole + odd}, which is {step} * {step}."
        )
        whole += odd
    instruction = "Add up the first 40 odd numbers step by step, and compare each sum with a square."
    return Row(instruction, "", "\n".join([*lines, f"The answer is {whole}."]), "math", "long_steps", "very_long")


def long_module(theme: str, first: str, words: int) -> Row:
    """A module of functions, from the one named `first` on, until it has the given number of words."""
    names = [snippet.name for snippet in material.SNIPPETS]
    chosen: list[Snippet] = []
    for snippet in material.SNIPPETS[names.index(first) :]:
        # A module has its imports at the top, so the functions that bring their own are left out.
        if "import" not in snippet.source:
            chosen.append(snippet)
        if sum(len(snippet.source.split()) for snippet in chosen) > words:
            break
    body = "\n\n\n".join(snippet.source for snippet in chosen)
    listed = ", ".join(f"`{snippet.name}`" for snippet in chosen)
    instruction = f"Write a Python module of small functions for {theme}."
    output = f'"""Small functions for {theme}."""\n\n\n{body}'
    return Row(instruction, f"The module has these functions: {listed}.", output, "code", "long_module", "very_long")


def long_rows() -> list[Row]:
    """All rows with a very long response."""
    return [
        long_story(),
        long_drawing_plan(),
        long_garden_guide(),
        long_savings(),
        long_bus_ride(),
        long_odd_sum(),
        long_module("text", "count_vowels", 600),
        long_module("lists", "total", 650),
        long_module("numbers", "is_even", 600),
    ]


# --- The whole dataset ---


def domain_rows(domain: str, rng: random.Random) -> Iterator[Row]:
    """Yield all rows of a domain, planted ones included."""
    plants = PLANTED_PER_DOMAIN
    plain_count = ROWS_PER_DOMAIN[domain] - sum(plants.values())
    needed = plain_count + plants["shuffled_answer"]
    makers = {
        "chat": lambda: chat_rows(rng)[:needed],
        "math": lambda: math_rows(rng, needed),
        "code": lambda: code_rows(rng, needed),
    }
    made = makers[domain]()
    if len(made) < needed:
        raise ValueError(f"only {len(made)} rows of {domain}, but {needed} are needed")
    # A shuffled answer of a few words could come out nearly right, so only longer ones are taken.
    long_enough = [row for row in made if len(row.output.split()) >= 10]
    to_shuffle = rng.sample(long_enough, plants["shuffled_answer"])
    plain = [row for row in made if row not in to_shuffle]
    yield from plain
    yield from (shuffled_answer(row, rng) for row in to_shuffle)
    # No row is copied twice, so each duplicate has one partner.
    copied = rng.sample(plain, plants["exact_duplicate"] + plants["near_duplicate"])
    for turn, row in enumerate(copied):
        if turn < plants["exact_duplicate"]:
            yield exact_duplicate(row)
        else:
            yield near_duplicate(row, turn)
    yield from (row for row in trivial_rows() + long_rows() if row.domain == domain)


def dataset(seed: int) -> list[Row]:
    """Make all rows and put them in a random order that the seed fixes."""
    rng = random.Random(seed)
    rows = [row for domain in DOMAINS for row in domain_rows(domain, rng)]
    rng.shuffle(rows)
    return rows


def json_lines(rows: list[Row]) -> Iterator[str]:
    """Yield one JSON line a row; `planted_of` is the place of the original, counted from 0."""
    places = {id(row): place for place, row in enumerate(rows)}
    for row in rows:
        fields = asdict(replace(row, original=None))
        del fields["original"]
        fields["planted_of"] = places[id(row.original)] if row.original else None
        yield json.dumps(fields, ensure_ascii=False) + "\n"


def main() -> None:
    """Check the functions, write the file and print the counts."""
    parser = argparse.ArgumentParser(description="Write the demo dataset.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "dataset.jsonl")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    check_snippets()
    rows = dataset(arguments.seed)
    with open(arguments.out, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json_lines(rows))
    for (domain, planted), count in sorted(Counter((row.domain, row.planted or "plain") for row in rows).items()):
        print(f"{domain:5} {planted:16} {count}")
    print(f"{len(rows)} rows written to {arguments.out}")


if __name__ == "__main__":
    main()
