"""Operands of products as a model has them: caught in a pass, and cut into small products that are all alike."""

from dataclasses import dataclass, field, replace

from .apply import operations

__all__ = ["Alike", "alike", "catch"]


@dataclass(frozen=True)
class Alike:
    """Small products of one shape, of places all over a model.

    Attributes
    ----------
    shape : (int, int, int)
        M, K and N of each.
    ports : dict
        As of `Scheme.ports`.
    places : tuple of str
        Where they are from, without repetition, in the order of execution.
    sizes : tuple of (int, int)
        M and N of all whole products that they stand for.
    operands : list of (object, object)
        Of each, as `Scheme.product` takes them.
    """

    shape: tuple
    ports: dict
    places: tuple
    sizes: tuple
    operands: list = field(repr=False)

    @property
    def products(self):
        """Dense multiply-accumulates of all whole products."""
        return sum(m * n for m, n in self.sizes) * self.shape[1]

    def cut(self, scheme, m, n):
        """The same of the first `m` tokens and `n` outputs of each."""
        first, second = slice(m), slice(n)
        operands = [(scheme.cut(a, first), scheme.cut(w, second)) for a, w in self.operands]
        return replace(self, shape=(m, self.shape[1], n), operands=operands)


def catch(subject, prepared):
    """All products of a pass.

    Parameters
    ----------
    subject : Subject
    prepared : Prepared

    Returns
    -------
    list of (str, int, object, object)
        Place, M and operands of each, as `Scheme.product` takes them, in the order of execution.
    """
    caught, scheme = [], prepared.scheme

    def product(place, a, w):
        result = scheme.product(a, w)
        caught.append((place, len(result), a, w))
        return result

    subject.scores(operations(subject, prepared, product))
    return caught


def alike(caught, scheme, m, n, most):
    """Products as small as a core takes them, by shape.

    Of each caught product come as many as the number of all asks for, evenly spread over its outputs, and each with
    other tokens than the one before it, where there are. Products of fewer than `m` tokens are left out, unless there
    are no others.

    Parameters
    ----------
    caught : list
        As of `catch`.
    scheme : Scheme
    m, n : int
        Rows of the first and the second operand; fewer where a product has not so many.
    most : int
        Products of one shape, at most.

    Returns
    -------
    list of Alike
    """
    enough = min(m, max(rows for _, rows, _, _ in caught))
    groups = {}
    for number, (_, rows, _, w) in enumerate(caught):
        if rows < enough:
            continue
        outputs, k = scheme.shape(w)
        ports = scheme.ports(w)
        key = (enough, k, min(n, outputs)), tuple(sorted(ports.items()))
        groups.setdefault(key, (ports, []))[1].append(number)
    return [_group(caught, scheme, shape, *members, most) for (shape, _), members in groups.items()]


def _group(caught, scheme, shape, ports, numbers, most):
    m, _, n = shape
    chosen = numbers[:: -(-len(numbers) // most)]
    operands = []
    for turn, number in enumerate(chosen):
        _, rows, a, w = caught[number]
        blocks = scheme.shape(w)[0] // n
        count = min(blocks, most // len(chosen))
        for index in range(count):
            token = (turn + index) % (rows // m) * m
            output = index * blocks // count * n
            part = scheme.cut(a, slice(token, token + m)), scheme.cut(w, slice(output, output + n))
            operands.append(part)
    sizes = tuple((caught[number][1], scheme.shape(caught[number][3])[0]) for number in numbers)
    places = tuple(dict.fromkeys(caught[number][0] for number in chosen))
    return Alike(shape, ports, places, sizes, operands)
