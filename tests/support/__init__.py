"""What several tests share."""

import pytest

# Assertions outside of test files say what was compared only when pytest is asked to.
pytest.register_assert_rewrite("tests.support.store_contract")
