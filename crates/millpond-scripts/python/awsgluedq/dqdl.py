"""Rulesets: from text to `Ruleset`. Every error says line and column.

    Rules = [ IsComplete "id", (Mean "stars" > 3) and (RowCount > 10), ColumnValues "state" in ["CA", "NY"] with threshold > 0.9 where "country = 'US'" ]
    Analyzers = [ Completeness "name" ]
"""

import re
from dataclasses import dataclass, field


class RulesetError(ValueError):
    """A ruleset that cannot be read: what is wrong, and where."""


@dataclass(frozen=True)
class Operand:
    """What a condition compares with. `kind`: number, text, keyword (NULL, EMPTY, WHITESPACES_ONLY), duration (seconds), time (seconds from now), history."""

    kind: str
    value: object


@dataclass(frozen=True)
class Condition:
    """`operator`: one of = != > >= < <= between in matches, negated by `negated`."""

    operator: str
    operands: tuple
    negated: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule or analyzer. `text` is how the script wrote it, with single spaces."""

    type: str
    parameters: tuple
    condition: Condition = None
    threshold: Condition = None
    where: str = None
    tags: tuple = ()
    text: str = ""
    place: str = ""


@dataclass(frozen=True)
class Composite:
    """Rules joined by `and` or `or`."""

    operator: str
    parts: tuple
    text: str = ""


@dataclass
class Ruleset:
    rules: list = field(default_factory=list)
    analyzers: list = field(default_factory=list)


_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*|//[^\n]*)
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<sign>!=|<>|>=|<=|[=<>()\[\]{},:+*/-])""",
    re.VERBOSE,
)
_COMPARISONS = ("=", "!=", ">", ">=", "<", "<=")
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_HISTORY = ("avg", "min", "max", "sum", "std", "median", "percentile", "index", "last")
# Rule types, and how many parameters they take (fewest, most).
RULE_TYPES = {
    "AggregateMatch": (2, 2), "ColumnCorrelation": (2, 2), "ColumnCount": (0, 0), "ColumnDataType": (1, 1), "ColumnExists": (1, 1), "ColumnLength": (1, 1),
    "ColumnNamesMatchPattern": (1, 1), "ColumnValues": (1, 1), "Completeness": (1, 1), "CustomSql": (1, 1), "DataFreshness": (1, 1), "DatasetMatch": (2, 3),
    "DistinctValuesCount": (1, 1), "Entropy": (1, 1), "IsComplete": (1, 1), "IsPrimaryKey": (1, 99), "IsUnique": (1, 99), "Mean": (1, 1),
    "ReferentialIntegrity": (2, 2), "RowCount": (0, 0), "RowCountMatch": (1, 1), "SchemaMatch": (1, 1), "StandardDeviation": (1, 1), "Sum": (1, 1),
    "UniqueValueRatio": (1, 99), "Uniqueness": (1, 99),
}  # fmt: skip
# Rule types whose condition may be left out.
_WITHOUT_CONDITION = {"IsComplete", "IsUnique", "IsPrimaryKey", "ColumnExists", "ColumnNamesMatchPattern", "CustomSql"}
_NOT_THERE = {
    "AllStatistics": "name the single analyzers",
    "DetectAnomalies": "compare with fixed numbers; results of earlier runs are not kept",
    "FileFreshness": "check files with boto3 in the script",
    "FileMatch": "check files with boto3 in the script",
    "FileSize": "check files with boto3 in the script",
    "FileUniqueness": "check files with boto3 in the script",
}
RULES_MAX = 2000
DEPTH_MAX = 50


def parse(text):
    """The ruleset of a text. Raises RulesetError."""
    return _Parser(text).ruleset()


class _Parser:
    def __init__(self, text):
        if not isinstance(text, str):
            raise RulesetError(f"a ruleset is a text like 'Rules = [ IsComplete \"id\" ]', not a {type(text).__name__}")
        self.text = text
        self.tokens = []
        self.at = 0
        self.depth = 0
        start = 0
        while start < len(text):
            found = _TOKEN.match(text, start)
            if not found:
                raise RulesetError(f"{self._place(start)}: {text[start]!r} is not expected here")
            if found.lastgroup != "space":
                self.tokens.append((found.lastgroup, found.group(), start, found.end()))
            start = found.end()
        self.tokens.append(("end", "the end of the ruleset", len(text), len(text)))

    def _place(self, start):
        line = self.text.count("\n", 0, start) + 1
        return f"line {line}, column {start - (self.text.rfind(chr(10), 0, start) + 1) + 1}"

    def _fail(self, what, token=None):
        kind, shown, start, _ = token or self.tokens[self.at]
        raise RulesetError(f"{self._place(start)}: {what}, not {shown if kind == 'end' else repr(shown)}")

    def _peek(self, *values):
        kind, value, _, _ = self.tokens[self.at]
        return kind in ("word", "sign") and value.lower() in values

    def _next(self):
        token = self.tokens[self.at]
        if token[0] != "end":
            self.at += 1
        return token

    def _take(self, value, what=None):
        if not self._peek(value):
            self._fail(what or f"{value!r} is expected")
        return self._next()

    def _word(self, value):
        if self._peek(value):
            self._next()
            return True
        return False

    def _string(self, what):
        if self.tokens[self.at][0] != "text":
            self._fail(f"{what} in double quotes is expected")
        return _unquoted(self._next()[1])

    def ruleset(self):
        made = Ruleset()
        sections = 0
        while self.tokens[self.at][0] != "end":
            token = self._next()
            if token[0] != "word" or token[1] not in ("Rules", "Analyzers", "Metadata", "DataSources"):
                self._fail("'Rules = [ ... ]' or 'Analyzers = [ ... ]' is expected", token)
            self._take("=")
            if token[1] in ("Metadata", "DataSources"):
                self._skip_braces()
                continue
            sections += 1
            (made.rules if token[1] == "Rules" else made.analyzers).extend(self._list(analyzers=token[1] == "Analyzers"))
        if not sections:
            self._fail("'Rules = [ ... ]' is expected")
        if len(made.rules) + len(made.analyzers) > RULES_MAX:
            raise RulesetError(f"a ruleset has at most {RULES_MAX} rules, this one has {len(made.rules) + len(made.analyzers)}")
        return made

    def _skip_braces(self):
        depth = 0
        while True:
            token = self._next()
            if token[0] == "end":
                self._fail("'}' is expected", token)
            depth += {"{": 1, "}": -1}.get(token[1], 0) if token[0] == "sign" else 0
            if depth == 0:
                return

    def _list(self, analyzers):
        self._take("[")
        found = []
        while not self._word("]"):
            found.append(self._single(analyzer=True) if analyzers else self._composite())
            if not self._peek("]"):
                self._take(",", "',' or ']' is expected after a rule")
        return found

    def _composite(self):
        start = self.tokens[self.at][2]
        parts, operator = [self._part()], None
        while self._peek("and", "or"):
            token = self._next()
            if operator not in (None, token[1].lower()):
                self._fail("'and' and 'or' side by side need parentheses around one of them: the same operator is expected", token)
            operator = token[1].lower()
            parts.append(self._part())
        return parts[0] if operator is None else Composite(operator, tuple(parts), self._source(start))

    def _part(self):
        if not self._peek("("):
            return self._single()
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self._fail(f"at most {DEPTH_MAX} parentheses in each other are expected")
        self._next()
        inner = self._composite()
        self._take(")")
        self.depth -= 1
        return inner

    def _source(self, start):
        return " ".join(self.text[start : self.tokens[self.at - 1][3]].split())

    def _single(self, analyzer=False):
        kind, name, start, _ = token = self._next()
        if kind != "word":
            self._fail("a rule type like IsComplete is expected", token)
        if name in _NOT_THERE:
            raise RulesetError(f"{self._place(start)}: the rule type {name} is not supported here; {_NOT_THERE[name]}")
        if name not in RULE_TYPES:
            import difflib

            close = difflib.get_close_matches(name, RULE_TYPES, 1)
            raise RulesetError(f"{self._place(start)}: {name!r} is not a rule type{f'; is {close[0]} meant?' if close else ''} Known are: {', '.join(RULE_TYPES)}")
        parameters = []
        while self.tokens[self.at][0] == "text":
            parameters.append(_unquoted(self._next()[1]))
        fewest, most = RULE_TYPES[name]
        if not fewest <= len(parameters) <= most:
            names = f"{fewest} name{'s' * (fewest != 1)}" if fewest == most else f"{fewest} or more names"
            raise RulesetError(f"{self._place(start)}: {name} takes {names} in double quotes, {len(parameters)} are given")
        condition = None if analyzer else self._condition()
        threshold, where, tags = None, None, []
        while True:
            if self._word("where"):
                where = self._string("a condition in SQL")
            elif self._word("with"):
                word = self._next()
                if word[0] != "word":
                    self._fail("'threshold' is expected", word)
                if word[1].lower() == "threshold":
                    threshold = self._condition() or self._fail("a condition like '> 0.9' is expected")
                else:
                    self._take("=")
                    tags.append((word[1], self._string("a value")))
            else:
                break
        if condition is None and not analyzer and name not in _WITHOUT_CONDITION:
            self._fail(f"a condition like '> 0.9' is expected after {name}")
        return Rule(name, tuple(parameters), condition, threshold, where, tuple(tags), self._source(start), self._place(start))

    def _condition(self):
        negated = self._word("not")
        if self._word("between"):
            low = self._operand()
            self._take("and")
            return Condition("between", (low, self._operand()), negated)
        if self._word("in"):
            self._take("[")
            operands = [self._operand()]
            while self._word(","):
                operands.append(self._operand())
            self._take("]")
            return Condition("in", tuple(operands), negated)
        if self._word("matches"):
            token = self.tokens[self.at]
            pattern = self._string("a regular expression")
            try:
                re.compile(pattern)
            except re.error as error:
                raise RulesetError(f"{self._place(token[2])}: the regular expression is wrong: {error}") from None
            return Condition("matches", (Operand("text", pattern),), negated)
        if negated:
            self._fail("'between', 'in' or 'matches' is expected after 'not'")
        operator = next((sign for sign in (*_COMPARISONS, "<>") if self._peek(sign)), None)
        if operator is None:
            return None
        self._next()
        return Condition("!=" if operator == "<>" else operator, (self._operand(),))

    def _operand(self):
        if self._word("("):
            inner = self._operand()
            self._take(")")
            return inner
        kind, value, _, _ = token = self._next()
        if kind == "text":
            return Operand("text", _unquoted(value))
        if kind == "number":
            number = float(value)
            unit = self._unit()
            return Operand("duration", number * unit) if unit else self._history_arithmetic(Operand("number", number))
        if kind == "word" and value in ("NULL", "EMPTY", "WHITESPACES_ONLY"):
            return Operand("keyword", value)
        if kind == "word" and value == "now":
            self._take("(")
            self._take(")")
            return Operand("time", self._offset())
        if kind == "word" and value in _HISTORY:
            self._skip_call()
            return self._history_arithmetic(Operand("history", value))
        self._fail("a number, a text in double quotes, NULL, EMPTY, WHITESPACES_ONLY or now() is expected", token)

    def _unit(self):
        kind, value, _, _ = self.tokens[self.at]
        seconds = _UNITS.get(value.lower().removesuffix("s")) if kind == "word" else None
        if seconds:
            self._next()
        return seconds

    def _offset(self):
        """`- 3 days` after `now()`, in seconds. `now() -1 days` has the sign in its number."""
        if self.tokens[self.at][0] == "number" and self.tokens[self.at][1].startswith("-"):
            sign, token = 1, self._next()
        elif self._peek("+", "-"):
            sign = 1 if self._next()[1] == "+" else -1
            token = self._next()
        else:
            return 0.0
        if token[0] != "number":
            self._fail("a number of days, hours or minutes is expected", token)
        unit = self._unit() or self._fail("'days', 'hours' or 'minutes' is expected")
        return sign * float(token[1]) * unit

    def _skip_call(self):
        self._take("(")
        depth = 1
        while depth:
            token = self._next()
            if token[0] == "end":
                self._fail("')' is expected", token)
            depth += {"(": 1, ")": -1}.get(token[1], 0) if token[0] == "sign" else 0

    def _history_arithmetic(self, operand):
        """`avg(last(5)) * 0.9 + 1`: what has a part of earlier results is of that kind as a whole."""
        history = operand.kind == "history"
        while self._peek("+", "-", "*", "/") or (history and self.tokens[self.at][0] == "number"):
            if self.tokens[self.at][0] == "sign":
                self._next()
            kind, value, _, _ = token = self._next()
            if kind == "word" and value in _HISTORY:
                history = True
                self._skip_call()
            elif kind != "number":
                self._fail("a number is expected", token)
        if not history:
            return operand
        return Operand("history", operand.value)


def _unquoted(text):
    return re.sub(r'\\(["\\])', r"\1", text[1:-1])
