"""The page of an endpoint in a real browser, before a real server: only there is seen whether it asks and shows."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from eagleray.report.palette import COLOURS
from eagleray.serving import http, problems
from eagleray.serving.auth import Caller, NoAuth, Refused
from eagleray.serving.continuation import GenerationRequest, Piece
from eagleray.serving.follow import Desired
from eagleray.serving.limits import Allowance
from eagleray.serving.problems import ProblemError
from eagleray.serving.served import Prediction
from eagleray.serving.telemetry import Telemetry
from eagleray.spec.endpoint import EndpointSpec
from eagleray.spec.task import CausalLmSpec, TaskSpec, TextClassificationSpec

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEY = "er_right"
SMS = TextClassificationSpec(type="text-classification")
TOPICS = TextClassificationSpec(type="text-classification", problem="multi-label")
PAIRS = TextClassificationSpec(type="text-classification", text="premise", text_pair="hypothesis", problem="regression")
CHAT = CausalLmSpec(type="causal-lm", format="chat")
STORY = CausalLmSpec(type="causal-lm")

Answer = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]

BARS = """() => [...document.querySelectorAll(".bars li")].map(bar => {
  const [track, fill] = [".track", ".fill"].map(part => bar.querySelector(part).getBoundingClientRect().width);
  const text = part => bar.querySelector(part).textContent;
  return [text(".name"), text(".number"), Math.round(100 * fill / track)];
})"""


class FakeStream:
    """An answer that grows when the test says so. As with the real one, dropping it ends it too."""

    def __init__(self, closed: threading.Event) -> None:
        self._pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._closed = closed

    def put(self, item: Piece | Exception) -> None:
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        item = await self._pieces.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def aclose(self) -> None:
        self._closed.set()

    def __del__(self) -> None:
        self._closed.set()


class FakeGenerator:
    """Says what the test has it say, when the test has it say it."""

    max_length = 512

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []
        self.begun, self.closed = threading.Event(), threading.Event()
        self._stream: weakref.ref[FakeStream] | None = None

    def submit(self, request: GenerationRequest) -> FakeStream:
        self.closed.clear()
        self.requests.append(request)
        stream = FakeStream(self.closed)
        self._stream = weakref.ref(stream)
        self.begun.set()
        return stream

    def say(self, text: str, *, is_last: bool = False) -> None:
        self._put(Piece(text, (1,), (), "stop" if is_last else None))

    def fail(self) -> None:
        self._put(RuntimeError("the model is gone"))

    def _put(self, item: Piece | Exception) -> None:
        assert self.begun.wait(20), "nobody asks"  # the page is sooner than its request
        stream = self._stream and self._stream()
        assert stream is not None, "nobody listens"
        stream.put(item)


@dataclass
class FakeService:
    """Models that answer by a function."""

    names: list[str]
    answer: Answer
    followed: Desired
    spec: EndpointSpec = field(default_factory=EndpointSpec)
    telemetry: Telemetry = field(default_factory=lambda: Telemetry("fake"))
    generator: FakeGenerator = field(default_factory=FakeGenerator)

    def desired(self) -> dict[str, Desired]:
        return dict.fromkeys(self.names, self.followed)

    async def predict(self, name: str, rows: Sequence[Mapping[str, Any]], **_: Any) -> Prediction:
        return Prediction(name, 3, self.answer(rows))

    def loaded_at(self, name: str) -> int:
        return 0

    def refusal_s(self) -> float | None:
        return None

    async def write(self, name: str, begin: Callable[[Any], Awaitable[AsyncGenerator[Any, None]]], **_: Any) -> Any:
        tokenise = lambda rows, **_: [{"input_ids": (1, 2, 3)} for _ in rows]  # noqa: E731
        loaded = SimpleNamespace(tokenise=tokenise, cleaned=dict)
        return await begin(SimpleNamespace(generator=self.generator, loaded=loaded))


class OneKey:
    """Knows one caller."""

    def identify(self, authorization: str | None) -> Caller:
        if authorization != f"Bearer {KEY}":
            raise Refused(problems.unauthorized())
        return Caller("laptop", frozenset({"predict"}))


async def _never(*_: object) -> Any:
    raise AssertionError("nobody asks for this")


def _always(*outputs: dict[str, Any]) -> Answer:
    return lambda rows: list(outputs)


def _refuses(problem: problems.Problem) -> Answer:
    def answer(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        raise ProblemError(problem)

    return answer


VERSION_3 = Desired(3)
HAM = _always({"label": "ham", "probabilities": {"spam": 0.0731, "ham": 0.9269}})


@contextmanager
def _served(service: FakeService, tasks: dict[str, TaskSpec], authority: http.Identify) -> Iterator[str]:
    """The address of an endpoint. Its key is checked and its limits hold; what is behind them is fake."""
    metrics: Callable[[], Awaitable[str]] = _never
    runtime = http.Runtime(service, authority, Allowance(_never, max_replicas=1), metrics)  # type: ignore[arg-type]
    app = http.build(service.spec, tasks, lambda: runtime)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _opened(
    browser: Browser,
    tasks: dict[str, TaskSpec],
    answer: Answer = HAM,
    *,
    authority: http.Identify | None = None,
    followed: Desired = VERSION_3,
    **settings: Any,
) -> Iterator[tuple[Page, FakeService, list[str]]]:
    """The page, what is behind it, and what went wrong on it: errors, and requests to others than the endpoint."""
    service = FakeService(list(tasks), answer, followed)
    with ExitStack() as stack:
        address = stack.enter_context(_served(service, tasks, authority or NoAuth()))
        context = stack.enter_context(browser.new_context(**settings))
        context.set_default_timeout(20_000)
        page, wrong = context.new_page(), []
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("request", lambda each: None if each.url.startswith((address, "data:")) else wrong.append(each.url))
        page.goto(address)
        yield page, service, wrong


def _send(page: Page, *texts: str) -> None:
    for number, text in enumerate(texts):
        page.fill(f"#field-{number}", text)
    page.click("#send")


def _waits(page: Page, selector: str, text: str) -> None:
    page.wait_for_function("([at, text]) => document.querySelector(at)?.innerText.includes(text)", arg=[selector, text])


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("tasks", "fields"),
    [
        pytest.param({"sms": SMS}, ["text"], id="text"),
        pytest.param({"similar": PAIRS}, ["premise", "hypothesis"], id="pair"),
        pytest.param({"helper": CHAT}, ["message"], id="chat"),
        pytest.param({"teller": STORY}, ["text"], id="completion"),
        pytest.param({"a-model-whose-name-is-rather-long-for-a-telephone": SMS, "chat": CHAT}, ["text"], id="two"),
    ],
)
def test_the_page_fits_the_task(
    browser: Browser, tasks: dict[str, TaskSpec], fields: list[str], scheme: str, width: int
) -> None:
    settings: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with _opened(browser, tasks, **settings) as (page, _, wrong):
        page.wait_for_selector("#bench")
        assert page.locator("#fields label").all_text_contents() == fields
        assert page.text_content("h1") == next(iter(tasks))
        assert page.text_content("#version") == "3"
        assert [page.is_visible(place) for place in ("#access", "#candidate")] == [False, False]
        assert page.is_visible("#model") == (len(tasks) > 1)
        page_width = page.evaluate("document.documentElement.scrollWidth")

    assert page_width == width
    assert wrong == []


def test_bars_show_the_numbers_of_the_answer(browser: Browser) -> None:
    with _opened(browser, {"sms": SMS}, followed=Desired(3, candidate=4, share=0.1)) as (page, _, wrong):
        _send(page, "see you at eight")
        page.wait_for_selector(".bars")
        assert page.text_content(".said") == "ham"
        assert page.evaluate(BARS) == [["ham", "92.69 %", 93], ["spam", "7.31 %", 7]]
        assert "by version 3" in str(page.text_content("#answer-facts"))
        assert page.text_content("#candidate") == "4"

    assert wrong == []


def test_what_a_label_says_is_never_run(browser: Browser) -> None:
    evil = "<img src=x onerror=alert(1)>"
    answer = _always({"labels": [evil], "probabilities": {evil: 0.9, "fine": 0.00001}})
    with _opened(browser, {"topics": TOPICS}, answer) as (page, _, wrong):
        _send(page, evil)
        page.wait_for_selector(".bars")
        assert page.locator(".chips li").all_text_contents() == [evil]
        assert page.evaluate(BARS) == [[evil, "90.00 %", 90], ["fine", "< 0.01 %", 0]]
        assert page.locator("img").count() == 0

    assert wrong == []


def test_both_texts_of_a_pair_are_sent_by_the_keyboard(browser: Browser) -> None:
    asked: list[Mapping[str, Any]] = []

    def answer(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        asked.extend(rows)
        return [{"value": 0.25}]

    with _opened(browser, {"similar": PAIRS}, answer) as (page, _, wrong):
        page.fill("#field-0", "A man eats.")
        page.fill("#field-1", "A man's asleep.")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(".said")
        assert page.text_content(".said") == "0.25"
        assert r"A man'\''s asleep." in str(page.text_content("#curl"))

    assert asked == [{"premise": "A man eats.", "hypothesis": "A man's asleep."}]
    assert wrong == []


def test_a_key_is_asked_for_and_a_wrong_one_refused(browser: Browser) -> None:
    refused = "error: Failed to load resource: the server responded with a status of 401 (Unauthorized)"
    with _opened(browser, {"sms": SMS}, authority=OneKey()) as (page, _, wrong):
        _waits(page, "#access-note", "asks for a key")
        assert page.evaluate("document.activeElement.id") == "key"
        page.keyboard.type("er_wrong")
        page.keyboard.press("Enter")
        _waits(page, "#access-note", "does not work")
        assert page.evaluate("sessionStorage.length") == 0
        page.keyboard.type(KEY)
        page.keyboard.press("Enter")
        _send(page, "see you at eight")
        page.wait_for_selector(".bars")
        assert page.evaluate("[...Object.values(sessionStorage), localStorage.length, document.cookie]") == [KEY, 0, ""]
        curl = str(page.text_content("#curl"))
        page.click("#forget")
        _waits(page, "#access-note", "asks for a key")
        assert page.evaluate("sessionStorage.length") == 0

    assert "Bearer $KEY" in curl
    assert KEY not in curl
    assert wrong == [refused] * 3  # the browser tells so of each 401, whatever the page does


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        pytest.param(
            problems.malformed("the request is not as it must be", [problems.Mistake("inputs.text", "is too odd")]),
            ["Malformed request", "the request is not as it must be", "inputs.text: is too odd"],
            id="422",
        ),
        pytest.param(problems.overloaded(7), ["Overloaded", "try again in 7 s", "You can send again in"], id="429"),
        pytest.param(problems.internal("abc"), ["Internal error", "request abc"], id="500"),
    ],
)
def test_a_refusal_is_told(browser: Browser, problem: problems.Problem, told: list[str]) -> None:
    with _opened(browser, {"sms": SMS}, _refuses(problem)) as (page, _, wrong):
        _send(page, "see you at eight")
        for each in told:
            _waits(page, "#problem", each)

    assert len(wrong) == 1 and f"status of {problem.status}" in wrong[0]


def test_a_conversation_is_written_piece_by_piece(browser: Browser) -> None:
    with _opened(browser, {"helper": CHAT}) as (page, service, wrong):
        page.fill("#temperature", "0")
        page.fill("#max-tokens", "9")
        _send(page, "hi")
        page.wait_for_selector(".log .assistant")
        service.generator.say("good ")
        _waits(page, ".log .assistant", "good")
        is_growing = page.is_visible(".is-growing")
        service.generator.say("day", is_last=True)
        _waits(page, ".log .assistant", "good day")
        _waits(page, "#conversation-facts", "2 tokens in")
        assert page.is_hidden("#stop")
        _send(page, "and you?")
        _waits(page, "#curl", '{"role":"assistant","content":"good day"},{"role":"user","content":"and you?"}')

    assert is_growing
    assert (service.generator.requests[0].temperature, service.generator.requests[0].max_new_tokens) == (0, 9)
    assert wrong == []


@pytest.mark.parametrize(
    ("task", "place"),
    [pytest.param(CHAT, ".log .assistant", id="chat"), pytest.param(STORY, "#answer-body", id="text")],
)
def test_stop_ends_the_text_and_its_generation(browser: Browser, task: TaskSpec, place: str) -> None:
    with _opened(browser, {"teller": task}) as (page, service, wrong):
        _send(page, "once")
        page.wait_for_selector(".is-growing", state="attached")
        service.generator.say("upon a time")
        _waits(page, place, "upon a time")
        page.click("#stop")
        page.wait_for_selector("#stop", state="hidden")
        assert service.generator.closed.wait(20)
        assert "upon a time" in str(page.text_content(place))
        assert page.evaluate("document.activeElement.id") == "field-0"

    assert wrong == []


def test_a_text_that_breaks_off_is_told(browser: Browser) -> None:
    with _opened(browser, {"teller": STORY}) as (page, service, wrong):
        _send(page, "once")
        page.wait_for_selector(".is-growing", state="attached")
        service.generator.say(" upon")
        _waits(page, "#answer-body", "once upon")
        service.generator.fail()
        _waits(page, "#problem", "The answer broke off")
        assert page.text_content("#answer-body") == "once upon"

    assert wrong == []


def test_another_model_is_chosen(browser: Browser) -> None:
    with _opened(browser, {"sms": SMS, "helper": CHAT}) as (page, _, wrong):
        page.select_option("#model", "helper")
        _waits(page, "h1", "helper")
        assert [page.is_visible(place) for place in ("#conversation", "#answer", "#settings")] == [True, False, True]

    assert wrong == []


def test_the_command_is_copied(browser: Browser) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with _opened(browser, {"sms": SMS}, permissions=permissions) as (page, _, wrong):
        page.fill("#field-0", "see you")
        page.click("#copy")
        _waits(page, "#copy", "Copied")
        copied = page.evaluate("navigator.clipboard.readText()")

    assert copied.startswith("curl 'http://127.0.0.1:")
    assert copied.endswith("""-d '{"model":"sms","inputs":"see you"}'""")
    assert wrong == []


def test_the_colours_are_those_of_the_reports() -> None:
    page = (Path(http.PLAYGROUND) / "index.html").read_text(encoding="utf-8")
    light, dark = (dict(_colours(part)) for part in page.split("@media (prefers-color-scheme: dark)")[:2])

    assert light and light == {name: COLOURS[name].light for name in light}
    assert dark == {name: COLOURS[name].dark for name in light}


def _colours(css: str) -> Iterator[tuple[str, str]]:
    for declaration in css.replace("{", ";").split(";"):
        name, separator, value = declaration.strip().partition(": ")
        if separator and name.startswith("--"):
            yield name.removeprefix("--"), value
