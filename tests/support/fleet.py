"""bench_fleet as the tests and the bench use it: thousands of boxes, told what happens to them phase by phase."""
import json
import select
import subprocess


class Fleet:
    """`with Fleet(bin_dir, hq, boxes) as fleet:` has made all keys; nothing is switched on yet."""

    def __init__(self, bin_dir, hq, boxes, *words, prefix=()):
        self.hq = hq
        self.argv = [*prefix, bin_dir / 'bench_fleet', boxes, hq.url, f'127.0.0.1:{hq.port}', hq.folder / 'hq-anchors.pem',
                     hq.folder / 'secrets' / 'factory-master', *words]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen([str(word) for word in self.argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer(300)
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.communicate()

    def phase(self, name, **parameters):
        """Runs a phase (bench_fleet's head explains them) and returns what it tells."""
        words = [f'{key}={number}' for key, number in parameters.items()]
        self.process.stdin.write(' '.join([name, f'hq={self.hq.process.pid}', *words]) + '\n')
        self.process.stdin.flush()
        return self._answer(parameters.get('deadline', 0) + parameters.get('seconds', 0) + 120)

    def _answer(self, timeout):
        assert select.select([self.process.stdout], [], [], timeout)[0], f'no answer of {self.argv[0]}'
        line = self.process.stdout.readline()
        assert line, f'{self.argv[0]} has ended: {self.process.wait()}'
        return json.loads(line)


def statuses(told):
    """{status: how often} over all requests of a phase."""
    total = {}
    for request in told['requests'].values():
        for status, count in request['statuses'].items():
            total[int(status)] = total.get(int(status), 0) + count
    return total


def early(told):
    """Requests that were sent although HQ had wanted them later."""
    return sum(request['early'] for request in told['requests'].values())
