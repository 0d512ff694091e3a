"""nameplate-hq and the agent in the lab."""


class Hq:
    def __init__(self, internet, bin_dir):
        pass

    def start(self):
        raise NotImplementedError


class Box:
    def __init__(self, home, hq, bin_dir):
        pass
