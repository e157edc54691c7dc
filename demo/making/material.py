"""Hand-written material for the demo dataset: chat entries and small Python functions with their checks.

Each text block below holds one record per line, its fields separated by " | ".  A line that begins with four
spaces continues the record above it.  `make_dataset.py` turns the records into instruction-response rows.
The Python functions in the second half are data too: their source text becomes the response of a row.
"""

# The functions below are written in the plain style of a first course, so rules that ask for
# `strict=`, `pairwise` or `all` in place of a loop are off in this file.
# ruff: noqa: RUF007

import inspect
import math
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any


def records(block: str) -> list[list[str]]:
    """Split a text block into records, and each record into its fields."""
    joined = block.strip("\n").replace("\n    ", " ")
    return [[field.strip() for field in line.split(" | ")] for line in joined.split("\n")]


# Fields: question | answer
FACTS = records("""
What is the capital of France? | The capital of France is Paris, a city on the river Seine.
What is the capital of Japan? | The capital of Japan is Tokyo, a large city on the island of Honshu.
What is the capital of Kenya? | The capital of Kenya is Nairobi, a city in the south of the country.
What is the capital of Italy? | The capital of Italy is Rome, a city on the river Tiber.
What is the capital of Canada? | The capital of Canada is Ottawa, a city in the province of Ontario.
What is the capital of Egypt? | The capital of Egypt is Cairo, a city on the river Nile.
What is the capital of Austria? | The capital of Austria is Vienna, a city on the river Danube.
What is the capital of Peru? | The capital of Peru is Lima, a city on the coast of the Pacific Ocean.
What is the capital of Norway? | The capital of Norway is Oslo, a city at the head of a long fjord.
What is the capital of Australia? | The capital of Australia is Canberra, a city that lies between Sydney
    and Melbourne.
What is the capital of Portugal? | The capital of Portugal is Lisbon, a city near the mouth of the river
    Tagus.
What is the capital of Hungary? | The capital of Hungary is Budapest, a city on both banks of the river
    Danube.
What is the capital of India? | The capital of India is New Delhi, a city in the north of the country.
What is the capital of Greece? | The capital of Greece is Athens, a city known for its ancient temples.
What is the capital of Cuba? | The capital of Cuba is Havana, a port on the north coast of the island.
What is the capital of Ireland? | The capital of Ireland is Dublin, a city on the east coast of the
    island.
Which planet is closest to the Sun? | The planet closest to the Sun is Mercury, which goes round it in 88
    days.
Which planet is the largest in the solar system? | The largest planet in the solar system is Jupiter,
    which is made mostly of gas.
Which planet is known as the red planet? | The planet known as the red planet is Mars, because its soil is
    full of rust.
Which planet has the brightest rings? | The planet with the brightest rings is Saturn, and its rings are
    made mostly of ice.
Which planet is the farthest from the Sun? | The planet farthest from the Sun is Neptune, which takes
    about 165 years to go round it.
How many planets are in the solar system? | There are eight planets in the solar system, from Mercury to
    Neptune.
How long does sunlight take to reach the Earth? | Sunlight takes about eight minutes to reach the Earth.
How long does the Moon take to go round the Earth? | The Moon takes about 27 days to go round the Earth.
How many days are in a leap year? | There are 366 days in a leap year, because February has 29 days.
How many hours are in a week? | There are 168 hours in a week, because seven times 24 is 168.
How many seconds are in an hour? | There are 3,600 seconds in an hour, because 60 times 60 is 3,600.
How many sides does a hexagon have? | A hexagon has six sides.
How many sides does an octagon have? | An octagon has eight sides.
How many legs does a spider have? | A spider has eight legs.
How many legs does an insect have? | An insect has six legs.
How many hearts does an octopus have? | An octopus has three hearts.
How many strings does a violin have? | A violin has four strings.
How many keys does a full-size piano have? | A full-size piano has 88 keys, of which 52 are white and 36
    are black.
How many players does a football team have on the field? | A football team has eleven players on the
    field.
How many squares are on a chessboard? | There are 64 squares on a chessboard, in eight rows of eight.
How many letters are in the English alphabet? | There are 26 letters in the English alphabet.
How many bones does an adult human have? | An adult human has 206 bones.
How many teeth does an adult human usually have? | An adult human usually has 32 teeth.
How many continents are there? | There are usually said to be seven continents.
What is the largest ocean? | The largest ocean is the Pacific Ocean, which lies between Asia and the
    Americas.
What is the largest continent? | The largest continent is Asia.
What is the smallest continent? | The smallest continent is Australia.
What is the highest mountain above sea level? | The highest mountain above sea level is Mount Everest, in
    the Himalayas.
What is the largest animal in the world? | The largest animal in the world is the blue whale.
What is the tallest animal in the world? | The tallest animal in the world is the giraffe.
What is the fastest animal on land? | The fastest animal on land is the cheetah.
What is the largest bird in the world? | The largest bird in the world is the ostrich, which cannot fly.
What is the largest desert in Africa? | The largest desert in Africa is the Sahara.
What is the hardest natural material? | The hardest natural material is diamond, which is a form of
    carbon.
What is the chemical symbol for gold? | The chemical symbol for gold is Au, from the Latin word aurum.
What is the chemical symbol for iron? | The chemical symbol for iron is Fe, from the Latin word ferrum.
What is the chemical symbol for silver? | The chemical symbol for silver is Ag, from the Latin word
    argentum.
What is the chemical symbol for lead? | The chemical symbol for lead is Pb, from the Latin word plumbum.
What is the chemical formula of water? | The chemical formula of water is H2O: two atoms of hydrogen and
    one of oxygen.
What is table salt made of? | Table salt is made of sodium and chlorine.
What is glass made from? | Glass is made mostly from sand that is melted at a very high temperature.
What is paper made from? | Paper is made mostly from the fibres of wood.
What is bread made from? | Bread is made from flour, water, salt, and usually yeast.
What is cheese made from? | Cheese is made from milk.
What is bronze made of? | Bronze is made mostly of copper and tin.
What is brass made of? | Brass is made mostly of copper and zinc.
What is chocolate made from? | Chocolate is made from the roasted seeds of the cacao tree.
At what temperature does water boil? | Water boils at 100 degrees Celsius at sea level.
At what temperature does water freeze? | Water freezes at 0 degrees Celsius.
Which gas do plants take in from the air? | Plants take in carbon dioxide from the air, and they give off
    oxygen.
Which gas makes up most of the air? | The gas that makes up most of the air is nitrogen.
Which metal is liquid at room temperature? | The metal that is liquid at room temperature is mercury.
Why is the sky blue? | The sky is blue because the air scatters blue light more than red light.
Why do leaves look green? | Leaves look green because they contain chlorophyll, which reflects green
    light.
Why does ice float on water? | Ice floats on water because it is less dense than liquid water.
Why do we see lightning before we hear thunder? | We see lightning before we hear thunder because light
    travels much faster than sound.
Why do cats have whiskers? | Cats have whiskers because the hairs help them feel their way in the dark.
Why do birds migrate? | Birds migrate because they need food and a mild climate in every season.
Why does the Moon seem to change shape? | The Moon seems to change shape because we see different parts of
    its sunlit side.
What causes the tides? | The tides are caused mainly by the pull of the Moon on the sea.
What causes the seasons? | The seasons are caused by the tilt of the Earth as it goes round the Sun.
What causes an echo? | An echo is caused by sound that bounces back from a hard surface.
What causes a rainbow? | A rainbow is caused by sunlight that is bent and reflected in drops of rain.
What causes rust? | Rust is caused by iron that meets water and oxygen.
Who wrote the play Hamlet? | The play Hamlet was written by William Shakespeare.
Who wrote the novel Pride and Prejudice? | The novel Pride and Prejudice was written by Jane Austen.
Who wrote the novel Frankenstein? | The novel Frankenstein was written by Mary Shelley.
Who wrote the novel Moby-Dick? | The novel Moby-Dick was written by Herman Melville.
Who painted the Mona Lisa? | The Mona Lisa was painted by Leonardo da Vinci.
Who painted The Starry Night? | The Starry Night was painted by Vincent van Gogh in 1889.
Who composed The Magic Flute? | The Magic Flute was composed by Wolfgang Amadeus Mozart.
Who composed The Four Seasons? | The Four Seasons was composed by Antonio Vivaldi.
Who discovered penicillin? | Penicillin was discovered by Alexander Fleming in 1928.
Who proposed the theory of general relativity? | The theory of general relativity was proposed by Albert
    Einstein.
Who was the first person to walk on the Moon? | The first person to walk on the Moon was Neil Armstrong,
    in 1969.
Who was the first woman to win a Nobel Prize? | The first woman to win a Nobel Prize was Marie Curie, in
    1903.
What does a thermometer measure? | A thermometer measures temperature.
What does a barometer measure? | A barometer measures the pressure of the air.
What does an anemometer measure? | An anemometer measures the speed of the wind.
What does a compass show? | A compass shows the direction of north.
What does a telescope do? | A telescope makes distant things look nearer.
What does a microscope do? | A microscope makes very small things look larger.
What does the heart do? | The heart pumps blood to every part of the body.
What do the lungs do? | The lungs take in oxygen from the air and give off carbon dioxide.
What do the roots of a plant do? | The roots of a plant hold it in the soil and take in water.
What do bees collect from flowers? | Bees collect nectar and pollen from flowers.
What is a baby kangaroo called? | A baby kangaroo is called a joey.
What is a baby swan called? | A baby swan is called a cygnet.
What is a baby goat called? | A baby goat is called a kid.
What is a group of wolves called? | A group of wolves is called a pack.
What is a group of lions called? | A group of lions is called a pride.
What is a group of fish called? | A group of fish is called a school.
""")

# Fields: word | definition | example sentence
WORDS = records("""
abundant | existing in a large amount | Apples were abundant in the orchard this year.
ancient | very old, or from a time long ago | They found an ancient coin under the wall.
anxious | worried about what may happen | She felt anxious before the test.
brief | lasting only a short time | He gave a brief answer and sat down.
brittle | hard but easily broken | The old plastic was brittle and cracked in the cold.
cautious | careful to avoid danger | Be cautious when you cross the icy bridge.
clumsy | moving in an awkward way | The clumsy puppy fell over its own feet.
courage | the strength to do something that frightens you | It took courage to speak up.
curious | wanting to know or learn about something | The curious child asked a hundred questions.
dense | thick, or packed closely together | A dense fog covered the harbour.
diligent | working with steady care | The diligent student checked every answer.
drowsy | feeling ready to fall asleep | The warm room made everyone drowsy.
eager | wanting very much to do something | The children were eager to see the snow.
essential | completely necessary | Water is essential for life.
exhausted | very tired | They were exhausted after the long climb.
fragile | easily damaged | The fragile cup was wrapped in paper.
frugal | careful not to waste money | A frugal cook finds a use for every scrap.
generous | willing to give more than is expected | A generous neighbour shared her harvest.
gloomy | dark, or sad in mood | It was a gloomy afternoon with no sun.
grateful | feeling thanks for something | I am grateful for your help.
harsh | rough or severe | The harsh wind kept us indoors.
humble | not proud or boastful | The famous doctor was humble about her work.
idle | not working or not in use | The machines stood idle over the holiday.
immense | extremely large | An immense cloud rose over the plain.
inevitable | certain to happen | After weeks of rain the flood was inevitable.
jealous | unhappy because someone has what you want | He was jealous of his brother's new bicycle.
keen | very interested, or sharp | She is a keen reader of old maps.
lively | full of energy | The market is lively on Saturday mornings.
meadow | a field of grass and wild flowers | Cows were resting in the meadow.
migrate | to move from one place to another with the seasons | Many geese migrate south in autumn.
modest | not talking much about your own success | He was too modest to mention the prize.
novice | a person who is new to an activity | The class is open to every novice.
obstacle | a thing that blocks the way | A fallen tree was the only obstacle on the road.
obvious | easy to see or understand | The answer was obvious to everyone.
orchard | a piece of land where fruit trees grow | We picked pears in the orchard.
peculiar | strange or unusual | A peculiar smell came from the cellar.
persuade | to make someone agree by giving reasons | She tried to persuade them to stay.
polite | showing good manners | It is polite to say thank you.
predict | to say what will happen before it happens | It is hard to predict the weather in spring.
rare | not seen or found often | A rare orchid grows on that hill.
reluctant | not willing to do something | He was reluctant to leave the warm kitchen.
remote | far away from other places | They live in a remote village in the hills.
rigid | stiff and not able to bend | The frame is made of rigid steel.
scarce | hard to find because there is not enough | Fresh fruit was scarce in winter.
shallow | not deep | Small fish swim in the shallow water.
sincere | honest and truly meant | He made a sincere apology.
slender | thin in a graceful way | A slender tower stands by the gate.
soothe | to make calm or less painful | A cup of tea can soothe a sore throat.
sturdy | strong and not easily broken | The table is old but sturdy.
sufficient | as much as is needed | There is sufficient food for ten people.
tedious | long and dull | Counting the screws was a tedious job.
transparent | clear enough to see through | The box has a transparent lid.
vague | not clear or exact | He gave only a vague answer.
vast | very great in size | A vast desert lies beyond the mountains.
weary | tired after long effort | The weary travellers asked for a room.
wise | having good judgement | A wise friend told me to wait.
""")

# Fields: blunt sentence | polite sentence
POLITE = records("""
Give me the report. | Could you please give me the report?
Send the file now. | Could you please send the file when you have a moment?
Close the door. | Could you please close the door?
Be quiet. | Could you please keep your voice down?
Move your car. | Would you mind moving your car, please?
Tell me your name. | May I ask your name, please?
I want a refund. | I would like to ask for a refund, please.
I want a table by the window. | I would like a table by the window, please.
You are late. | I was expecting you a little earlier.
You are wrong. | I am afraid I see this a little differently.
Your plan is bad. | I am afraid I have some doubts about this plan.
Wait there. | Would you mind waiting there for a moment, please?
Answer my email. | Could you please reply to my email when you have a moment?
Stop calling me. | I would be grateful if you did not call me again.
Fix this bug today. | Could you please fix this bug today, if possible?
Turn down the music. | Would you mind turning down the music, please?
I do not like this soup. | I am afraid this soup is not to my taste.
Bring me the bill. | Could you please bring me the bill?
Explain it again. | Could you please explain it once more?
Get out of my way. | Excuse me, may I get past, please?
Show me your ticket. | May I see your ticket, please?
Do not touch that. | Would you mind not touching that, please?
I cannot come. | I am afraid I will not be able to come.
We have no rooms. | I am afraid we have no rooms left tonight.
Hurry up. | Could you please go a little faster?
Sign here. | Could you please sign here?
Lend me your pen. | May I borrow your pen for a moment, please?
That seat is mine. | Excuse me, I believe that seat is mine.
You made a mistake. | I think there may be a small mistake here.
Pay by Friday. | We would be grateful if you could pay by Friday.
""")

# Fields: passage | one-sentence summary
SUMMARIES = records("""
The town library was closed for a year while the roof was mended. It opened again on Monday. Many families
    came to borrow books on the first day. | The town library opened again after a year of repairs.
Rosa planted tomatoes in May. She watered them every evening. By August she had more tomatoes than she
    could eat, so she gave some to her neighbours. | Rosa grew so many tomatoes that she shared them with
    her neighbours.
The number 12 bus used to stop at the school. Now it stops at the station. Pupils have to walk ten minutes
    more. | The number 12 bus no longer stops at the school, so pupils have to walk.
A storm hit the coast last night. Trees fell on several roads. No one was hurt, but two villages had no
    power. | A storm blocked roads and cut the power in two villages, but no one was hurt.
Honey bees live in large groups. Each group has one queen. The workers gather food, and the queen lays the
    eggs. | Honey bees live in groups in which workers gather food and one queen lays eggs.
The old bridge was too narrow for lorries. The council built a wider one next to it. The old bridge is now
    used only by walkers. | A wider bridge was built for lorries, and the old one is now for walkers.
Omar lost his keys on the way to work. He looked in his bag, his car and his office. In the end a cleaner
    found them by the lift. | Omar lost his keys, and a cleaner found them by the lift.
The bakery sells three kinds of bread. The rye loaf is the cheapest. Most customers choose the white loaf
    because it stays soft. | The bakery sells three kinds of bread, and most customers choose the white
    loaf.
Camels can live for days without water. Their humps store fat, not water. The fat gives them energy when
    food is scarce. | Camels can live for days without water and store fat in their humps.
The team lost its first four games. Then a new coach arrived. They won the next six games and reached the
    final. | The team began badly but reached the final after a new coach arrived.
Lena wanted to learn the piano. She had no teacher, so she watched lessons online. After a year she played
    at her sister's wedding. | Lena taught herself the piano and played at her sister's wedding after a
    year.
The river was dirty for many years. Factories were told to stop dumping waste in it. Today fish live there
    again. | The river is clean enough for fish again because factories stopped dumping waste.
The museum has a new room about the sea. Visitors can see models of ships and old maps. Entry is free on
    Sundays. | The museum has a new room about the sea, with free entry on Sundays.
Solar panels were put on the school roof in spring. They make half of the power that the school needs. The
    bill is now much lower. | Solar panels on the roof have made the school's power bill much lower.
Two friends opened a small cafe. At first few people came. They began to serve soup at lunch, and soon
    every table was full. | A small cafe became busy when its owners began to serve soup at lunch.
The train left ten minutes late. It waited again at the second station. Passengers reached the city an
    hour after the planned time. | The train had delays and reached the city an hour late.
Penguins cannot fly. Their wings work like fins and help them swim. Some can stay under water for twenty
    minutes. | Penguins cannot fly, but their wings help them swim very well.
The village had one shop. When the owner retired, the neighbours bought it together. They now take turns
    to serve. | The neighbours bought the only village shop and now run it together.
Ivan walks to work every day. The walk takes forty minutes. He says that it keeps him fit and saves money.
    | Ivan walks to work every day because it keeps him fit and saves money.
The phone has a bright screen and a good camera. Its battery, however, lasts only half a day. Many buyers
    sent it back. | The phone is good in many ways, but buyers sent it back because of its weak battery.
""")

# Fields: what to list | three items separated by commas
LISTS = records("""
fruits | apple, pear, plum
vegetables | carrot, onion, cabbage
colours | red, green, blue
farm animals | cow, sheep, hen
birds | robin, eagle, owl
fish | salmon, trout, cod
insects | ant, bee, beetle
trees | oak, pine, birch
flowers | rose, tulip, daisy
metals | iron, copper, silver
gases | oxygen, nitrogen, helium
rivers | Nile, Amazon, Danube
mountain ranges | Alps, Andes, Himalayas
oceans | Pacific, Atlantic, Indian
continents | Asia, Africa, Europe
countries in Europe | France, Spain, Poland
countries in Asia | Japan, India, Vietnam
countries in Africa | Kenya, Egypt, Ghana
countries in South America | Brazil, Chile, Peru
planets | Venus, Mars, Jupiter
musical instruments | piano, violin, flute
sports played with a ball | football, tennis, basketball
winter sports | skiing, skating, curling
board games | chess, draughts, backgammon
tools used by a carpenter | hammer, saw, chisel
things found in a kitchen | pan, kettle, spoon
things found in a classroom | desk, board, chair
things to pack for a beach trip | towel, hat, sunscreen
things to take on a hike | map, water, raincoat
kinds of bread | rye, sourdough, baguette
spices | pepper, cinnamon, ginger
herbs | basil, mint, thyme
drinks without alcohol | tea, juice, lemonade
means of transport | train, bus, bicycle
jobs in a hospital | doctor, nurse, porter
shapes with straight sides | triangle, square, hexagon
parts of a plant | root, stem, leaf
parts of a bicycle | wheel, pedal, saddle
parts of the human face | nose, mouth, chin
programming languages | Python, Java, Rust
units of length | metre, mile, inch
habits that help you sleep | going to bed at the same time, keeping the room dark, avoiding coffee at
    night
ways to save water at home | taking shorter showers, mending dripping taps, watering plants in the evening
ways to save energy at home | turning off lights, closing windows in winter, drying clothes outside
""")

# Fields: sentiment | text | reason
SENTIMENTS = records("""
positive | The soup was hot, the bread was fresh, and the staff were kind. | the writer enjoyed the meal
positive | I loved every page of this book. | the writer enjoyed the book
positive | The new chair is so comfortable that I never want to get up. | the writer likes the chair
positive | Great service, and the parcel came a day early. | the writer is happy with the service
positive | My daughter smiled all day at the zoo. | the writer describes a happy day
positive | This lamp is bright, cheap and easy to use. | the writer likes the lamp
positive | The view from our room was wonderful. | the writer enjoyed the view
positive | The teacher explains everything clearly and with patience. | the writer likes the teacher
positive | What a lovely song, I have played it ten times today. | the writer enjoyed the song
positive | The repair was quick and the price was fair. | the writer is happy with the repair
positive | I slept better than I have in years on this mattress. | the writer likes the mattress
positive | The garden tour was a delight from start to finish. | the writer enjoyed the tour
negative | The room was cold and the bed was hard. | the writer did not like the room
negative | I waited an hour and nobody came. | the writer is unhappy with the wait
negative | The film was far too long and very dull. | the writer did not enjoy the film
negative | The zip broke on the first day. | the writer is unhappy with the zip
negative | My coffee was weak and the cake was dry. | the writer did not enjoy the food
negative | The app crashes every time I open it. | the writer is unhappy with the app
negative | They lost my order and never said sorry. | the writer is unhappy with the service
negative | The shoes hurt my feet after ten minutes. | the writer did not like the shoes
negative | The battery died after two weeks. | the writer is unhappy with the battery
negative | The music was so loud that we had to leave. | the writer did not like the noise
negative | The instructions made no sense at all. | the writer is unhappy with the instructions
negative | I regret buying this umbrella, which leaks. | the writer did not like the umbrella
neutral | The shop opens at nine and closes at five. | the writer only states the hours
neutral | The parcel weighs two kilograms. | the writer only states a weight
neutral | The meeting was moved to Thursday. | the writer only states a change of date
neutral | This model comes in black and in white. | the writer only states the colours
neutral | The bus leaves from the second platform. | the writer only states a place
neutral | The book has twelve chapters and an index. | the writer only describes the contents
neutral | I bought the blue one instead of the green one. | the writer only states a choice
neutral | The hotel has forty rooms on five floors. | the writer only states the size
neutral | The course lasts eight weeks. | the writer only states a length of time
neutral | The ticket costs twelve dollars for adults. | the writer only states a price
""")

# Fields: task | steps separated by semicolons
HOWTOS = records("""
make a cup of tea | Boil some water; Put a tea bag in a cup; Pour the hot water over the tea bag; Wait
    three minutes and take the tea bag out
boil an egg | Put the egg in a pan of water; Bring the water to a boil; Let it boil for eight minutes;
    Cool the egg in cold water
plant a seed | Fill a pot with soil; Make a small hole with your finger; Put the seed in and cover it;
    Water the soil gently
wash your hands | Wet your hands with clean water; Rub them with soap for twenty seconds; Rinse off the
    soap; Dry your hands with a towel
change a light bulb | Turn off the power; Wait until the old bulb is cool; Unscrew the old bulb; Screw in
    the new bulb and turn on the power
write a short letter | Write the date at the top; Greet the reader by name; Say what you want to say in a
    few sentences; Sign your name at the end
tie a shoelace | Cross the two ends and pull one under; Make a loop with one end; Wrap the other end round
    the loop; Pull it through and tighten both loops
make a fruit salad | Wash the fruit; Cut it into small pieces; Put the pieces in a bowl; Add a little
    lemon juice and stir
pack a suitcase | Make a list of what you need; Roll your clothes; Put heavy things at the bottom; Put
    small things in the gaps
clean a window | Dust the frame; Spray the glass with soapy water; Wipe it from top to bottom; Dry it with
    a clean cloth
borrow a book from a library | Find the book on the shelf; Take it to the desk; Show your library card;
    Note the date when it is due
cook rice | Rinse the rice in cold water; Add two cups of water for each cup of rice; Simmer it with the
    lid on until the water is gone; Let it rest for five minutes
make a paper boat | Fold a sheet of paper in half; Fold the top corners to the middle; Fold up the bottom
    edges; Pull the sides apart to form the boat
send a parcel | Wrap the thing in soft paper; Put it in a strong box; Write the address on the box; Take
    it to the post office
save a file on a computer | Open the File menu; Choose Save As; Type a name for the file; Press the Save
    button
choose a strong password | Use at least twelve characters; Mix words, numbers and signs; Do not use your
    name or birthday; Use a different password for each site
cross a road safely | Find a place with a clear view; Stop at the kerb; Look both ways and listen; Walk
    across when the road is clear
prepare for a test | Read your notes again; Make a list of the hard parts; Practise with old questions;
    Sleep well the night before
water a house plant | Touch the soil to see if it is dry; Pour water slowly round the stem; Stop when
    water comes out of the bottom; Empty the saucer
set a table for dinner | Put a plate at each place; Put the fork on the left; Put the knife on the right;
    Put the glass above the knife
make pancakes | Mix flour, eggs and milk in a bowl; Heat a little butter in a pan; Pour in a thin layer of
    batter; Turn the pancake when the edges are brown
sharpen a pencil | Put the pencil in the sharpener; Turn it gently; Stop when the point is sharp; Throw
    the shavings away
iron a shirt | Read the label; Set the iron to the right heat; Iron the collar and the sleeves; Iron the
    front and the back
calm down before a speech | Breathe slowly; Drink a little water; Read your first sentence once more; Look
    at a friendly face and begin
""")

# Fields: wrong sentence | right sentence
GRAMMAR = records("""
She go to school every day. | She goes to school every day.
He don't like coffee. | He doesn't like coffee.
They was late for the bus. | They were late for the bus.
I has two brothers. | I have two brothers.
We is ready to leave. | We are ready to leave.
The dogs barks at night. | The dogs bark at night.
She have a red coat. | She has a red coat.
He can sings very well. | He can sing very well.
I am agree with you. | I agree with you.
Yesterday I go to the market. | Yesterday I went to the market.
She buyed a new hat. | She bought a new hat.
He runned to the station. | He ran to the station.
They has finished the work. | They have finished the work.
There is many books on the shelf. | There are many books on the shelf.
I saw a elephant at the zoo. | I saw an elephant at the zoo.
He is an teacher. | He is a teacher.
This apples are sweet. | These apples are sweet.
That shoes are mine. | Those shoes are mine.
She sings beautiful. | She sings beautifully.
He speaks English good. | He speaks English well.
My sister is more taller than me. | My sister is taller than me.
This is the most easiest question. | This is the easiest question.
I did not saw the film. | I did not see the film.
Did you went home? | Did you go home?
Where you are going? | Where are you going?
What time it is? | What time is it?
He is interested on music. | He is interested in music.
We arrived to the hotel at noon. | We arrived at the hotel at noon.
I have lived here since three years. | I have lived here for three years.
She is waiting the bus. | She is waiting for the bus.
The informations are useful. | The information is useful.
I need some advices. | I need some advice.
The childs are playing outside. | The children are playing outside.
Two womans came in. | Two women came in.
He has three mouses in a cage. | He has three mice in a cage.
Me and him are friends. | He and I are friends.
Its raining outside. | It's raining outside.
The cat licked it's paw. | The cat licked its paw.
Your welcome to stay. | You're welcome to stay.
Their going to the beach. | They're going to the beach.
I could of helped you. | I could have helped you.
Everyone have a ticket. | Everyone has a ticket.
""")


# --- Material for the few very long responses ---

# Fields: place | person | trouble | thing that helps | gift | shelter
VILLAGES = records("""
a village of weavers | an old weaver | could not find the end of his thread | a pair of sharp eyes | a
    blue scarf | an apple tree
a town by a lake | a fisherman | had a hole in his boat | a pot of warm tar | a silver hook | an upturned
    boat
a farm on a hill | a farmer's wife | had lost three lambs in the fog | a small bell | a round cheese | a
    haystack
a mill in a valley | a miller | could not turn his great wheel | a long iron bar | a bag of flour | the
    mill roof
a harbour full of ships | a captain | had torn the sail of his ship | a strong needle | a map of the coast
    | a folded sail
an inn at a crossroads | an innkeeper | had no one to sing for his guests | a song about the sea | a clay
    whistle | the stable loft
a town of clocks | a clockmaker | had dropped a tiny wheel on the floor | a bright lamp | a brass key | a
    church porch
a village in the snow | a teacher | had no wood for the school stove | a good axe | a book of stories | a
    pine roof
a garden without a gate | a gardener | could not carry water to her roses | a wooden bucket | a packet of
    seeds | a rose arch
""")

# Fields: one thing to draw
DRAWING_SUBJECTS = [
    record[0]
    for record in records("""
a cup
a spoon
an apple
a leaf
your left hand
a shoe
a chair
a book that lies open
a bottle
a key
a house plant
a sleeping cat, from life or from a photograph
a window
a tree without leaves
a bicycle wheel
a loaf of bread
a folded shirt
a teapot
a pair of glasses
a stone
a flower in a glass
a clock
a door
a face from the side
an umbrella
a cloud
a bunch of grapes
a street corner
a bird
the same cup as on the first day
""")
]

DRAWING_TIPS = [
    record[0]
    for record in records("""
Look at it for a full minute before you begin, and start with the largest shape.
Use light lines first, and press harder only when you are sure of the shape.
Work for fifteen minutes without a rubber, and let the mistakes stay on the page.
Turn the paper upside down halfway through, and check where the lines lean too far.
Begin with the shadows, and leave the brightest parts of the paper white.
""")
]

# Fields: month | state of the garden | main job | second job | crop | last task
GARDEN_MONTHS = records("""
January | asleep, and the soil is often frozen | clean and oil the tools | order seeds for the spring |
    only leeks and kale are left to pick | check the stored apples and throw away any that are soft
February | still cold, but the days grow longer | prune the apple trees | mend the fence and the shed roof
    | you can sow onions in trays indoors | put up a nest box for the birds
March | waking up, and the first bulbs are in flower | dig compost into the beds | cut back last year's
    dry stems | you can sow peas and broad beans outdoors | sweep the paths
April | green again, and the weeds grow fast | pull the weeds while they are small | feed the roses | you
    can plant early potatoes | cover young plants on cold nights
May | full of blossom | plant out the tomatoes when the frost is over | tie climbing plants to their poles
    | radishes and young lettuce are ready | check the leaves for slugs in the evening
June | at its best, with flowers everywhere | water deeply twice a week | cut the faded roses |
    strawberries and peas are ready to pick | lay straw under the fruit to keep it clean
July | hot and often dry | water in the early morning | pinch out the side shoots of the tomatoes | beans
    and courgettes need picking every other day | fill the bird bath
August | ripe and a little tired | gather the harvest before it spoils | trim the hedges | tomatoes, plums
    and sweet corn are ready | save seeds from your best flowers
September | golden, and the nights turn cool | lift the onions and let them dry | plant bulbs for the
    spring | apples and pears are ready to pick | clear away the empty bean plants
October | bright with falling leaves | rake the leaves and make leaf mould | move tender plants indoors |
    pumpkins and the last carrots come in | put a net over the pond
November | bare and quiet | plant new trees and shrubs | spread compost over the empty beds | cabbages and
    parsnips taste best after a frost | turn off the outdoor tap
December | resting under the cold sky | shake heavy snow from the hedges | wash the old pots | sprouts and
    leeks are ready for the table | plan the beds for the next year on paper
""")


@dataclass(frozen=True)
class Snippet:
    """One small Python function as text, what it does, and calls with their expected values."""

    name: str
    purpose: str
    source: str
    checks: tuple[tuple[str, Any], ...]
    how: str


SNIPPETS: list[Snippet] = []


def snippet(*checks: tuple[str, Any], how: str = "", needs: str = "") -> Callable[[Callable], Callable]:
    """Register a function below as dataset material; `needs` is its import line, if any."""

    def register(function: Callable) -> Callable:
        text = inspect.getsource(function)
        source = text[text.index("def ") :].rstrip()
        if needs:
            source = f"{needs}\n\n\n{source}"
        SNIPPETS.append(Snippet(function.__name__, inspect.getdoc(function) or "", source, checks, how))
        return function

    return register


# --- Functions of text ---


@snippet(
    ("count_vowels('banana')", 3),
    ("count_vowels('Sky')", 0),
    how="It goes through the letters and counts those that are in 'aeiou'.",
)
def count_vowels(text: str) -> int:
    """Return the number of vowels in a text."""
    return sum(1 for letter in text.lower() if letter in "aeiou")


@snippet(("reverse_text('stone')", "enots"), ("reverse_text('')", ""), how="It uses a slice with the step -1.")
def reverse_text(text: str) -> str:
    """Return a text in reverse order."""
    return text[::-1]


@snippet(
    ("is_palindrome('Level')", True),
    ("is_palindrome('river')", False),
    how="It makes the letters small and compares the text with its reverse.",
)
def is_palindrome(text: str) -> bool:
    """Tell whether a text reads the same in both directions."""
    text = text.lower()
    return text == text[::-1]


@snippet(
    ("count_words('the cat sat')", 3),
    ("count_words('')", 0),
    how="It splits the text at spaces and counts the parts.",
)
def count_words(text: str) -> int:
    """Return the number of words in a text."""
    return len(text.split())


@snippet(
    ("longest_word('a brave lion')", "brave"),
    ("longest_word('we can wait')", "wait"),
    how="It splits the text into words and takes the one with the greatest length.",
)
def longest_word(text: str) -> str:
    """Return the longest word in a text."""
    return max(text.split(), key=len)


@snippet(("shortest_word('the old ox')", "ox"), ("shortest_word('go home now')", "go"))
def shortest_word(text: str) -> str:
    """Return the shortest word in a text."""
    return min(text.split(), key=len)


@snippet(("initials('ada king lovelace')", "AKL"), ("initials('grace hopper')", "GH"))
def initials(name: str) -> str:
    """Return the initials of a name as capital letters."""
    return "".join(part[0].upper() for part in name.split())


@snippet(("capitalise_words('green tea')", "Green Tea"), ("capitalise_words('sun')", "Sun"))
def capitalise_words(text: str) -> str:
    """Return a text in which every word begins with a capital letter."""
    return " ".join(word.capitalize() for word in text.split())


@snippet(("reverse_words('one two three')", "three two one"), ("reverse_words('go')", "go"))
def reverse_words(text: str) -> str:
    """Return the words of a text in reverse order."""
    return " ".join(reversed(text.split()))


@snippet(
    ("remove_vowels('orange')", "rng"),
    ("remove_vowels('sky')", "sky"),
    how="It keeps only the letters that are not in 'aeiou'.",
)
def remove_vowels(text: str) -> str:
    """Return a text without its vowels."""
    return "".join(letter for letter in text if letter.lower() not in "aeiou")


@snippet(("remove_digits('a1b22c')", "abc"), ("remove_digits('2026')", ""))
def remove_digits(text: str) -> str:
    """Return a text without its digits."""
    return "".join(letter for letter in text if not letter.isdigit())


@snippet(
    ("count_letter('pepper', 'p')", 3),
    ("count_letter('pepper', 'a')", 0),
    how="It calls the count method of the text.",
)
def count_letter(text: str, letter: str) -> int:
    """Return how often a letter occurs in a text."""
    return text.count(letter)


@snippet(
    ("letter_counts('noon')", {"n": 2, "o": 2}),
    ("letter_counts('')", {}),
    how="It goes through the letters and adds one to the count of each letter that it meets.",
)
def letter_counts(text: str) -> dict[str, int]:
    """Return a dictionary with the number of times each letter occurs in a text."""
    counts = {}
    for letter in text:
        counts[letter] = counts.get(letter, 0) + 1
    return counts


@snippet(
    ("word_counts('to be or not to be')", {"to": 2, "be": 2, "or": 1, "not": 1}),
    needs="from collections import Counter",
    how="It splits the text into words and lets a Counter count them.",
)
def word_counts(text: str) -> dict[str, int]:
    """Return a dictionary with the number of times each word occurs in a text."""
    return dict(Counter(text.split()))


@snippet(
    ("is_anagram('listen', 'silent')", True),
    ("is_anagram('cat', 'cot')", False),
    how="It sorts the letters of both words and compares them.",
)
def is_anagram(first: str, second: str) -> bool:
    """Tell whether two words have the same letters."""
    return sorted(first.lower()) == sorted(second.lower())


@snippet(("is_pangram('abc')", False), ("is_pangram('The quick brown fox jumps over the lazy dog')", True))
def is_pangram(text: str) -> bool:
    """Tell whether a text contains every letter of the alphabet."""
    return set("abcdefghijklmnopqrstuvwxyz") <= set(text.lower())


@snippet(("shorten('a long title', 6)", "a long..."), ("shorten('tea', 6)", "tea"))
def shorten(text: str, limit: int) -> str:
    """Return a text cut to a given length, with three dots at the end if it was too long."""
    if len(text) <= limit:
        return text
    return text[:limit] + "..."


@snippet(("swap_ends('plane')", "elanp"), ("swap_ends('a')", "a"))
def swap_ends(text: str) -> str:
    """Return a text with its first and last letters exchanged."""
    if len(text) < 2:
        return text
    return text[-1] + text[1:-1] + text[0]


@snippet(("repeat_text('ab', 3)", "ababab"), ("repeat_text('ab', 0)", ""))
def repeat_text(text: str, times: int) -> str:
    """Return a text repeated a given number of times."""
    return text * times


@snippet(("to_snake_case('Total Price')", "total_price"), ("to_snake_case('name')", "name"))
def to_snake_case(text: str) -> str:
    """Return a text in small letters with underscores in place of spaces."""
    return text.lower().replace(" ", "_")


@snippet(("to_camel_case('total_price')", "totalPrice"), ("to_camel_case('name')", "name"))
def to_camel_case(name: str) -> str:
    """Return a name with underscores in camel case."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@snippet(
    ("shift_letters('abz', 1)", "bca"),
    ("shift_letters('hi', 0)", "hi"),
    how="It turns each letter into a number, adds the shift, and turns the number back into a letter.",
)
def shift_letters(word: str, shift: int) -> str:
    """Return a word with each small letter moved on by a given shift in the alphabet."""
    return "".join(chr((ord(letter) - 97 + shift) % 26 + 97) for letter in word)


@snippet(("find_numbers('3 cats and 12 dogs')", [3, 12]), ("find_numbers('no dogs')", []), needs="import re")
def find_numbers(text: str) -> list[int]:
    """Return a list of the whole numbers in a text."""
    return [int(number) for number in re.findall(r"\d+", text)]


@snippet(("squeeze_spaces('a   b  c')", "a b c"), ("squeeze_spaces('  x ')", "x"))
def squeeze_spaces(text: str) -> str:
    """Return a text with single spaces between its words."""
    return " ".join(text.split())


@snippet(("replace_word('I like tea', 'tea', 'milk')", "I like milk"))
def replace_word(text: str, old: str, new: str) -> str:
    """Return a text in which one word is replaced by another."""
    return " ".join(new if word == old else word for word in text.split())


@snippet(("common_prefix('flower', 'flow')", "flow"), ("common_prefix('dog', 'cat')", ""))
def common_prefix(first: str, second: str) -> str:
    """Return the letters with which two words begin in common."""
    prefix = ""
    for left, right in zip(first, second):
        if left != right:
            break
        prefix += left
    return prefix


@snippet(("unique_letters('balloon')", "balon"), ("unique_letters('')", ""))
def unique_letters(text: str) -> str:
    """Return the letters of a text without repeats, in their first order."""
    return "".join(dict.fromkeys(text))


@snippet(("split_pairs('a=1,b=2')", {"a": "1", "b": "2"}))
def split_pairs(text: str) -> dict[str, str]:
    """Split a text such as 'a=1,b=2' into a dictionary."""
    return dict(pair.split("=") for pair in text.split(","))


@snippet(("run_lengths('aaab')", [("a", 3), ("b", 1)]), ("run_lengths('')", []))
def run_lengths(text: str) -> list[tuple[str, int]]:
    """Return a list of the letters in a text with the length of each run."""
    runs = []
    for letter in text:
        if runs and runs[-1][0] == letter:
            runs[-1] = (letter, runs[-1][1] + 1)
        else:
            runs.append((letter, 1))
    return runs


@snippet(
    ("brackets_match('(a(b))')", True),
    ("brackets_match('(()')", False),
    how="It adds one for each opening bracket and takes one away for each closing bracket.",
)
def brackets_match(text: str) -> bool:
    """Tell whether every round bracket in a text is closed."""
    depth = 0
    for letter in text:
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        if depth < 0:
            return False
    return depth == 0


# --- Functions of lists ---


@snippet(("total([1, 2, 3])", 6), ("total([])", 0), how="It starts at zero and adds each number in turn.")
def total(numbers: list[float]) -> float:
    """Return the sum of a list of numbers."""
    result = 0
    for number in numbers:
        result += number
    return result


@snippet(
    ("average([2, 4, 9])", 5.0),
    ("average([7])", 7.0),
    how="It divides the sum of the numbers by how many there are.",
)
def average(numbers: list[float]) -> float:
    """Return the average of a list of numbers."""
    return sum(numbers) / len(numbers)


@snippet(
    ("median([5, 1, 3])", 3),
    ("median([4, 1, 3, 2])", 2.5),
    how="It sorts the numbers and takes the one in the middle, or the average of the two in the middle.",
)
def median(numbers: list[float]) -> float:
    """Return the median of a list of numbers."""
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


@snippet(
    ("largest([3, 9, 4])", 9),
    ("largest([-2, -5])", -2),
    how="It keeps the best number so far and replaces it when a greater one comes.",
)
def largest(numbers: list[float]) -> float:
    """Return the largest number in a list."""
    best = numbers[0]
    for number in numbers[1:]:
        if number > best:
            best = number
    return best


@snippet(("smallest([3, 9, 4])", 3), ("smallest([-2, -5])", -5))
def smallest(numbers: list[float]) -> float:
    """Return the smallest number in a list."""
    best = numbers[0]
    for number in numbers[1:]:
        if number < best:
            best = number
    return best


@snippet(
    ("second_largest([4, 9, 7, 9])", 7),
    ("second_largest([1, 2])", 1),
    how="It removes repeats, sorts the numbers, and takes the last but one.",
)
def second_largest(numbers: list[int]) -> int:
    """Return the second largest number in a list."""
    return sorted(set(numbers))[-2]


@snippet(("spread([3, 9, 4])", 6), ("spread([5])", 0))
def spread(numbers: list[float]) -> float:
    """Return the difference between the largest and the smallest number in a list."""
    return max(numbers) - min(numbers)


@snippet(("product([2, 3, 4])", 24), ("product([])", 1))
def product(numbers: list[int]) -> int:
    """Return the product of a list of numbers."""
    result = 1
    for number in numbers:
        result *= number
    return result


@snippet(
    ("remove_repeats([3, 1, 3, 2, 1])", [3, 1, 2]),
    ("remove_repeats([])", []),
    how="It keeps a set of the items that it has seen and skips any item that is already there.",
)
def remove_repeats(items: list) -> list:
    """Return a list without repeated items, in their first order."""
    seen = set()
    result = []
    for item in items:
        if item not in seen:
            seen.add(item)
            result.append(item)
    return result


@snippet(("flatten([[1, 2], [3]])", [1, 2, 3]), ("flatten([])", []), how="It takes each item from each inner list.")
def flatten(lists: list[list]) -> list:
    """Return one list with the items of several lists."""
    return [item for inner in lists for item in inner]


@snippet(
    ("chunks([1, 2, 3, 4, 5], 2)", [[1, 2], [3, 4], [5]]),
    how="It steps through the list and takes a slice of the given size each time.",
)
def chunks(items: list, size: int) -> list[list]:
    """Split a list into parts of a given size."""
    return [items[start : start + size] for start in range(0, len(items), size)]


@snippet(("rotate([1, 2, 3, 4], 1)", [2, 3, 4, 1]), ("rotate([1, 2], 0)", [1, 2]))
def rotate(items: list, steps: int) -> list:
    """Return a list moved to the left by a number of steps."""
    return items[steps:] + items[:steps]


@snippet(
    ("running_totals([1, 2, 3])", [1, 3, 6]),
    ("running_totals([])", []),
    how="It keeps a sum and adds its value to the result after each number.",
)
def running_totals(numbers: list[int]) -> list[int]:
    """Return a list of the running totals of a list of numbers."""
    totals = []
    current = 0
    for number in numbers:
        current += number
        totals.append(current)
    return totals


@snippet(("differences([1, 4, 9])", [3, 5]), ("differences([2])", []))
def differences(numbers: list[int]) -> list[int]:
    """Return a list of the differences between neighbours in a list."""
    return [right - left for left, right in zip(numbers, numbers[1:])]


@snippet(
    ("is_sorted([1, 2, 2, 5])", True),
    ("is_sorted([3, 1])", False),
    how="It checks that no number is greater than the one after it.",
)
def is_sorted(numbers: list[int]) -> bool:
    """Tell whether a list of numbers is in rising order."""
    return all(left <= right for left, right in zip(numbers, numbers[1:]))


@snippet(
    ("has_repeats([1, 2, 1])", True),
    ("has_repeats([1, 2])", False),
    how="It compares the length of the list with the length of a set of its items.",
)
def has_repeats(items: list) -> bool:
    """Tell whether a list contains any item more than once."""
    return len(set(items)) < len(items)


@snippet(("shared_items([1, 2, 3], [3, 2, 8])", [2, 3]), ("shared_items([1], [2])", []))
def shared_items(first: list, second: list) -> list:
    """Return the items of one list that are also in another list."""
    return [item for item in first if item in second]


@snippet(("missing_items([1, 2, 3], [2])", [1, 3]), ("missing_items([1], [1])", []))
def missing_items(first: list, second: list) -> list:
    """Return the items of one list that are not in another list."""
    return [item for item in first if item not in second]


@snippet(
    ("most_common([2, 5, 2, 1])", 2),
    ("most_common(['a'])", "a"),
    needs="from collections import Counter",
    how="It counts the items with a Counter and takes the first of the most common ones.",
)
def most_common(items: list) -> object:
    """Return the most common item in a list."""
    return Counter(items).most_common(1)[0][0]


@snippet(("interleave([1, 3], [2, 4])", [1, 2, 3, 4]), ("interleave([], [])", []))
def interleave(first: list, second: list) -> list:
    """Return a list that takes items from two lists of equal length in turn."""
    return [item for pair in zip(first, second) for item in pair]


@snippet(("split_in_half([1, 2, 3, 4])", ([1, 2], [3, 4])), ("split_in_half([1])", ([], [1])))
def split_in_half(items: list) -> tuple[list, list]:
    """Return the first half and the second half of a list."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


@snippet(
    ("index_of([4, 7, 9], 7)", 1),
    ("index_of([4], 5)", -1),
    how="It looks at each item in turn and returns the index of the first match.",
)
def index_of(items: list, wanted: object) -> int:
    """Return the index of an item in a list, or -1 if it is not there."""
    for index, item in enumerate(items):
        if item == wanted:
            return index
    return -1


@snippet(
    ("binary_search([1, 3, 5, 8], 5)", 2),
    ("binary_search([1, 3], 2)", -1),
    how="It looks at the middle of the list and keeps the half in which the number must lie.",
)
def binary_search(numbers: list[int], wanted: int) -> int:
    """Return the index of a number in a sorted list, or -1 if it is not there."""
    low, high = 0, len(numbers) - 1
    while low <= high:
        middle = (low + high) // 2
        if numbers[middle] == wanted:
            return middle
        if numbers[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1


@snippet(
    ("bubble_sort([3, 1, 2])", [1, 2, 3]),
    ("bubble_sort([])", []),
    how="It compares neighbours and swaps them when they are in the wrong order.",
)
def bubble_sort(numbers: list[int]) -> list[int]:
    """Return a sorted copy of a list with the bubble sort method."""
    result = list(numbers)
    for end in range(len(result) - 1, 0, -1):
        for index in range(end):
            if result[index] > result[index + 1]:
                result[index], result[index + 1] = result[index + 1], result[index]
    return result


@snippet(("merge_sorted([1, 4], [2, 3])", [1, 2, 3, 4]), ("merge_sorted([], [5])", [5]))
def merge_sorted(first: list[int], second: list[int]) -> list[int]:
    """Merge two sorted lists into one sorted list."""
    result = []
    left, right = 0, 0
    while left < len(first) and right < len(second):
        if first[left] <= second[right]:
            result.append(first[left])
            left += 1
        else:
            result.append(second[right])
            right += 1
    return result + first[left:] + second[right:]


@snippet(("transpose([[1, 2], [3, 4]])", [[1, 3], [2, 4]]), how="It uses zip to gather the items of each column.")
def transpose(rows: list[list]) -> list[list]:
    """Return a table with its rows and columns exchanged."""
    return [list(column) for column in zip(*rows)]


@snippet(("scale([1, 2], 3)", [3, 6]), ("scale([], 3)", []))
def scale(numbers: list[float], factor: float) -> list[float]:
    """Return a list with each number multiplied by a factor."""
    return [number * factor for number in numbers]


@snippet(
    ("dot_product([1, 2], [3, 4])", 11),
    ("dot_product([], [])", 0),
    how="It multiplies the numbers in pairs and adds the results.",
)
def dot_product(first: list[float], second: list[float]) -> float:
    """Return the dot product of two lists of numbers."""
    return sum(left * right for left, right in zip(first, second))


@snippet(("count_matches([1, 2, 1], 1)", 2), ("count_matches([], 1)", 0))
def count_matches(items: list, wanted: object) -> int:
    """Return how often an item occurs in a list."""
    return sum(1 for item in items if item == wanted)


@snippet(("every_second([1, 2, 3, 4, 5])", [1, 3, 5]), ("every_second([])", []))
def every_second(items: list) -> list:
    """Return every second item of a list, from the first one on."""
    return items[::2]


@snippet(("join_with_and(['tea', 'milk', 'jam'])", "tea, milk and jam"), ("join_with_and(['tea'])", "tea"))
def join_with_and(words: list[str]) -> str:
    """Return a list of words as one text with commas and a final 'and'."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


# --- Functions of dictionaries ---


@snippet(
    ("swap_keys({'a': 1, 'b': 2})", {1: "a", 2: "b"}),
    how="It goes through the pairs and puts each value in the place of its key.",
)
def swap_keys(mapping: dict) -> dict:
    """Return a dictionary with its keys and values exchanged."""
    return {value: key for key, value in mapping.items()}


@snippet(("merge_dicts({'a': 1}, {'b': 2})", {"a": 1, "b": 2}), ("merge_dicts({'a': 1}, {'a': 5})", {"a": 5}))
def merge_dicts(first: dict, second: dict) -> dict:
    """Merge two dictionaries, where the second one wins if they share a key."""
    return {**first, **second}


@snippet(("key_of_largest({'ann': 3, 'bo': 8})", "bo"), how="It takes the key for which the value is greatest.")
def key_of_largest(scores: dict[str, int]) -> str:
    """Return the key with the largest value in a dictionary."""
    return max(scores, key=scores.get)


@snippet(("sum_of_values({'a': 2, 'b': 5})", 7), ("sum_of_values({})", 0))
def sum_of_values(mapping: dict[str, int]) -> int:
    """Return the sum of the values in a dictionary."""
    return sum(mapping.values())


@snippet(
    ("group_by_length(['a', 'to', 'by'])", {1: ["a"], 2: ["to", "by"]}),
    how="It uses the length of each word as a key and adds the word to the list for that key.",
)
def group_by_length(words: list[str]) -> dict[int, list[str]]:
    """Return a dictionary that groups words by their length."""
    groups = {}
    for word in words:
        groups.setdefault(len(word), []).append(word)
    return groups


@snippet(("group_by_first_letter(['ant', 'bee', 'ape'])", {"a": ["ant", "ape"], "b": ["bee"]}))
def group_by_first_letter(words: list[str]) -> dict[str, list[str]]:
    """Return a dictionary that groups words by their first letter."""
    groups = {}
    for word in words:
        groups.setdefault(word[0], []).append(word)
    return groups


@snippet(("drop_empty({'a': 1, 'b': None})", {"a": 1}), ("drop_empty({})", {}))
def drop_empty(mapping: dict) -> dict:
    """Return a dictionary without the keys whose value is None."""
    return {key: value for key, value in mapping.items() if value is not None}


@snippet(("pick_keys({'a': 1, 'b': 2}, ['a'])", {"a": 1}), ("pick_keys({'a': 1}, ['z'])", {}))
def pick_keys(mapping: dict, keys: list) -> dict:
    """Return a dictionary with only the given keys."""
    return {key: mapping[key] for key in keys if key in mapping}


@snippet(("sort_by_value({'a': 3, 'b': 1})", [("b", 1), ("a", 3)]))
def sort_by_value(mapping: dict[str, int]) -> list[tuple[str, int]]:
    """Return the pairs of a dictionary sorted by value."""
    return sorted(mapping.items(), key=lambda pair: pair[1])


@snippet(("make_dict(['a', 'b'], [1, 2])", {"a": 1, "b": 2}), ("make_dict([], [])", {}))
def make_dict(keys: list, values: list) -> dict:
    """Return a dictionary made from a list of keys and a list of values."""
    return dict(zip(keys, values))


@snippet(("add_to_count({'a': 1}, 'a')", {"a": 2}), ("add_to_count({}, 'b')", {"b": 1}))
def add_to_count(counts: dict[str, int], key: str) -> dict[str, int]:
    """Return a copy of a dictionary of counts with one more for a key."""
    result = dict(counts)
    result[key] = result.get(key, 0) + 1
    return result


@snippet(("passed({'ann': 80, 'bo': 40}, 50)", ["ann"]), ("passed({}, 50)", []))
def passed(scores: dict[str, int], limit: int) -> list[str]:
    """Return the names whose score is at least a given limit."""
    return [name for name, score in scores.items() if score >= limit]


# --- Functions of numbers ---


@snippet(("is_even(4)", True), ("is_even(7)", False), how="It checks that division by two leaves no remainder.")
def is_even(number: int) -> bool:
    """Tell whether a number is even."""
    return number % 2 == 0


@snippet(
    ("is_prime(7)", True),
    ("is_prime(9)", False),
    ("is_prime(1)", False),
    how="It tries every divisor up to the square root of the number.",
)
def is_prime(number: int) -> bool:
    """Tell whether a number is prime."""
    if number < 2:
        return False
    for divisor in range(2, int(number**0.5) + 1):
        if number % divisor == 0:
            return False
    return True


@snippet(
    ("factorial(5)", 120),
    ("factorial(0)", 1),
    how="It starts at one and multiplies by each whole number up to the given one.",
)
def factorial(number: int) -> int:
    """Return the factorial of a number."""
    result = 1
    for factor in range(2, number + 1):
        result *= factor
    return result


@snippet(
    ("fibonacci(6)", [0, 1, 1, 2, 3, 5]),
    ("fibonacci(1)", [0]),
    how="It adds the sum of the last two numbers until the list is long enough.",
)
def fibonacci(count: int) -> list[int]:
    """Return a list of the first Fibonacci numbers."""
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]


@snippet(
    ("greatest_common_divisor(12, 18)", 6),
    ("greatest_common_divisor(7, 5)", 1),
    how="It replaces the pair by the second number and the remainder until the remainder is zero.",
)
def greatest_common_divisor(first: int, second: int) -> int:
    """Return the greatest common divisor of two numbers."""
    while second:
        first, second = second, first % second
    return first


@snippet(("least_common_multiple(4, 6)", 12), ("least_common_multiple(3, 5)", 15), needs="import math")
def least_common_multiple(first: int, second: int) -> int:
    """Return the least common multiple of two numbers."""
    return first * second // math.gcd(first, second)


@snippet(("digit_sum(345)", 12), ("digit_sum(7)", 7), how="It turns the number into text and adds its digits.")
def digit_sum(number: int) -> int:
    """Return the sum of the digits of a number."""
    return sum(int(digit) for digit in str(number))


@snippet(
    ("divisors(12)", [1, 2, 3, 4, 6, 12]),
    ("divisors(7)", [1, 7]),
    how="It tries every number from one up to the number itself.",
)
def divisors(number: int) -> list[int]:
    """Return a list of the divisors of a number."""
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


@snippet(("prime_factors(12)", [2, 2, 3]), ("prime_factors(13)", [13]))
def prime_factors(number: int) -> list[int]:
    """Return a list of the prime factors of a number."""
    factors = []
    divisor = 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors


@snippet(("clamp(12, 0, 10)", 10), ("clamp(-3, 0, 10)", 0), ("clamp(5, 0, 10)", 5))
def clamp(number: float, low: float, high: float) -> float:
    """Return a number kept between a lower and an upper limit."""
    return max(low, min(number, high))


@snippet(
    ("is_leap_year(2024)", True),
    ("is_leap_year(1900)", False),
    how="It accepts years that 4 divides, except those that 100 divides and 400 does not.",
)
def is_leap_year(year: int) -> bool:
    """Tell whether a year is a leap year."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@snippet(("to_binary(5)", "101"), ("to_binary(0)", "0"))
def to_binary(number: int) -> str:
    """Return a number as a text of binary digits."""
    return format(number, "b")


@snippet(("from_binary('101')", 5), ("from_binary('0')", 0))
def from_binary(text: str) -> int:
    """Return the number that a text of binary digits stands for."""
    return int(text, 2)


@snippet(("sign(-4)", -1), ("sign(0)", 0), ("sign(9)", 1))
def sign(number: float) -> int:
    """Return 1 for a positive number, -1 for a negative number, and 0 for zero."""
    if number > 0:
        return 1
    if number < 0:
        return -1
    return 0


@snippet(("percentage(3, 12)", 25.0), ("percentage(1, 2)", 50.0))
def percentage(part: float, whole: float) -> float:
    """Return what percentage a part is of a whole."""
    return part / whole * 100


@snippet(("power(2, 5)", 32), ("power(3, 0)", 1))
def power(base: int, exponent: int) -> int:
    """Return a number raised to a power, without the power operator."""
    result = 1
    for _ in range(exponent):
        result *= base
    return result


@snippet(("sum_to(10)", 55), ("sum_to(1)", 1), how="It uses the formula n times n plus one, divided by two.")
def sum_to(number: int) -> int:
    """Return the sum of the whole numbers from one to a given number."""
    return number * (number + 1) // 2


@snippet(("multiplication_table(3)", [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]))
def multiplication_table(number: int) -> list[int]:
    """Return a list of the first ten multiples of a number."""
    return [number * factor for factor in range(1, 11)]


@snippet(
    ("fizz_buzz(5)", ["1", "2", "Fizz", "4", "Buzz"]),
    how="It checks the multiples of fifteen before those of three and five.",
)
def fizz_buzz(limit: int) -> list[str]:
    """Return the words of the game fizz buzz from one to a limit."""
    words = []
    for number in range(1, limit + 1):
        if number % 15 == 0:
            words.append("FizzBuzz")
        elif number % 3 == 0:
            words.append("Fizz")
        elif number % 5 == 0:
            words.append("Buzz")
        else:
            words.append(str(number))
    return words


@snippet(("distance((0, 0), (3, 4))", 5.0), needs="import math", how="It uses the theorem of Pythagoras.")
def distance(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the distance between two points in the plane."""
    return math.hypot(end[0] - start[0], end[1] - start[1])


@snippet(("circle_area(0)", 0.0), ("round(circle_area(1), 2)", 3.14), needs="import math")
def circle_area(radius: float) -> float:
    """Return the area of a circle with a given radius."""
    return math.pi * radius**2


@snippet(("triangle_area(6, 4)", 12.0), ("triangle_area(3, 3)", 4.5))
def triangle_area(base: float, height: float) -> float:
    """Return the area of a triangle with a given base and height."""
    return base * height / 2


@snippet(("simple_interest(200, 5, 3)", 30.0), ("simple_interest(100, 0, 9)", 0.0))
def simple_interest(amount: float, rate: float, years: float) -> float:
    """Return the simple interest on an amount at a yearly rate in percent."""
    return amount * rate * years / 100


@snippet(("price_after_discount(80, 25)", 60.0), ("price_after_discount(50, 0)", 50.0))
def price_after_discount(price: float, percent: float) -> float:
    """Return a price after a discount in percent."""
    return price * (100 - percent) / 100


@snippet(("safe_divide(6, 3)", 2.0), ("safe_divide(1, 0)", None), how="It checks the divisor before it divides.")
def safe_divide(number: float, divisor: float) -> float | None:
    """Return the result of a division, or None if the divisor is zero."""
    if divisor == 0:
        return None
    return number / divisor


@snippet(("clock_time(135)", "02:15"), ("clock_time(59)", "00:59"))
def clock_time(minutes: int) -> str:
    """Return a number of minutes as hours and minutes, such as '02:15'."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


@snippet(
    ("collatz_steps(6)", 8),
    ("collatz_steps(1)", 0),
    how="It halves even numbers and replaces an odd number by three times the number plus one.",
)
def collatz_steps(number: int) -> int:
    """Return the number of steps that the Collatz rule needs to reach one."""
    steps = 0
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps += 1
    return steps


# --- Functions of files and dates (their checks run in an empty folder) ---


@snippet(
    ("read_lines('notes.txt')", ["one", "two"]),
    how="It opens the file, reads its text, and splits it into lines.",
)
def read_lines(path: str) -> list[str]:
    """Read a text file and return a list of its lines."""
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


@snippet(
    ("write_lines('new.txt', ['a', 'b'])", None),
    how="It opens the file and writes each line with a line break.",
)
def write_lines(path: str, lines: list[str]) -> None:
    """Write a list of lines to a text file."""
    with open(path, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")


@snippet(("append_line('log.txt', 'ready')", None))
def append_line(path: str, line: str) -> None:
    """Write one line at the end of a text file."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


@snippet(("count_lines('notes.txt')", 2), how="It adds one for each line in the file.")
def count_lines(path: str) -> int:
    """Return the number of lines in a text file."""
    with open(path, encoding="utf-8") as file:
        return sum(1 for _ in file)


@snippet(("file_extension('photo.png')", ".png"), ("file_extension('README')", ""), needs="import os")
def file_extension(path: str) -> str:
    """Return the extension of a file name."""
    return os.path.splitext(path)[1]


@snippet(("file_exists('notes.txt')", True), ("file_exists('none.txt')", False), needs="import os")
def file_exists(path: str) -> bool:
    """Tell whether a file exists."""
    return os.path.isfile(path)


@snippet(
    ("days_between(date(2024, 2, 28), date(2024, 3, 1))", 2),
    needs="from datetime import date",
    how="It subtracts the dates and takes the days of the result.",
)
def days_between(start: date, end: date) -> int:
    """Return the number of days between two dates."""
    return (end - start).days


@snippet(("tomorrow(date(2024, 12, 31))", date(2025, 1, 1)), needs="from datetime import date, timedelta")
def tomorrow(day: date) -> date:
    """Return the day after a given date."""
    return day + timedelta(days=1)


# --- Families: functions of one shape, written out from a table ---

# Fields: function name | what is kept | condition | example list | expected list
KEEP_FAMILY = records("""
keep_even | the even numbers | number % 2 == 0 | [1, 2, 3, 4] | [2, 4]
keep_odd | the odd numbers | number % 2 == 1 | [1, 2, 3, 4] | [1, 3]
keep_positive | the positive numbers | number > 0 | [-2, 0, 5] | [5]
keep_negative | the negative numbers | number < 0 | [-2, 0, 5] | [-2]
keep_large | the numbers above ten | number > 10 | [4, 11, 30] | [11, 30]
keep_small | the numbers below ten | number < 10 | [4, 11, 30] | [4]
keep_multiples_of_three | the multiples of three | number % 3 == 0 | [3, 5, 6] | [3, 6]
keep_multiples_of_five | the multiples of five | number % 5 == 0 | [5, 8, 10] | [5, 10]
keep_nonzero | the numbers that are not zero | number != 0 | [0, 7, 0, 2] | [7, 2]
""")

# Fields: function name | what is counted | condition | example text | expected count
COUNT_FAMILY = records("""
count_digits | digits | letter.isdigit() | 'room 101' | 3
count_capitals | capital letters | letter.isupper() | 'New York' | 2
count_small_letters | small letters | letter.islower() | 'New York' | 5
count_spaces | spaces | letter == " " | 'go on then' | 2
count_commas | commas | letter == "," | 'a,b,c' | 2
count_full_stops | full stops | letter == "." | 'Go. Stop.' | 2
count_hyphens | hyphens | letter == "-" | 'up-to-date' | 2
""")

# Fields: function name | parameter | what comes in | what goes out | formula | example | expected
CONVERT_FAMILY = records("""
celsius_to_fahrenheit | celsius | degrees Celsius | degrees Fahrenheit | celsius * 9 / 5 + 32 | 100 |
    212.0
fahrenheit_to_celsius | fahrenheit | degrees Fahrenheit | degrees Celsius | (fahrenheit - 32) * 5 / 9 |
    212 | 100.0
hours_to_minutes | hours | hours | minutes | hours * 60 | 3 | 180
minutes_to_seconds | minutes | minutes | seconds | minutes * 60 | 2 | 120
days_to_hours | days | days | hours | days * 24 | 2 | 48
weeks_to_days | weeks | weeks | days | weeks * 7 | 3 | 21
years_to_months | years | years | months | years * 12 | 2 | 24
metres_to_centimetres | metres | metres | centimetres | metres * 100 | 4 | 400
kilometres_to_metres | kilometres | kilometres | metres | kilometres * 1000 | 5 | 5000
grams_to_kilograms | grams | grams | kilograms | grams / 1000 | 500 | 0.5
kilograms_to_grams | kilograms | kilograms | grams | kilograms * 1000 | 2 | 2000
feet_to_inches | feet | feet | inches | feet * 12 | 6 | 72
litres_to_millilitres | litres | litres | millilitres | litres * 1000 | 3 | 3000
""")

# Fields: function name | what is done to each word | expression | example list | expected list
EACH_WORD_FAMILY = records("""
words_to_capitals | each word in capital letters | word.upper() | ['ox', 'bee'] | ['OX', 'BEE']
words_to_small_letters | each word in small letters | word.lower() | ['Ox', 'BEE'] | ['ox', 'bee']
strip_words | the spaces around each word removed | word.strip() | [' ox', 'bee '] | ['ox', 'bee']
reverse_each_word | the letters of each word reversed | word[::-1] | ['ox', 'bee'] | ['xo', 'eeb']
word_lengths | each word replaced by its length | len(word) | ['ox', 'bee'] | [2, 3]
first_letters | each word replaced by its first letter | word[0] | ['ox', 'bee'] | ['o', 'b']
last_letters | each word replaced by its last letter | word[-1] | ['ox', 'bee'] | ['x', 'e']
add_plural | the letter s added to each word | word + "s" | ['cat', 'bee'] | ['cats', 'bees']
""")

# Fields: function name | what is summed | expression | example list | expected sum
SUM_FAMILY = records("""
sum_of_squares | squares | number**2 | [1, 2, 3] | 14
sum_of_cubes | cubes | number**3 | [1, 2, 3] | 36
sum_of_halves | halves | number / 2 | [1, 2, 3] | 3.0
sum_of_doubles | doubles | number * 2 | [1, 2, 3] | 12
sum_of_sizes | absolute values | abs(number) | [-1, 2, -3] | 6
""")

# Fields: function name | plural of the things | key | example value 1 | example value 2
SORT_FAMILY = records("""
sort_books_by_title | books | title | 'Sea' | 'Air'
sort_books_by_year | books | year | 1990 | 1950
sort_products_by_price | products | price | 12 | 7
sort_people_by_age | people | age | 40 | 31
sort_people_by_name | people | name | 'Tom' | 'Ann'
sort_cities_by_size | cities | size | 900 | 20
sort_players_by_score | players | score | 15 | 11
""")


def one_line_snippet(name: str, signature: str, purpose: str, body: str, call: str, expected: Any, how: str) -> Snippet:
    """Build a snippet whose body is one return line."""
    source = f'def {name}{signature}:\n    """{purpose}"""\n    return {body}'
    return Snippet(name, purpose, source, ((f"{name}({call})", expected),), how)


def family_snippets() -> list[Snippet]:
    """Write out the functions of every family table."""
    found = []
    for name, kept, condition, example, expected in KEEP_FAMILY:
        found.append(
            one_line_snippet(
                name,
                "(numbers: list[int]) -> list[int]",
                f"Return a list of {kept} in a list.",
                f"[number for number in numbers if {condition}]",
                example,
                eval(expected),
                f"It keeps each number for which {condition}.",
            )
        )
    for name, counted, condition, example, expected in COUNT_FAMILY:
        found.append(
            one_line_snippet(
                name,
                "(text: str) -> int",
                f"Return the number of {counted} in a text.",
                f"sum(1 for letter in text if {condition})",
                example,
                eval(expected),
                f"It goes through the text and counts the {counted}.",
            )
        )
    for name, parameter, before, after, formula, example, expected in CONVERT_FAMILY:
        found.append(
            one_line_snippet(
                name,
                f"({parameter}: float) -> float",
                f"Convert {before} to {after}.",
                formula,
                example,
                eval(expected),
                f"It uses the formula {formula}.",
            )
        )
    for name, done, expression, example, expected in EACH_WORD_FAMILY:
        found.append(
            one_line_snippet(
                name,
                "(words: list[str]) -> list",
                f"Return a list of words with {done}.",
                f"[{expression} for word in words]",
                example,
                eval(expected),
                f"It works out {expression} for each word.",
            )
        )
    for name, summed, expression, example, expected in SUM_FAMILY:
        found.append(
            one_line_snippet(
                name,
                "(numbers: list[float]) -> float",
                f"Return the sum of the {summed} of a list of numbers.",
                f"sum({expression} for number in numbers)",
                example,
                eval(expected),
                f"It adds up {expression} for each number.",
            )
        )
    for name, things, key, high, low in SORT_FAMILY:
        first, second = {key: eval(high)}, {key: eval(low)}
        found.append(
            one_line_snippet(
                name,
                f"({things}: list[dict]) -> list[dict]",
                f"Return a list of {things} sorted by {key}.",
                f'sorted({things}, key=lambda item: item["{key}"])',
                f"[{first}, {second}]",
                [second, first],
                f"It sorts the {things} with the value of '{key}' as the key.",
            )
        )
    return found


SNIPPETS.extend(family_snippets())
