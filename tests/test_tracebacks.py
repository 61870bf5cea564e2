"""Errors end in the user's line; the package's own lines are shown where they are asked for, or are the news."""

import traceback

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.tracebacks import is_own, public

X = np.ones(3)


def wrong(x):
    return np.sum(x @ np.ones((4, 3)))


def files(function, *args, **options):
    """The files of the traceback of what the call raises."""
    with pytest.raises(Exception) as found:  # noqa: PT011 (any)
        function(*args, **options)
    return [frame.filename for frame in traceback.extract_tb(found.value.__traceback__)], found.value


CALLS = {
    "jit": lambda: cr.jit(wrong)(X),
    "grad": lambda: cr.grad(wrong)(X),
    "value_and_grad": lambda: cr.value_and_grad(wrong)(X),
    "jit grad": lambda: cr.jit(cr.grad(wrong))(X),
    "vjp": lambda: cr.vjp(wrong, X),
    "jvp": lambda: cr.jvp(wrong, (X,), (X,)),
    "trace": lambda: cr.trace(wrong, X),
    "scan": lambda: cr.jit(lambda x: cr.scan(lambda c, _: (wrong(c), None), x, length=2))(X),
    "minimize": lambda: cr.minimize(wrong, X),
    "compile": lambda: cr.jit(wrong).compile(X),
    "if": lambda: cr.jit(lambda x: 1.0 if x[0] > 0 else 2.0)(X),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_tracebacks_show_user_lines_only(name):
    shown, error = files(CALLS[name])
    assert isinstance(error, ChainruleError)
    assert not any(is_own(file) for file in shown), shown
    assert shown[-1] == __file__
    if name != "if":
        last = traceback.extract_tb(error.__traceback__)[-1]
        assert last.line == "return np.sum(x @ np.ones((4, 3)))" and last.name == "wrong"


@pytest.mark.parametrize("name", ["jit", "grad", "minimize"])
def test_full_tracebacks_on_request(name):
    before = cr.set_tracebacks("full")
    try:
        shown, _ = files(CALLS[name])
    finally:
        cr.set_tracebacks(before)
    assert before == "user" and any(is_own(file) for file in shown)


def test_models():
    model = Sequential([Dense(3, input_dim=4)])
    shown, _ = files(model.fit, np.ones((5, 4)), np.ones((5, 3)))
    assert not any(is_own(file) for file in shown)
    shown, error = files(model.add, 3)
    assert not any(is_own(file) for file in shown) and "add got 3" in str(error).lower()


def test_errors_of_the_users_own_functions():
    def broken(x):
        raise KeyError("mine")
    shown, error = files(cr.grad(broken), 1.0)
    assert isinstance(error, KeyError) and set(shown) == {__file__}


def test_errors_that_the_package_did_not_mean_show_all():
    def entry():
        return public(len)(3)
    shown, error = files(entry)
    assert isinstance(error, TypeError) and any(is_own(file) for file in shown)


def test_modes_are_checked():
    with pytest.raises(ArgumentError, match="mode='full'"):
        cr.set_tracebacks("ful")


def test_public_functions_keep_name_and_text():
    assert cr.minimize.__name__ == "minimize" and "gradient tolerance" in cr.minimize.__doc__
    assert cr.grad(wrong).__name__ == "grad(wrong)"
