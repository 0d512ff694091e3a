"""Completion for bash and zsh, made from what the programs' --help says: `sudo tests/lab manuals` writes it anew.

A node of the tree is what may come after some verbs: further verbs, options with what they take, and operands.
"""
import re
from dataclasses import dataclass, field

from lab.manuals import NO_VERBS, help_of
from lab.paths import ROOT

FOLDERS = {'nameplate': ROOT / 'agent' / 'packaging' / 'completion', 'nameplate-hq': ROOT / 'hq' / 'packaging' / 'completion'}
WORD = r'[a-z][a-z0-9-]*'
# What the placeholder of a value stands for; the rest is left to the person.
KINDS = {'FILE': 'file', 'FILE.csv': 'file', 'SOCKET': 'file', 'PROGRAM': 'file', 'FOLDER': 'folder', 'DIR': 'folder', 'IF': 'interface'}


@dataclass
class Option:
    """kind: '' takes no value; 'file', 'folder', 'interface', 'text', or words with | between."""
    kind: str = ''
    said: str = ''
    repeated: bool = False


@dataclass
class Node:
    verbs: dict = field(default_factory=dict)  # name: what it does
    options: dict = field(default_factory=dict)
    operands: str = ''  # a kind


def tree(bin_dir, program):
    """{verbs: Node} of a program, with '' for the program itself."""
    text = help_of(bin_dir, program)
    top = dict(re.findall(rf'^  (?!{program} )({WORD}) +(\S.*)$', text, re.MULTILINE))
    if not top:
        for name, said in re.findall(rf'^  {program} ({WORD})\b.*?(?:(?:\]|  ) *(\w[^\]\n]*))?$', text, re.MULTILINE):
            top.setdefault(name, said)
    nodes = {'': Node(top, {'--help': Option(said='help')})}
    for verb in top:
        if verb not in NO_VERBS:
            nodes.update(_of_verb(bin_dir, program, verb, help_of(bin_dir, program, verb)))
    return nodes


def _of_verb(bin_dir, program, verb, text):
    usages = _usages(text, program)
    listed = _listed(text)
    said = [(re.fullmatch(rf'({WORD}(?:\|{WORD})*)(?: (.*))?', usage), usage) for usage in usages]
    below = [(word, match.group(2) or '') for match, _ in said if match for word in match.group(1).split('|')]
    if not below and ' WHAT' in f' {usages[0]}':
        nodes = {verb: Node(dict(re.findall(rf'^  ({WORD})  +(\S.*)$', text, re.MULTILINE)), {'--help': Option(said='help')})}
        for word in nodes[verb].verbs:
            nodes.update(_of_verb(bin_dir, program, f'{verb} {word}', help_of(bin_dir, program, verb, word)))
        return nodes
    if not below:
        return {verb: _node(' '.join(usages), listed, listed, text)}
    nodes = {verb: Node({word: '' for word, _ in below}, {'--help': Option(said='help')})}
    for word in nodes[verb].verbs:
        nodes[f'{verb} {word}'] = _node(' '.join(usage for found, usage in below if found == word), listed, {}, text)
    return nodes


def _usages(text, program):
    """What the first lines say, each without the program and its verbs that the help was asked of."""
    block = re.sub(r'\n +(?!nameplate)', ' ', text.partition('\n\n')[0])
    lines = [re.sub(r'^(usage:)? *', '', line) for line in block.splitlines()]
    verbs = 2 if re.match(rf'{program} config {WORD} ?', lines[0]) else 1
    return [' '.join(line.split(' ')[1 + verbs:]) for line in lines]


def _listed(text):
    """{option: (placeholder, what it is, whether it may be repeated)} of the list in a help."""
    found = re.findall(r'^  (--[a-z0-9-]+)(?:\[=[A-Z]+\])?(?: ([A-Za-z][^\s]*))?( +\+)? +(\S.*)$', text, re.MULTILINE)
    return {name: (placeholder, said, bool(plus) or 'may be repeated' in said) for name, placeholder, plus, said in found}


def _node(usage, listed, offered, text):
    """offered: options that are there although the usage does not name them."""
    options = {}
    for name, value, dots in re.findall(r'(--[a-z0-9-]+)(?:\[=[A-Z]+\])?(?: ([A-Za-z][^\s\[\]]*))?(?:\[/LEN\])?\]?(\.\.\.)?', usage):
        placeholder, said, repeated = listed.get(name, ('', '', False))
        value = value.removesuffix('...')
        options[name] = Option(_kind(value or placeholder), said, repeated or bool(dots))
    for name, (placeholder, said, repeated) in offered.items():
        options.setdefault(name, Option(_kind(placeholder), said, repeated))
    options['--help'] = Option(said='help')
    rest = re.sub(r'--[a-z0-9-]+(\[=[A-Z]+\])?( [A-Za-z][^\s\[\]]*)?', '', usage)
    words = re.search(rf'\[({WORD}(\|{WORD})*)\]', rest.replace('[options]', ''))
    named = re.search(r'\[?([A-Z]+)\]?', rest)
    one_of = named and re.search(rf'\b{named.group(1)} is one of\n +([a-z][a-z -]*?)[;.]', text)
    operands = one_of.group(1).replace(' ', '|') if one_of else words.group(1) if words else ''
    if not operands and named:
        operands = _kind(next((word for word in KINDS if re.search(rf'\b{re.escape(word)}\b', rest)), ''))
    return Node({}, dict(sorted(options.items())), operands)


def _kind(placeholder):
    if not placeholder:
        return ''
    return placeholder if re.fullmatch(rf'{WORD}(\|{WORD})+', placeholder) else KINDS.get(placeholder, 'text')


BASH = '''\
# bash completion of @PROGRAM@(8), made from its --help: sudo tests/lab manuals
# shellcheck shell=bash

# What may come after the verbs $1: verbs, options (--NAME=KIND where they take a value), operands (a KIND).
_@NAME@_next()
{
    verbs='' options='--help' operands=''
    case $1 in
@TABLE@    esac
}

# Completes $2, a value of kind $1: file, folder, interface, text, or words with | between.
_@NAME@_value()
{
    case $1 in
    file | folder)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(if [[ $1 == file ]]; then compgen -f -- "$2"; else compgen -d -- "$2"; fi)
        ;;
    interface) mapfile -t COMPREPLY < <(compgen -W "$(cd /sys/class/net 2>/dev/null && echo *)" -- "$2") ;;
    '' | text) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "${1//|/ }" -- "$2") ;;
    esac
}

_@NAME@()
{
    local verbs options operands path='' kind='' word option i
    local current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    _@NAME@_next ''
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $kind ]]; then
            kind='' # it was an option's value
        elif [[ $word == -* ]]; then
            for option in $options; do
                [[ $option == "$word="* ]] && kind=${option#*=}
            done
        elif [[ " $verbs " == *" $word "* ]]; then
            path="${path:+$path }$word"
            _@NAME@_next "$path"
        fi
    done
    if [[ $kind ]]; then
        _@NAME@_value "$kind" "$current"
    elif [[ $current == -* ]]; then
        for option in $options; do
            [[ ${option%%=*} == "$current"* ]] && COMPREPLY+=("${option%%=*}")
        done
    elif [[ $verbs ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$current")
    else
        _@NAME@_value "$operands" "$current"
    fi
}

complete -F _@NAME@ @PROGRAM@
'''


def bash(program, nodes):
    lines = []
    for path, node in nodes.items():
        options = ' '.join(f'{name}={option.kind}' if option.kind else name for name, option in node.options.items())
        said = [f"verbs='{' '.join(node.verbs)}'"] if node.verbs else []
        said += [f"options='{options}'"] if options != '--help' else []
        said += [f"operands='{node.operands}'"] if node.operands not in ('', 'text') else []
        if said:
            lines.append(f"    '{path}') {' '.join(said)} ;;\n")
    return BASH.replace('@TABLE@', ''.join(lines)).replace('@NAME@', program.replace('-', '_')).replace('@PROGRAM@', program)


def zsh(program, nodes):
    name = '_' + program.replace('-', '_')
    parts = [f'#compdef {program}\n# zsh completion of {program}(8), made from its --help: sudo tests/lab manuals\n']
    parts += [_zsh_function(name, path, node) for path, node in reversed(nodes.items())]
    return '\n'.join(parts) + f'\n{name} "$@"\n'


def _zsh_function(name, path, node):
    function = '_'.join([name, *re.split('[ -]', path)]) if path else name
    specs = [_zsh_option(option, about) for option, about in node.options.items()]
    if not node.verbs:
        specs += [f"'*:operand:{_zsh_action(node.operands)}'"] if node.operands not in ('', 'text') else []
        return f'{function}() {{\n    _arguments \\\n        ' + ' \\\n        '.join(specs) + '\n}\n'
    verbs = ''.join(f'            {_quote(verb + (":" + said if said else ""))}\n' for verb, said in node.verbs.items())
    cases = ''.join(f'        {verb}) {"_".join([function, *verb.split("-")])} ;;\n' for verb in node.verbs if verb not in NO_VERBS)
    return f'''{function}() {{
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C {' '.join(specs)} '1:verb:->verb' '*::word:->word'
    case $state in
    verb)
        local -a verbs=(
{verbs}        )
        _describe verb verbs
        ;;
    word)
        case $line[1] in
{cases}        esac
        ;;
    esac
}}
'''


def _zsh_option(name, option):
    said = option.said.replace('[', r'\[').replace(']', r'\]')
    value = f':value:{_zsh_action(option.kind)}' if option.kind else ''
    return _quote(f'{"*" if option.repeated else ""}{name}' + (f'[{said}]' if said else '') + value)


def _zsh_action(kind):
    known = {'file': '_files', 'folder': '_files -/', 'interface': '_net_interfaces', 'text': ''}
    return known[kind] if kind in known else f'({kind.replace("|", " ")})'


def _quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def files(bin_dir):
    """{path: text as it should be}"""
    made = {}
    for program, folder in FOLDERS.items():
        nodes = tree(bin_dir, program)
        made[folder / 'bash' / program] = bash(program, nodes)
        made[folder / 'zsh' / f'_{program}'] = zsh(program, nodes)
    return made


def write(bin_dir):
    for path, text in files(bin_dir).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f'{path.relative_to(ROOT)} is written anew')
