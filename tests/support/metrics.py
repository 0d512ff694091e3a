"""What every text of metrics must stand: promtool, and the strict parser of OpenMetrics."""
import math
import subprocess


def promtool(text):
    done = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, ''), done.stdout + done.stderr


def samples(families):
    """{(sample's name, labels without le): value}; buckets are left out."""
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families for sample in family.samples if 'le' not in sample.labels}


def check_histograms(families):
    """Buckets rise to +Inf, which is the count."""
    for family in families:
        if family.type != 'histogram':
            continue
        counts = {tuple(sample.labels.items()): sample.value for sample in family.samples if sample.name.endswith('_count')}
        assert counts
        for labels, count in counts.items():
            buckets = [(float(sample.labels['le']), sample.value) for sample in family.samples
                       if 'le' in sample.labels and all(sample.labels[name] == value for name, value in labels)]
            assert buckets == sorted(buckets) and buckets[-1] == (math.inf, count)
            assert [value for _, value in buckets] == sorted(value for _, value in buckets)
