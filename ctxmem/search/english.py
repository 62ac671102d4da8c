"""What is English in the analysis: stop words, irregular forms, and stems. Owns Stemmer (PyStemmer).

A change of any of these changes the terms of a text: see `terms.ANALYSIS_VERSION`.
"""

import re
import threading

import Stemmer

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about again all also am an and any are as at be because been being both but by can cannot could did do does
        doing each few for from further had has have having he her here hers herself him himself his how i if in into is
        it its itself just me more most my myself no nor not now of on once only or other our ours ourselves own same
        she should so some such than that the their theirs them themselves then there these they this those through to
        too until very was we were what when where which while who whom whose why will with would you your yours
        yourself yourselves s t d ll re ve m im ive dont doesnt didnt isnt arent wasnt werent cant couldnt wont wouldnt
        shouldnt havent hasnt hadnt youre youve youll theyre theyve weve thats whats heres theres lets
        """,
    )
)

# Irregular forms, which a stemmer leaves apart; left out are those that are mostly another word (left, ground, rose).
_IRREGULAR = {
    form: line.split()[0]
    for line in """
    arise arose arisen; awake awoke awoken; become became; begin began begun; bend bent; bite bit bitten; bleed bled
    blow blew blown; break broke broken; breed bred; bring brought; build built; buy bought; catch caught
    choose chose chosen; come came; creep crept; deal dealt; dig dug; draw drew drawn; dream dreamt; drink drank drunk
    drive drove driven; eat ate eaten; fall fell fallen; feed fed; feel felt; fight fought; find found; flee fled
    fly flew flown; forbid forbade forbidden; forget forgot forgotten; forgive forgave forgiven; freeze froze frozen
    get got gotten; give gave given; go went gone goes; grow grew grown; hang hung; hear heard; hide hid hidden
    hold held; keep kept; kneel knelt; know knew known; lead led; lean leant; leap leapt; learn learnt; lend lent
    lose lost; make made; mean meant; meet met; mistake mistook mistaken; overcome overcame; pay paid
    ride rode ridden; ring rang rung; rise risen; run ran; say said; see saw seen; seek sought; sell sold; send sent
    sew sewn; shake shook shaken; shine shone; shoot shot; show shown; shrink shrank shrunk; sing sang sung
    sink sank sunk; sit sat; sleep slept; speak spoke spoken; speed sped; spend spent; spin spun;
    stand stood; steal stole stolen; stick stuck; sting stung; strike struck stricken; strive strove striven
    swear swore sworn; sweep swept; swim swam swum; swing swung; take took taken; teach taught; tear tore torn
    tell told; think thought; throw threw thrown; undergo underwent undergone; understand understood; undo undid undone
    wake woke woken; wear wore worn; weave wove woven; weep wept; win won; withdraw withdrew withdrawn
    write wrote written; child children; man men; woman women; person people; foot feet; tooth teeth; mouse mice
    goose geese; wife wives; knife knives; shelf shelves; wolf wolves; thief thieves; half halves
    """.replace("\n", ";").split(";")
    if line.strip()
    for form in line.split()[1:]
}

_stemmer = Stemmer.Stemmer("english", 0)
_stemming = threading.Lock()  # a Stemmer object must not be used by two threads at once


def stem(word: str) -> str:
    """Return the stem of a folded English word; other scripts and identifiers are returned as they are.

    >>> stem("running")
    'run'
    """
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    with _stemming:
        return str(_stemmer.stemWord(_IRREGULAR.get(word, word)))
