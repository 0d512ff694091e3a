"""What a person types after tests/lab."""
import argparse
import os
import sys
from pathlib import Path

from lab import interrupts, paths
from lab.namespaces import Failed

# tests/lab prints the same file before Python is installed.
HELP = Path(__file__).with_name('help.txt').read_text()
BENCH_ROWS = ('own', 'hit', 'miss', 'mix', 'tcp', 'dot', 'memory', 'growth')
AGENT_ROWS = ('size', 'idle', 'boot', 'change', 'handshakes', 'resumed', 'throughput', 'memory')
ZONE_ROWS = ('builtin', 'bind', 'knot', 'powerdns', 'secondary', 'million')
HQ_ROWS = ('idle', 'certificate', 'certificates', 'enrolments', 'address', 'storm', 'million', 'halfopen')


def main(argv):
    parser = argparse.ArgumentParser(prog='tests/lab', description=HELP, add_help=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-h', '--help', action='store_true', help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND')
    commands.add_parser('help', add_help=False)
    commands.add_parser('demo')
    test = commands.add_parser('test')
    test.add_argument('--long', action='store_true', help='also the slow tests, the sanitizers\' build, and every fuzz target for a minute')
    test.add_argument('-k', metavar='EXPR', help='only tests whose name matches')
    up = commands.add_parser('up')
    up.add_argument('--bare', action='store_true', help='the machines without nameplate: no HQ, no agent')
    shell = commands.add_parser('shell')
    shell.add_argument('node')
    shell.add_argument('cmd', nargs=argparse.REMAINDER, default=[])
    commands.add_parser('nodes')
    commands.add_parser('down')
    commands.add_parser('install')
    commands.add_parser('manuals')
    commands.add_parser('package')
    commands.add_parser('cross').add_argument('arch', nargs='*')
    commands.add_parser('build').add_argument('preset', nargs='?', default='release')
    bench = commands.add_parser('bench')
    bench.add_argument('what', choices=['resolver', 'zone', 'agent', 'hq'])
    bench.add_argument('--only', metavar='ROW', action='append',
                       choices=tuple(dict.fromkeys(BENCH_ROWS + ZONE_ROWS + AGENT_ROWS + HQ_ROWS)), help='only this row; may be repeated')
    bench.add_argument('--pairs', metavar='N', type=int, help='resolver: interleaved pairs a row (15)')
    bench.add_argument('--minutes', metavar='N', type=float, help='agent: how long the processes idle (2)')
    bench.add_argument('--quick', action='store_true', help='short runs: shows that it works, not what it costs')
    bench.add_argument('--json', metavar='FILE', help='where the figures go (build/bench-WHAT.json)')
    arguments = parser.parse_args(argv)
    if arguments.help or arguments.command in (None, 'help'):
        print(HELP, end='')
        return 0
    if os.getuid() != 0:
        print(f'lab: network namespaces need root: sudo tests/lab {" ".join(argv)}', file=sys.stderr)
        return 2
    interrupts.install()
    try:
        return RUN[arguments.command](arguments)
    except Failed as error:
        print(f'lab: {error}', file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f'lab: {error.name} is missing: sudo tests/lab install', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('lab: stopped; everything it made is removed', file=sys.stderr)
        return 130
    finally:
        paths.give_back()


def _demo(_arguments):
    from lab import build, demo
    build.build('release', targets=('nameplate', 'nameplate-hq'))
    return demo.run(paths.BUILD / 'release' / 'bin')


def _install(_arguments):
    """The shell script did the packages of Debian."""
    from lab import npm
    npm.fetch()
    return 0


def _test(arguments):
    from lab import npm, runner
    npm.fetch()
    return runner.run(arguments.long, arguments.k)


def _bench(arguments):
    from lab import build
    if arguments.what == 'zone':
        from lab.bench import zone
        if not os.environ.get('NAMEPLATE_BIN'):
            build.build('release', targets=('nameplate-hq',))
        return zone.run(paths.find_bin_dir(), only=arguments.only or (), quick=arguments.quick,
                        result=arguments.json and Path(arguments.json))
    if arguments.what == 'agent':
        from lab.bench import agent
        if not os.environ.get('NAMEPLATE_BIN'):
            build.build('release', targets=agent.PROGRAMS)
        if agent.needs_static(arguments.only):
            build.build('static', targets=('nameplate',))
        return agent.run(paths.find_bin_dir(), paths.BUILD / 'static' / 'bin' / 'nameplate', only=arguments.only or (), quick=arguments.quick,
                         minutes=arguments.minutes, result=arguments.json and Path(arguments.json))
    if arguments.what == 'hq':
        from lab.bench import hq
        if not os.environ.get('NAMEPLATE_BIN'):
            build.build('release', targets=hq.PROGRAMS)
        return hq.run(paths.find_bin_dir(), only=arguments.only or (), quick=arguments.quick,
                      result=arguments.json and Path(arguments.json))
    from lab.bench import resolver
    if not os.environ.get('NAMEPLATE_BIN'):
        build.build('release', targets=('nameplate', *resolver.PROGRAMS))
    return resolver.run(paths.find_bin_dir(), only=arguments.only, pairs=arguments.pairs, quick=arguments.quick,
                        result=arguments.json and Path(arguments.json))


def _up(arguments):
    from lab import build
    from lab.world import World
    if not arguments.bare:
        build.build('release', targets=('nameplate', 'nameplate-hq'))
    with World(paths.BUILD / 'release' / 'bin', keep=True, programs=not arguments.bare) as world:
        if not arguments.bare:
            seen = world.boot()
            print(f'The box is https://{seen["name"]}/ (to the laptop).')
    return _nodes(arguments)


def _nodes(_arguments):
    from lab.world import World, namespaces
    present = namespaces()
    if not present:
        print('lab: no lab is up', file=sys.stderr)
        return 1
    for node in World('').nodes:
        if node.name in present:
            print(f'{node.label:8} {node.about}')
    print('A shell on one: sudo tests/lab shell NODE [CMD...]')
    return 0


def _shell(arguments):
    from lab.world import World
    nodes = {node.label: node for node in World('').nodes}
    node = nodes.get(arguments.node)
    if node is None:
        raise Failed(f'there is no node {arguments.node}: {", ".join(nodes)}')
    if not node.exists():
        raise Failed('no lab is up: start one with sudo tests/lab up')
    argv = node.argv(*(arguments.cmd or [os.environ.get('SHELL', '/bin/bash')]))
    environment = {**os.environ, 'PS1': f'{node.label}# ', 'PATH': f'{node.state / "bin"}:{os.environ["PATH"]}'}
    os.execvpe(argv[0], argv, environment)


def _down(_arguments):
    from lab import world
    lock = world.take_lock()
    with lock:
        world.clean()
    left = world.leftovers()
    if left:
        raise Failed('still there: ' + ', '.join(left))
    return 0


def _build(arguments):
    from lab import build
    build.build(arguments.preset)
    return 0


def _manuals(_arguments):
    from lab import build, manuals
    build.build('release', targets=('nameplate', 'nameplate-hq'))
    manuals.write(paths.BUILD / 'release' / 'bin')
    return 0


def _package(_arguments):
    from lab import packages
    for deb in packages.build().values():
        said = packages.lint(deb)
        print(said or f'{deb}: lintian finds nothing')
        if said:
            raise Failed(f'lintian has something to say of {deb.name}')
    return 0


def _cross(arguments):
    from lab import cross
    return cross.run(arguments.arch)


RUN = {'package': _package, 'cross': _cross, 'manuals': _manuals, 'install': _install, 'demo': _demo, 'test': _test, 'up': _up, 'shell': _shell, 'nodes': _nodes, 'down': _down,
       'build': _build, 'bench': _bench}
