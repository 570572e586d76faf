"""Checks that a substrate, a simulator, a task or a readout has to pass, for the tests of those who write one.

Each kind has a list of checks to parametrize a test with, so that every check is a test of its own, and a function
that makes all of them::

    @pytest.mark.parametrize("check", substrate_checks())
    def test_my_board_keeps_the_contract(check):
        check(lambda: MyBoard("/dev/ttyACM0"))
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
