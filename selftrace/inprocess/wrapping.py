"""Context managers that are decorators too: of functions, coroutine functions and generators."""

from __future__ import annotations

import functools
import inspect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


class Wrapping:
    """`@manager` runs each call of the function within `with manager:`."""

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        """The function, decorated."""
        wrapper: Any
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **named: Any) -> Any:
                with self:
                    return await function(*args, **named)

        elif inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper(*args: Any, **named: Any) -> Any:
                with self:
                    return (yield from function(*args, **named))

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **named: Any) -> Any:
                with self:
                    return function(*args, **named)

        return wrapper  # type: ignore[no-any-return]
