"""Text for the accuracy figures and the demo, written for this project: 8 sentences to calibrate on, 24 to test on.

The test sentences hold pairs of one meaning in two wordings beside unrelated ones, so that the order of their
similarities says something about a quantized model. No sentence is in both sets.
"""

CALIBRATION = (
    "The kettle is boiling.",
    "Why does the moon look larger when it is close to the horizon?",
    "Three engineers argued for an hour about the name of one signal, and then they renamed it again the next day.",
    "Add two cups of flour, a pinch of salt and 250 ml of warm water; knead until the dough no longer sticks.",
    "Heavy rain closed the mountain pass on Sunday night.",
    "She plays the cello in a small orchestra and repairs bicycles for a living.",
    "Although the old lighthouse has been empty since 1974, fishermen still tell their children that on foggy nights a "
    "lamp can be seen in its tower, turning slowly, as if somebody were waiting for a ship that left the harbour a "
    "very long time ago and never sent any word.",
    "Unemployment fell to 4.1 %, the lowest value in nine years, the statistics office said.",
)

SENTENCES = (
    "Close the window.",
    "Please shut the window, it is getting cold.",
    "A dog is running along the beach.",
    "On the shore, a small brown dog chases the waves.",
    "The bank raised its interest rate by a quarter of a point.",
    "Borrowing becomes more expensive after the central bank's decision on Thursday.",
    "They had a picnic on the bank of the river.",
    "How do I boil an egg?",
    "What is the best way to cook an egg so that the yolk stays soft?",
    "The train to Zürich leaves at 7:42 from platform nine.",
    "Our flight was cancelled, so we spent the night on the floor of the airport.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "Plants make their food from sunlight.",
    "The adder's carry chain limits the clock frequency of the whole design.",
    "Because every addition waits for its carry, the circuit cannot run any faster than that one long path allows.",
    "Nobody laughed at all.",
    "The comedian told joke after joke, but the audience sat in silence until somebody's phone began to ring.",
    "My grandmother's café in São Paulo serves crêpes, naïve paintings and very strong coffee.",
    "Quantizing a neural network means storing its weights and activations with few bits, so that memory traffic and "
    "multiplications become cheap, while the answers should stay as close as possible to those of the original.",
    "Large models can be made smaller by rounding their numbers coarsely, at a small price in accuracy.",
    "In the final minute, with the score at two all and rain pouring over the empty seats behind the goal, the "
    "youngest player on the field took the ball from her own half, passed four defenders, looked up once, and shot it "
    "so calmly into the corner that even the other team's supporters stood up to applaud her.",
    "The striker scored the winning goal just before the whistle.",
    "It has been snowing since yesterday, the schools are closed, the buses have stopped, and in our street people who "
    "have not spoken to each other for years are digging out their neighbours' cars.",
    "I would rather read the footnotes than the book.",
)
