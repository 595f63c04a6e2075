"""Names for the ports of inner modules that follow from what they are.

Amaranth calls a port after a signal with the same bits. Where no signal has just these, as of a payload of which one
field goes on, the name has the number of a cell; where two signals of a module have the same name, one has the number
of names before it. Any edit elsewhere changes such numbers.
"""

import itertools

__all__ = ["name_ports"]


def name_ports(netlist):
    """Give every port of an inner module a name without such numbers.

    It is called after the parts of signals that it has: `x__payload_group` is a field, `x__payload_7_4` has bits;
    two are joined, of more the first and the last are. A name that is taken in the module begins with the instance that
    the port belongs to, or ends with `_2`, `_3` and so on.

    Parameters
    ----------
    netlist
        Of Amaranth, whose modules are changed.
    """
    for module in netlist.modules[1:]:
        taken = _names(netlist, module)
        ports, given = {}, {}
        for name, (value, flow) in module.ports.items():
            if name.startswith("port$"):
                given[name] = _free(_parts(netlist, module, tuple(value)), taken)
            elif "$" in name:
                given[name] = _free(_qualified(netlist, module, name, value), taken)
            ports[given.get(name, name)] = value, flow
        module.ports = ports
        for signal, name in [*module.signal_names.items()]:
            module.signal_names[signal] = given.get(name, name)


def _names(netlist, module):
    """All names of a module."""
    cells = (getattr(netlist.cells[cell], "name", None) for cell in module.cells)
    instances = (netlist.modules[inner].name[-1] for inner in module.submodules)
    return {*module.signal_names.values(), *module.io_port_names.values(), *module.ports, *cells, *instances}


def _free(name, taken):
    """The name, or the first one with a number that is not taken; it is taken then."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _qualified(netlist, module, name, value):
    """A name that another signal has already, behind the first instance in the module with a port of these bits."""
    plain = _plain(name)
    for inner in module.submodules:
        if any(port == value for port, _ in netlist.modules[inner].ports.values()):
            return f"{_plain(netlist.modules[inner].name[-1])}_{plain}"
    return plain


def _plain(name):
    return name.partition("$")[0]


def _parts(netlist, module, bits):
    """Name of what consists of parts of signals: those of the module, else of modules around it, else of any."""
    scopes = [module]
    while scopes[-1].parent is not None:
        scopes.append(netlist.modules[scopes[-1].parent])
    names = []
    while bits:
        longest = (_longest(netlist, scope, bits) for scope in (*scopes, *netlist.modules))
        name, length = next((part for part in longest if part), ("net", len(bits)))
        names.append(name)
        bits = bits[length:]
    return "_".join(names) if len(names) < 3 else f"{names[0]}_to_{names[-1]}"


def _longest(netlist, module, bits):
    """Name and length of the longest part of a signal of the module that begins these bits, None if there is none."""
    parts = []
    for signal, name in module.signal_names.items():
        whole = tuple(netlist.signals[signal])
        if bits[0] in whole:
            at = whole.index(bits[0])
            same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(whole[at:], bits, strict=False))
            length = len(list(same))
            parts.append((_plain(name) + _place(netlist, signal, whole, at, length), length))
    return max(parts, key=lambda part: part[1], default=None)


def _place(netlist, signal, whole, at, length):
    """What of a signal these bits are: nothing to say for all of it, a field, or their places."""
    if length == len(whole):
        return ""
    for path, field in netlist.signal_fields[signal].items():
        if path and tuple(field.value) == whole[at : at + length]:
            return "".join(f"_{step}" for step in path)
    return f"_{at}" if length == 1 else f"_{at + length - 1}_{at}"
