"""Sentences for voices that read text: short, everyday, written for this project."""

# ruff: noqa: RUF001

from __future__ import annotations

SENTENCES = {
    "en": (
        "The train to the coast leaves at a quarter past seven from platform four.",
        "Could you send me the report before lunch, please?",
        "My grandmother kept bees behind the old stone barn for thirty years.",
        "I am calling about the invoice that you sent me last week.",
        "It rained all night, and by morning the river had reached the bridge.",
        "Nobody knew why the lights in the library had been left on.",
        "Please hold the line while I connect you to the right department.",
        "We should paint the kitchen yellow, or perhaps a very light green.",
        "The doctor said that she would be back on her feet within two weeks.",
        "There are nineteen students in the class, but only twelve chairs.",
        "He opened the letter slowly, read it twice, and began to laugh.",
        "Turn left at the church, and the house is on your right hand side.",
        "The committee will meet again on Thursday to discuss the new budget.",
        "What a strange sound the engine makes when it is cold.",
        "Your account has been locked because of several failed attempts.",
        "She plays the violin every evening, just after the news.",
        "Most of the apples had already fallen from the tree by September.",
        "I would rather walk home than wait another hour for the bus.",
        "Scientists have measured the distance to the star with great care.",
        "Dad, it is me. I have lost my phone and need your help.",
    ),
    "de": (
        "Der Zug nach Hamburg hat heute leider zwanzig Minuten Verspätung.",
        "Könnten Sie mir bitte sagen, wie spät es ist?",
        "Im Garten meiner Großeltern stand ein alter Kirschbaum.",
        "Die Sitzung wurde auf nächsten Donnerstag verschoben.",
        "Ich habe gestern Abend vergessen, das Licht auszumachen.",
        "Am Wochenende fahren wir mit dem Fahrrad an den See.",
    ),
    "es": (
        "El tren sale a las siete y cuarto de la mañana.",
        "Mi abuela tenía un jardín lleno de flores amarillas.",
        "¿Me puede decir dónde está la farmacia más cercana?",
        "La reunión se ha aplazado hasta el próximo jueves.",
        "Anoche llovió tanto que el río llegó hasta el puente.",
    ),
    "fr": (
        "Le train pour Lyon partira avec dix minutes de retard.",
        "Ma grand-mère gardait des abeilles derrière la maison.",
        "Pourriez-vous me rappeler demain dans la matinée ?",
        "La réunion est reportée à jeudi prochain.",
        "Il a plu toute la nuit et la rivière a débordé.",
    ),
    "it": (
        "Il treno per Firenze parte alle sette e un quarto.",
        "Mia nonna aveva un giardino pieno di rose gialle.",
        "Mi può dire dove si trova la farmacia più vicina?",
        "La riunione è stata rimandata a giovedì prossimo.",
        "Ieri notte ha piovuto tanto che il fiume è salito fino al ponte.",
    ),
    "nl": ("De trein naar Utrecht vertrekt om kwart over zeven.", "Kunt u mij morgen terugbellen?"),
    "pl": ("Pociąg do Krakowa odjeżdża o siódmej piętnaście.", "Wczoraj padało przez całą noc."),
    "pt": ("O trem para o litoral parte às sete e quinze.", "Choveu a noite inteira na cidade."),
    "ru": ("Поезд на Москву отправляется в семь часов.", "Вчера всю ночь шёл сильный дождь."),
    "tr": ("Tren sabah yediyi çeyrek geçe kalkıyor.", "Dün gece sabaha kadar yağmur yağdı."),
    "cs": ("Vlak do Brna odjíždí v sedm hodin patnáct.", "Celou noc pršelo a řeka se rozvodnila."),
    "sv": ("Tåget till Göteborg går kvart över sju.", "Det regnade hela natten i staden."),
    "fi": ("Juna Turkuun lähtee varttia yli seitsemän.", "Viime yönä satoi aamuun asti."),
    "hu": ("A vonat negyed nyolckor indul a tengerpartra.", "Egész éjjel esett az eső a városban."),
}
