"""Arithmetic that the pretraining corpus writes itself: digits need more repetition than books have."""

from __future__ import annotations

import random

NAMES = [
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Ella",
    "Frank",
    "Grace",
    "Henry",
    "Ida",
    "Jack",
    "Kate",
    "Leo",
    "Maria",
    "Nina",
    "Oscar",
    "Paul",
    "Rosa",
    "Sam",
    "Tina",
    "Victor",
    "Wendy",
    "Yusuf",
    "Zoe",
    "Omar",
    "Li",
    "Priya",
]
THINGS = [
    "apples",
    "marbles",
    "books",
    "pencils",
    "stamps",
    "cookies",
    "oranges",
    "shells",
    "coins",
    "cards",
    "stickers",
    "buttons",
    "eggs",
    "flowers",
    "bottles",
    "chairs",
    "tickets",
    "bricks",
]
PLACES = ["shop", "school", "farm", "library", "market", "bakery", "museum", "station", "garden", "factory"]


def arithmetic(rng: random.Random) -> str:
    """One short document of arithmetic: bare sums, worked steps or a small story, always correct."""
    a, b, _ = (rng.randint(2, 10 ** rng.choice([1, 1, 2, 2, 3])) for _ in range(3))
    who, other = rng.sample(NAMES, 2)
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    small, few = rng.randint(2, 12), rng.randint(2, 9)
    price = rng.randint(2, 25)
    kind = rng.randrange(22)
    if kind <= 3:  # a few bare facts
        lines = []
        for _ in range(rng.randint(1, 8)):
            x, y = (rng.randint(0, 10 ** rng.choice([1, 2, 2, 3])) for _ in range(2))
            s, t = rng.randint(2, 12), rng.randint(2, 30)
            lines.append(
                rng.choice(
                    [
                        f"{x} + {y} = {x + y}",
                        f"{max(x, y)} - {min(x, y)} = {abs(x - y)}",
                        f"{s} * {t} = {s * t}",
                        f"{s} x {t} = {s * t}",
                        f"{s * t} / {s} = {t}",
                    ]
                )
            )
        return rng.choice(["\n", "\n", ", "]).join(lines)
    if kind == 4:
        return f"The sum of {a} and {b} is {a + b}, because {a} + {b} = {a + b}."
    if kind == 5:
        return f"The difference between {a + b} and {a} is {b}. To check it, add {a} + {b} = {a + b}."
    if kind == 6:
        return f"{who} had {a} {thing}. {other} gave {who} {b} more. Now {who} has {a} + {b} = {a + b} {thing}."
    if kind == 7:
        return f"{who} had {a + b} {thing} and gave {a} of them to {other}. That leaves {a + b} - {a} = {b} {thing}."
    if kind == 8:
        return (
            f"There are {small} boxes with {few} {thing} in each box. "
            f"Altogether there are {small} * {few} = {small * few} {thing}."
        )
    if kind == 9:
        return (
            f"{small * few} {thing} are shared equally among {few} people. "
            f"Each person gets {small * few} / {few} = {small} {thing}."
        )
    if kind == 10:
        return (
            f"At the {place}, one ticket costs {price} dollars. {who} buys {few} tickets, "
            f"so the cost is {few} * {price} = {few * price} dollars. {who} pays with {few * price + small} dollars "
            f"and gets {few * price + small} - {few * price} = {small} dollars back."
        )
    if kind == 11:
        pct, base = rng.choice([5, 10, 20, 25, 50, 75]), rng.randint(1, 30) * 20
        part = base * pct // 100
        return f"{pct}% of {base} is {part}, since {base} * {pct} / 100 = {base * pct} / 100 = {part}."
    if kind == 12:
        x, y = rng.randint(12, 99), rng.randint(3, 9)
        tens, ones = x // 10 * 10, x % 10
        return (
            f"To compute {x} * {y}, split {x} into {tens} + {ones}.\n{tens} * {y} = {tens * y}\n"
            f"{ones} * {y} = {ones * y}\n{tens * y} + {ones * y} = {x * y}\nSo {x} * {y} = {x * y}."
        )
    if kind == 13:
        return (
            f"A train travels {price * 5} kilometres in one hour. "
            f"In {few} hours it travels {price * 5} * {few} = {price * 5 * few} kilometres."
        )
    if kind == 14:
        step, start = rng.randint(2, 15), rng.randint(0, 40)
        return (
            f"Counting by {step} from {start}: "
            + ", ".join(str(start + i * step) for i in range(rng.randint(5, 12)))
            + "."
        )
    if kind == 15:
        return (
            f"A rectangle is {small} metres long and {few} metres wide. "
            f"Its area is {small} * {few} = {small * few} square metres "
            f"and its perimeter is 2 * ({small} + {few}) = {2 * (small + few)} metres."
        )
    if kind == 16:
        return (
            f"{who} is {small + few} years old. {other} is {few} years younger, "
            f"so {other} is {small + few} - {few} = {small} years old. "
            f"Together they are {small + few} + {small} = {2 * small + few} years old."
        )
    if kind == 17:
        n = rng.randint(1, 9)
        return rng.choice(
            [
                f"{n} hours are {n} * 60 = {n * 60} minutes.",
                f"{n} weeks are {n} * 7 = {n * 7} days.",
                f"{n} metres are {n} * 100 = {n * 100} centimetres.",
                f"{n} dozen {thing} are {n} * 12 = {n * 12} {thing}.",
                f"{n} kilograms are {n} * 1000 = {n * 1000} grams.",
            ]
        )
    if kind == 18:
        day = [rng.randint(1, 30) for _ in range(3)]
        return (
            f"On Monday the {place} sold {day[0]} {thing}, on Tuesday {day[1]} and on Wednesday {day[2]}. "
            f"First, {day[0]} + {day[1]} = {day[0] + day[1]}. Then {day[0] + day[1]} + {day[2]} = {sum(day)}. "
            f"In total it sold {sum(day)} {thing}."
        )
    if kind == 19:
        x = rng.randint(1, 40)
        return f"Solve x + {a} = {a + x}. Subtract {a} from both sides: x = {a + x} - {a} = {x}."
    if kind == 20:
        big, less = max(a, b), min(a, b)
        return (
            f"{big} is greater than or equal to {less}, and {big} - {less} = {big - less}."
            if rng.random() < 0.5
            else f"Half of {2 * a} is {a} and twice {a} is {2 * a}."
        )
    return (
        f"{who} earns {price} dollars an hour and works {small} hours. "
        f"That makes {price} * {small} = {price * small} dollars. "
        f"After spending {few} dollars, {who} has {price * small} - {few} = {price * small - few} dollars."
    )
